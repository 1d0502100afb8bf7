"""Studies that can say little, and say so: no steps, one seed, nothing but divergence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import commands
from helpers.commands import Ended

from convergence.reporting import files

CASES = {
    "none": ("--steps=0",),
    "one": ("--num_seeds=1",),
    "hot": ("--learning_rate=1e30",),
    "same": ("--vary=augment",),
}


def ran(base: Path, experiment: str, case: str) -> tuple[Ended, Path, dict[str, Any]]:
    """A study of one case, its workdir and its summary; it ended well, in 80 columns."""
    more = ("--schedules=cosine;linear",) if experiment == "schedules" else ()
    arguments = (*commands.SMALL, *more, *CASES[case])
    ended, workdir = commands.once(base, f"{experiment}-{case}", experiment, *arguments)
    assert ended.status == 0, ended.err
    assert "Traceback" not in ended.err
    assert max(map(len, ended.lines)) <= 80
    assert commands.manifest(workdir)["status"] == "finished"
    summary = json.loads((workdir / "summary.json").read_text())
    return ended, workdir, summary


def decisions(summary: dict[str, Any]) -> set[str]:
    """All decisions of a summary's verdicts."""
    return {verdict["decision"] for verdict in summary["verdicts"]}


@pytest.mark.parametrize("experiment", commands.EXPERIMENTS)
def test_no_steps(base: Path, experiment: str) -> None:
    """Protects --steps=0: the initial weights are scored, no claim is decided, and it is said."""
    ended, workdir, summary = ran(base, experiment, "none")
    assert "0 steps\n" in ended.err
    assert "note: 0 steps: nothing was trained" in ended.out
    assert "nothing was trained" in (workdir / "tables" / "summary.txt").read_text()
    trials = files.read_parquet(workdir / "trials.parquet")
    assert set(trials["steps"]) == {0}
    assert set(trials["status"]) == {"finished"}
    curves = files.read_npz(workdir / "curves.npz")
    assert curves["loss_step"].size == 0
    np.testing.assert_array_equal(curves["eval_step"], [0])
    sketches = files.read_npz(workdir / "sketches.npz")["sketches"]
    assert np.abs(sketches[:, 0]).max() > 0
    if experiment != "train":
        # Arms that differ in the initial weights alone may differ; no other may.
        assert "holds" not in decisions(summary)
    if experiment != "train":
        assert summary["recommendation"]["decision"] == "nothing to confirm"


@pytest.mark.parametrize("experiment", commands.EXPERIMENTS)
def test_one_seed(base: Path, experiment: str) -> None:
    """Protects --num_seeds=1: the table says that nothing can be said of spread or of a claim."""
    ended, _, summary = ran(base, experiment, "one")
    assert "1 seed on iris" in ended.err
    assert "one seed says nothing about spread" in ended.out
    for row in summary["arms"]:
        assert row["sd"] is None
        assert (row["mean"]["low"], row["mean"]["high"]) == ("-inf", "inf")
    if experiment == "train":
        return
    assert "one seed cannot" in ended.out
    assert decisions(summary) <= {"undecided", "not applicable"}
    assert {verdict["high"] for verdict in summary["verdicts"]} == {"inf"}
    if experiment != "train":
        assert summary["recommendation"]["decision"] == "nothing to confirm"


@pytest.mark.parametrize("experiment", commands.EXPERIMENTS)
def test_every_trial_diverges(base: Path, experiment: str) -> None:
    """Protects a study without a finished trial: all are counted, none averaged or compared."""
    ended, workdir, summary = ran(base, experiment, "hot")
    trials = files.read_parquet(workdir / "trials.parquet")
    hot = [k for k, init in enumerate(trials["init"]) if init != "zeros"]  # weights that stay zero
    assert {trials["status"][k] for k in hot} == {"diverged"}
    assert all(trials["first_non_finite_step"][k] is not None for k in hot)
    assert {trials["validation_accuracy"][k] for k in hot} == {None}
    assert "2/2" in ended.out
    assert "NaN" not in (workdir / "summary.json").read_text()
    counts = {row["arm"]: row["diverged_count"] for row in summary["arms"]}
    assert {n for arm, n in counts.items() if arm != "init=zeros"} == {2}
    if experiment == "train":
        return
    assert "not applicable" in decisions(summary)
    assert decisions(summary) <= {"undecided", "not applicable"}
    assert "every trial" in ended.out
    if experiment != "train":
        assert summary["recommendation"]["decision"] == "nothing to confirm"
        assert "Nothing can be recommended" in ended.out


@pytest.mark.parametrize("experiment", ["train", "schedules"])
def test_seeds_that_are_the_same_run(base: Path, experiment: str) -> None:
    """Protects from seeds that are none: where nothing varies there is no interval, and it is said.

    Before it costs anything, and beside the result.
    """
    ended, workdir, summary = ran(base, experiment, "same")
    assert "all seeds will be the same run" in ended.err
    assert "all 2 seeds are the same run" in " ".join(ended.out.split())
    trials = files.read_parquet(workdir / "trials.parquet")
    bits: dict[str, set[str]] = {}
    for arm, words in zip(trials["arm"], trials["fingerprint"]):
        bits.setdefault(arm, set()).add(words)
    assert {len(found) for found in bits.values()} == {1}
    for row in summary["arms"]:
        assert (row["n"], row["sd"], row["mean"]["low"]) == (2, None, "-inf")
    reasons = {verdict["reason"] for verdict in summary.get("verdicts", [])}
    assert reasons <= {"all seeds are the same run"}
    assert bool(reasons) == (experiment == "schedules")
