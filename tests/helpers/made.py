"""Workdirs of made-up studies: every file of the contract, without a step of training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convergence import spec
from convergence.analysis.arms import arm_summary
from convergence.analysis.claim import Claim
from convergence.analysis.verdict import decide_family
from convergence.reporting.workdir import Workdir
from convergence.spec import Arm, RunSpec, Setting, StudySpec

STEPS = 200
PROVENANCE = {
    "versions": {"python": "3.11", "jax": "0.10"},
    "device": {"platform": "cpu", "kind": "cpu", "count": 1},
    "cpu": {"model": "a processor", "usable": 2},
    "data_digest": "da7a",
    "source_digest": "50ce",
    "git": {"revision": "abc123", "dirty": True},
}
HOSTILE = (
    "a/b <script>alert(1)</script>",
    "</svg><img src=x onerror=alert(1)>",
    '" onload="alert(1)" id="answer" href="#x" style="fill:#0a0b01',
    "$x^2$ _a_ {b} & 50 % \\ ~ # | `c` [d](http://e.example)",
    "學習 ‮率\x1b[31m\n\n**",
    "../../etc/passwd",
)


@dataclasses.dataclass(frozen=True)
class Made:
    """What to make up.

    Attributes:
        arms: names, the reference first; each changes the learning rate in its own way.
        seeds: of each arm.
        diverged: how many seeds of the last arm diverge, at step 7.
        claims: whether each arm is claimed to beat the reference.
        status: the study's.
        summary, curves, trials: whether the file is written.
        more: entries of the summary.
    """

    arms: Sequence[str] = ("base", "rate=0.01", "rate=0.1")
    seeds: int = 6
    diverged: int = 0
    claims: bool = True
    status: str = "finished"
    summary: bool = True
    curves: bool = True
    trials: bool = True
    more: dict[str, Any] = dataclasses.field(default_factory=dict)

    def study(self) -> StudySpec:
        """The spec."""
        arms = [Arm(self.arms[0])]
        arms += [
            Arm.of(name, learning_rate=1e-3 * 2.0 ** (k + 1))
            for k, name in enumerate(self.arms[1:])
        ]
        run = RunSpec(num_seeds=max(self.seeds, 1), metric="accuracy", margin=0.01)
        return StudySpec("made", "Which <arm> is best?", Setting(), run, tuple(arms))

    def scores(self) -> np.ndarray:
        """float64[arms, seeds]; NaN where a trial diverged."""
        rng = np.random.default_rng(0)
        found = 0.8 + 0.1 * np.sin(np.arange(len(self.arms)))[:, None]
        found = found + 0.01 * rng.normal(size=(len(self.arms), self.seeds))
        if self.diverged:
            found[-1, : self.diverged] = np.nan
        return found

    def told(self) -> list[Claim]:
        """The claims."""
        make = ("superiority", 1, "accuracy", 0.01, "primary", 3)
        return [
            Claim(f"3{k}", f"{name} beats {self.arms[0]}", name, self.arms[0], *make)  # type: ignore[arg-type]
            for k, name in enumerate(self.arms[1:] if self.claims else ())
        ]

    def trials_table(self) -> dict[str, list[Any]]:
        """trials.parquet by column, a seed after the other."""
        scores, places = self.scores(), self.places()
        bad = [bool(np.isnan(scores[arm, seed])) for seed, arm in places]
        values = [None if b else float(scores[arm, seed]) for b, (seed, arm) in zip(bad, places)]
        return {
            "trial": list(range(len(places))),
            "arm": [self.arms[arm] for _, arm in places],
            "replica": [seed for seed, _ in places],
            "steps": [STEPS] * len(places),
            "status": ["diverged" if b else "finished" for b in bad],
            "first_non_finite_step": [7 if b else None for b in bad],
            "validation_accuracy": values,
        }

    def places(self) -> list[tuple[int, int]]:
        """Seed and arm of each trial."""
        return [(seed, arm) for seed in range(self.seeds) for arm in range(len(self.arms))]

    def curves_arrays(self) -> dict[str, np.ndarray]:
        """curves.npz: power laws with a little noise."""
        rng = np.random.default_rng(1)
        steps, at = np.arange(1, STEPS + 1), np.array([0, 50, 100, STEPS])
        rows, scores = self.places(), self.scores()
        loss = np.stack([0.1 + 2.0 * steps ** -(0.5 + 0.05 * (arm % 9)) for _, arm in rows])
        loss *= np.exp(0.02 * rng.normal(size=loss.shape))
        rate = np.stack([np.full(STEPS, 1e-3 * 2.0**arm, np.float32) for _, arm in rows])
        shown = np.stack([scores[arm, seed] * at / STEPS for seed, arm in rows])
        for k, (seed, arm) in enumerate(rows):
            if np.isnan(scores[arm, seed]):
                loss[k, 7:] = np.nan
        return {
            "loss_step": steps,
            "loss_mean": loss,
            "rate": rate,
            "eval_step": at,
            "validation_accuracy": shown,
            "bin_width": np.array(1),
        }

    def summary_json(self) -> dict[str, Any]:
        """summary.json."""
        scores, claims = self.scores(), self.told()
        arms = [
            {"arm": name, "split": "clean", "metric": "accuracy"}
            | arm_summary(scores[k], np.random.default_rng(k), replicates=199).to_json()
            for k, name in enumerate(self.arms)
        ]
        controls = [scores[0]] * len(claims)
        verdicts = decide_family(claims, list(scores[1:])[: len(claims)], controls)
        return {"arms": arms, "verdicts": [v.to_json() for v in verdicts]} | self.more

    def write(self, folder: Path) -> Path:
        """Makes the workdir."""
        workdir = Workdir.prepare(folder, spec.to_json(self.study()), PROVENANCE, command=["made"])
        with workdir:
            workdir.update(claims=[claim.to_json() for claim in self.told()])
            workdir.write_text("flags.txt", "--dataset=digits\n--num_seeds=6\n")
            if self.trials:
                workdir.write_parquet("trials.parquet", self.trials_table())
            if self.curves:
                workdir.write_npz("curves.npz", self.curves_arrays())
            if self.summary:
                workdir.write_json("summary.json", self.summary_json())
            if self.status != "running":
                error = {"error": "ValueError: <b>bad</b>"} if self.status == "failed" else {}
                workdir.mark(self.status, **error)
        return folder


MORE: dict[str, Any] = {
    "rates": [
        {"rate": 1e-3, "was": "too low"},
        {"rate": 2e-3, "was": "useful"},
        {"rate": 4e-3, "was": "too high"},
    ],
    "spread": [
        {"varies": "init", "sd": 0.01, "low": 0.005, "high": 0.02, "n": 6, "warning": ""},
        {"varies": "order", "sd": 0.0, "low": 0.0, "high": "inf", "n": 6, "warning": "the same"},
    ],
    "choices": [
        {"factor": "rate", "arm": "rate=0.1", "changes": [["learning_rate", 0.1]],
         "lead": {"finished": 0, "gain": 0.1, "error": 0.01}, "leads": True},
    ],
    "topics": {"1": "weights", "2": "loss"},
    "not_applicable": [
        {"id": "2z", "statement": "it can be asked", "challenge": 2, "reason": "no such arm"},
    ],
}  # fmt: skip
