"""The migration audit: conditions change one thing each, failures are rows, the table tells."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import commands
from helpers.finished import finished

from convergence.comparison import audit, cause, conditions, migration
from convergence.comparison.audit import Auditor
from convergence.comparison.compared import compare
from convergence.comparison.conditions import CONTROL, CannotRun, Condition
from convergence.comparison.rerun import changed, evaluate, retrain, width_of
from convergence.comparison.side import Side
from convergence.errors import UserError
from convergence.replay import open_replay
from convergence.reporting import files
from convergence.reporting.workdir import Workdir
from convergence.spec import Arm, DataSpec, ModelSpec, TrainSpec

SCRIPT = conditions.script_path()
ARMS = (Arm("base"), Arm.of("hot", learning_rate=3e38))
BFLOAT = Condition("bf16", precision="bfloat16")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A study with an arm that diverges, splits varied; programs are shared."""
    with commands.programs_kept(tmp_path_factory.getbasetemp()):
        folder = tmp_path_factory.mktemp("audited") / "study"
        train = TrainSpec(steps=20, batch_size=16, learning_rate=0.01)
        finished(
            folder,
            DataSpec(dataset="wine"),
            ModelSpec(hidden=(6,)),
            train,
            ARMS,
            num_seeds=6,
            fingerprint_every=5,
            vary=("init", "order", "split"),
        )
        yield folder


@pytest.fixture
def copy(study: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(study, tmp_path / "copy"))


def in_this_process(condition: Condition, command: Sequence[str], base: Any = None) -> None:
    """What the process under a condition does, here; anything but a type's change fails."""
    told = dict(part.removeprefix("--").split("=", 1) for part in command[1:])
    if condition.threads:
        raise CannotRun("only 2 cores are usable here")
    replay, folder = open_replay(Path(command[0])), Path(told["rerun"])
    trials = [int(one) for one in told.get("trials", "").split(",") if one]
    if told.get("cause") in ("trace", "judge"):
        getattr(cause, told["cause"])(replay, trials, folder)
        return
    spec = changed(replay.study, int(told["sample"]), condition.precision)
    retrain(replay, spec, folder, condition.vmap)
    evaluate(replay, spec, folder, {})
    if told.get("cause") == "follow":
        cause.follow(replay, trials, folder, width_of(spec) if condition.vmap else 0)


def audited(study: Path, *asked: Condition, cause: bool = False, **how: Any) -> audit.Audit:
    return Auditor(Side(study), [str(study)], cause=cause, **how).audit(asked)


@pytest.mark.slow
def test_rounding_is_told_from_bugs(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the cause: lanes side by side round otherwise, and that is what is said; a study
    whose rate was one in fifty off, though its manifest does not say so, is called a bug."""
    monkeypatch.setattr(audit, "run", in_this_process)
    told = audited(study, CONTROL, Condition("vmap", vmap=True), BFLOAT, cause=True)
    control, lanes, short = told.outcomes
    assert not control.cause
    assert not short.cause  # a setting was changed
    assert lanes.cause["verdict"] == "rounding"
    assert lanes.cause["arm"] == "base"
    assert "rounding" in "".join(row[-1] for row in migration.rows(told))
    assert "cause: " in migration.text(told)
    wrong = tmp_path / "wrong"
    finished(
        wrong,
        DataSpec(dataset="wine"),
        ModelSpec(hidden=(6,)),
        TrainSpec(steps=20, batch_size=16, learning_rate=0.0102),
        ARMS,
        num_seeds=6,
        fingerprint_every=5,
        vary=("init", "order", "split"),
    )
    first, second = Side(study), Side(wrong)
    assert "settings differ" in cause.not_asked(first, second, compare(first, second))
    manifest = json.loads((wrong / "manifest.json").read_text())
    manifest["spec"]["setting"]["train"]["learning_rate"] = 0.01
    (wrong / "manifest.json").write_text(json.dumps(manifest))
    second = Side(wrong)
    found = compare(first, second)
    assert not cause.not_asked(first, second, found)
    assert cause.of_studies(first, second, found).verdict == "bug"


def test_the_audit_of_a_study(study: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the table: nothing changed is the same in bits and evaluates to the same outputs; a
    shorter type is not; what cannot be run is a row, and all of it is left in the workdir."""
    monkeypatch.setattr(audit, "run", in_this_process)
    told = audited(copy, CONTROL, Condition("more threads", threads=9), BFLOAT)
    control, failed, short = told.outcomes
    assert control.compared is not None
    assert control.compared.verdict == "same bits"
    assert control.evaluated["base"].largest == 0
    assert "hot" not in control.evaluated  # all its trials diverged
    assert (failed.compared, failed.why) == (None, "only 2 cores are usable here")
    assert short.compared is not None
    base = short.compared.arms[0]
    assert base.bits.same == 0
    assert base.distance.largest > 0
    assert short.evaluated["base"].largest > 1e-3
    (difference,) = short.compared.aligned.differences
    assert (difference.field, difference.now) == ("train.compute_dtype", "bfloat16")
    text = migration.text(told)
    assert max(map(len, text.splitlines())) <= 80
    assert "more threads: could not be run: only 2 cores are usable here" in text
    names = migration.write(told, Workdir.open(copy))
    stored = files.read_json(copy / names[0])
    assert [one["condition"]["name"] for one in stored["outcomes"]] == [
        "nothing changed", "more threads", "bf16"]  # fmt: skip
    assert "| nothing changed, base | 6/6 |" in (copy / names[1]).read_text()
    assert r"\begin{tabular}" in (copy / names[2]).read_text()


def test_a_study_from_elsewhere_is_first_trained_here(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the attribution: where already the control differs (another machine trained it),
    conditions are held against the control, so that each changes one thing."""
    arrays = files.read_npz(copy / "fingerprints.npz")
    files.write_npz(copy / "fingerprints.npz", arrays | {"final_chain": arrays["final_chain"] ^ 1})
    monkeypatch.setattr(audit, "run", in_this_process)
    told = audited(copy, CONTROL, Condition("no change either"), seeds=3, folder=tmp_path / "kept")
    verdicts = [one.compared and one.compared.verdict for one in told.outcomes]
    assert verdicts == ["equivalent", "same bits"] or verdicts == ["undecided", "same bits"]
    assert "trained again here" in told.baseline
    assert told.seeds == 3
    assert Side(tmp_path / "kept" / "01").study.run.num_seeds == 3
    with pytest.raises(UserError, match="--sample: there are only 6 seeds"):
        audited(copy, CONTROL, seeds=7)


def test_params_that_were_not_kept(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a study without params: it is trained again all the same, and that is said."""
    shutil.rmtree(copy / "params")

    def run(condition: Condition, command: Sequence[str], base: Any) -> None:
        with pytest.raises(UserError, match="kept no params"):
            in_this_process(condition, command)

    monkeypatch.setattr(audit, "run", run)
    (outcome,) = audited(copy, CONTROL, seeds=2).outcomes
    assert outcome.compared is not None
    assert outcome.compared.verdict == "same bits"
    assert outcome.why.startswith("saved params were not evaluated")


def test_each_condition_changes_one_thing() -> None:
    """Protects the comparison of conditions: beside its own change the environment is today's, and
    no program that was compiled under another condition can be read."""
    here = {
        "XLA_FLAGS": "--xla_a=1 --xla_force_host_platform_device_count=4",
        "PYTHONPATH": "/elsewhere",
    }
    base = CONTROL.environment(here)
    assert base == here | {"JAX_ENABLE_COMPILATION_CACHE": "false"}

    def moved(condition: Condition) -> dict[str, str | None]:
        told = condition.environment(here)
        return {k: told.get(k) for k in told.keys() | base.keys() if told.get(k) != base.get(k)}

    assert set(moved(Condition("", threads=2)).values()) == {"2"}
    assert "NPROC" in moved(Condition("", threads=2))
    assert moved(Condition("", devices=2)) == {
        "XLA_FLAGS": "--xla_a=1 --xla_force_host_platform_device_count=2"
    }
    assert moved(Condition("", precision="highest")) == {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
    assert moved(BFLOAT) == {}
    assert BFLOAT.arguments() == ["--compute_dtype=bfloat16"]
    assert moved(Condition("", xla_flags=("--xla_b=2",)))["XLA_FLAGS"].endswith("=4 --xla_b=2")  # type: ignore[union-attr]
    assert moved(Condition("", python="x")) == {"PYTHONPATH": None}
    assert moved(Condition("", vmap=True)) == {}
    names = [one.name for one in conditions.every(["x", "y"])]
    assert names[0] == CONTROL.name
    assert len(set(names[:-2])) == len(names) - 2 == 10


def interpreter(folder: Path, answer: str) -> str:
    """A command that answers as an interpreter might."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return str(path)


def test_interpreters_are_looked_at_first(tmp_path: Path) -> None:
    """Protects from a run that fails late: no Python, an old one and one that lacks packages are
    told at once, each in a sentence."""
    assert conditions.probe(sys.executable, "wine").startswith("jax ")
    for python, said in (
        (str(tmp_path / "none"), "cannot be run"),
        ("/bin/ls", "is no Python"),
        (interpreter(tmp_path, "hello"), "is no Python"),
    ):
        with pytest.raises(UserError, match=said):
            conditions.probe(python, "wine")
    told = {"python": [3, 9, 1], "missing": [], "jax": "0.4", "flax": "0.8"}
    with pytest.raises(UserError, match=r"is Python 3\.9\.1; this code needs 3\.11"):
        conditions.probe(interpreter(tmp_path, json.dumps(told)), "wine")
    told |= {"python": [3, 13, 0], "missing": ["flax", "optax"]}
    with pytest.raises(UserError, match="lacks flax, optax; install them there"):
        conditions.probe(interpreter(tmp_path, json.dumps(told)), "wine")
    told |= {"missing": []}
    found = conditions.probe(interpreter(tmp_path, json.dumps(told)), "wine")
    assert found == "jax 0.4, flax 0.8, Python 3.13.0"


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("note: x\ncompare: --threads: only 2 cores.\n", "--threads: only 2 cores."),
        ("F0 a.cc:1] Unknown flag in XLA_FLAGS: -x\n  at 0x1\n", "Unknown flag in XLA_FLAGS: -x"),
        ("Traceback\n  File\nValueError: no\n", "Error: no"),
        ("", "it ended with status 3"),
    ],
)  # fmt: skip
def test_last_words(stderr: str, said: str) -> None:
    """Protects a reader from a traceback: the line that tells most is picked."""
    assert conditions._why(stderr, 3) == said
    assert conditions._why("", -9) == "it was ended by signal 9"


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command(study: Path) -> None:
    """Protects the command as a user runs it: trained again in another process, same bits."""
    done = script(str(study), "--devices=2", "--sample=2", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["seeds"] == 2
    assert [one["compared"]["verdict"] for one in told["outcomes"]] == ["same bits"]
    assert told["outcomes"][0]["evaluated"]["base"]["largest"] == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--margin=-1"], "--margin: is a difference"),
        (["--margin=nan"], "--margin: is a difference"),
        (["--precision=bf17"], "--precision: unknown precision 'bf17'; did you mean 'bfloat16'"),
        (["--threads=-2"], "--threads: is a number"),
        (["--metric=accuracy"], "--metric: is for two studies"),
        (["--other_arm=x"], "--other_arm: is for two studies"),
        (["--all", "--threads=2"], "--threads: names one condition; --all tries its own"),
        (["other", "--all"], "--all: changes how one study is trained again"),
    ],
)
def test_contradictions(flags: list[str], said: str) -> None:
    """Protects users from an answer to another question: flags that make no sense are named."""
    spec = importlib.util.spec_from_file_location("compare", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(UserError) as told:
        module.check(module.parsed(["study", *flags]))
    assert str(told.value).startswith(said)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--python=/bin/ls"], "--python: /bin/ls is no Python"),
        (["."], "there is no study in ."),
    ],
)
def test_mistakes(study: Path, flags: list[str], said: str) -> None:
    """Protects users from tracebacks: one sentence that names the flag, and status 2."""
    done = script(str(study), *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"compare: {said}")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_every_condition(copy: Path) -> None:
    """Protects the whole audit in processes of its own: each row is there, a bad interpreter and
    missing cores are rows, the bits contract's rows are the same in bits."""
    done = script(str(copy), "--all", "--sample=4", "--python=/bin/ls")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines()[:-3])) <= 80
    told = files.read_json(copy / "migration.json")
    found = {one["condition"]["name"]: one for one in told["outcomes"]}
    assert len(found) == 11
    for name in ("nothing changed", "1 device", "2 devices"):
        assert found[name]["compared"]["verdict"] == "same bits"
    short = found["forward pass in bfloat16"]["compared"]["arms"][0]
    assert short["bits"]["same"] == 0
    assert short["params"]["largest"] > 0
    assert found["another interpreter"]["compared"] is None
    assert "is no Python" in found["another interpreter"]["why"]
    assert found["lanes by vmap"]["compared"] is not None


@pytest.mark.slow
def test_conditions_of_one_flag(study: Path) -> None:
    """Protects the single conditions: each in a process, details beside the table."""
    done = script(str(study), "--sample=3", "--threads=1", "--xla_flag=--xla_nonsense=1")
    assert done.returncode == 0
    assert "Unknown flag in XLA_FLAGS: --xla_nonsense=1" in done.stdout
    done = script(str(study), "--sample=3", "--precision=bfloat16")
    assert "train.compute_dtype: float32 → bfloat16" in done.stdout
    done = script(str(study), "--sample=99")
    assert (done.returncode, "only 6 seeds" in done.stderr) == (2, True)


@pytest.mark.slow
def test_wrong_data_are_named(copy: Path, tmp_path: Path) -> None:
    """Protects from training on other rows: data that have changed are named with their digest."""
    rng, path = np.random.default_rng(0), tmp_path / "rows.npz"
    x, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    np.savez(path, x=x, y=y)
    finished(tmp_path / "own", DataSpec(dataset="file", data_path=str(path)))
    np.savez(path, x=x + 1, y=y)
    done = script(str(tmp_path / "own"))
    assert done.returncode == 2
    assert "rows.npz are not those of the study" in done.stderr
    assert "their digest is" in done.stderr
