"""Which invariances of the bits contract a finished study keeps on this machine: its certificate.

Every check trains trials of the study again and compares all their digests: fingerprints of the
whole state, the chain over every step's loss and gradient norm, and sketches of the params. What
could not be checked is told as unverified, never passed over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from convergence import names, randomness
from convergence.analysis.telling import counted
from convergence.replay import Replay, Retrainer, differing
from convergence.reporting import certificate as certificates
from convergence.reporting import files, provenance
from convergence.reporting.manifest import now
from convergence.reporting.workdir import Workdir
from convergence.study import Machine
from convergence.training.blocks import Cadence

Status = Literal["verified", "differs", "unverified"]
Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Check:
    """One invariance and what became of it.

    Attributes:
        name: a word or two.
        statement: what holds where it is verified.
        status: ``unverified`` where it could not be asked here.
        told: on what it rests, or what differs, or why it could not be asked.
    """

    name: str
    statement: str
    status: Status
    told: str

    def to_json(self) -> dict[str, str]:
        """Plain values."""
        return dataclasses.asdict(self)


class _Stopped(Exception):
    """Ends a run halfway, as a kill would."""


class _Memory:
    """Checkpoints in memory."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, Arrays]] = []
        self.refused = ""

    def save_checkpoint(self, block: int, step: int, arrays: Arrays) -> None:
        self.kept.insert(0, (step, {name: np.array(values) for name, values in arrays.items()}))

    def checkpoints(self, block: int) -> Sequence[tuple[int, Callable[[], Arrays]]]:
        return [(step, lambda arrays=arrays: dict(arrays)) for step, arrays in self.kept]  # type: ignore[misc]

    def damaged(self, block: int, step: int, why: str) -> None:
        self.refused = why


def sample(replay: Replay, trainer: Retrainer, count: int) -> list[int]:
    """Trials to verify: at least one of each program, the rest drawn without regard to results."""
    draws = np.random.default_rng([replay.study.run.seed, count])
    firsts = [int(draws.choice([t.index for t in g.trials])) for g in trainer.plan.groups]
    others = np.setdiff1d(np.arange(replay.count), firsts)
    more = draws.permutation(others)[: max(0, count - len(firsts))]
    return sorted({*firsts, *map(int, more)})


class Verifier:
    """Checks one study, on some of its trials.

    Args:
        replay: the study.
        trials: indices of the trials to train again.
        elsewhere: trains trials in a process of its own: (trials, environment) → records.
        told: called with a line on what is done, as it is done.
    """

    def __init__(
        self,
        replay: Replay,
        trials: Sequence[int],
        elsewhere: Callable[[Sequence[int], Mapping[str, str]], Arrays] | None = None,
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.replay = replay
        self.trials = list(trials)
        self.trainer = Retrainer(replay)
        self._elsewhere = elsewhere
        self._say = told
        self._changed = [field for field, _, _ in replay.drift()]
        self._alone: dict[int, Arrays] = {}

    def checks(self) -> list[Check]:
        """All checks, one after another."""
        steps = (
            ("again, each alone", self.alone),
            ("again in this process", self.twice),
            ("among neighbours, by several workers", self.together),
            ("with other boundaries", self.boundaries),
            ("stopped and resumed", self.resumed),
            ("on forced host devices", self.devices),
            ("streams of randomness", self.streams),
        )
        found = []
        for title, check in steps:
            self._say(title)
            found.append(check())
        return found

    def _was(self, trial: int) -> Arrays:
        return {name: values[[trial]] for name, values in self.replay.records.items()}

    def _compared(
        self, name: str, statement: str, now: Callable[[int], Arrays], was: Callable[[int], Arrays]
    ) -> Check:
        wrong = []
        for trial in self.trials:
            if records := differing(was(trial), now(trial)):
                wrong.append(f"trial {trial} ({self.replay.name(trial)}): {', '.join(records)}")
        if wrong:
            return Check(name, statement, "differs", "; ".join(wrong))
        many = f"{len(self.trials)} of {counted(self.replay.count, 'trial')}"
        told = f"{many}: every digest is the same"
        return Check(name, statement, "verified", told)

    def alone(self) -> Check:
        """Trained alone, in another process than the study's: the records' bits."""
        for trial in self.trials:
            self._alone[trial] = self.trainer.run([trial])
        statement = "the same study gives the same bits again, in another process, each trial alone"
        found = self._compared("repeated", statement, self._alone.__getitem__, self._was)
        if found.status == "differs" and self._changed:
            told = f"not the same conditions ({', '.join(self._changed)}): {found.told}"
            return dataclasses.replace(found, status="unverified", told=told)
        return found

    def _against_alone(self, name: str, statement: str, now: Callable[[int], Arrays]) -> Check:
        return self._compared(name, statement, now, self._alone.__getitem__)

    def twice(self) -> Check:
        """Trained once more in this process."""
        statement = "the same program gives the same bits each time it is called"
        return self._against_alone("called again", statement, lambda t: self.trainer.run([t]))

    def together(self) -> Check:
        """Trained together in one block of several workers."""
        statement = "bits depend neither on neighbours nor on the number of workers"
        workers = max(2, len(Machine.here().workers))
        trainer = Retrainer(self.replay, Machine.here(workers))
        found: dict[int, Arrays] = {}
        for group in trainer.plan.groups:
            mine = [trial.index for trial in group.trials]
            asked = [trial for trial in self.trials if trial in mine]
            others = [trial for trial in mine if trial not in asked]
            lanes = trainer.study.population(group).lanes
            for first in range(0, len(asked), lanes):
                some = asked[first : first + lanes]
                # In other places than they were in, with a few more beside them.
                block = [*others[: min(3, lanes - len(some))], *some[::-1]]
                arrays = trainer.run(block)
                for place, trial in enumerate(block):
                    found[trial] = {name: values[[place]] for name, values in arrays.items()}
        return self._against_alone("neighbours", statement, found.__getitem__)

    def boundaries(self) -> Check:
        """Trained with segments, evaluations and checkpoints of other lengths."""
        statement = "segments, evaluations and checkpoints change no bit"
        cadence = self.trainer.study.cadence
        other = Cadence(cadence.total, max(1, cadence.total // 3), max(1, cadence.total // 7), 11)
        if cadence.total < 2:
            return Check("boundaries", statement, "unverified", "too short a run to be cut")
        return self._against_alone(
            "boundaries",
            statement,
            lambda t: self.trainer.run([t], cadence=other, store=_Memory()),
        )

    def resumed(self) -> Check:
        """Stopped after about half of the steps and gone on from the checkpoint."""
        statement = "stopped and resumed, a trial ends in the same bits"
        cadence = self.trainer.study.cadence
        half = cadence.total // 2
        if half < 1:
            return Check("resumed", statement, "unverified", "too short a run to be stopped")
        saving = dataclasses.replace(cadence, checkpoint_every=half)
        refused: list[str] = []

        def halfway(trial: int) -> Arrays:
            memory = _Memory()

            def stop(step: int, diverged: int, scores: Any) -> None:
                if step >= half and memory.kept:
                    raise _Stopped

            with contextlib.suppress(_Stopped):
                self.trainer.run([trial], cadence=saving, store=memory, progress=stop)
            arrays = self.trainer.run([trial], cadence=saving, store=memory)
            refused.append(memory.refused if memory.kept else "no checkpoint was left")
            return arrays

        found = self._against_alone("resumed", statement, halfway)
        if why := next((one for one in refused if one), ""):
            return dataclasses.replace(found, status="unverified", told=why)
        return found

    def devices(self) -> Check:
        """Trained in a process with two forced host devices."""
        statement = "bits do not depend on the number of forced host devices"
        name = "host devices"
        if Machine.here(1).mode != "map":
            return Check(name, statement, "unverified", "no CPU: there is nothing to force")
        if self._elsewhere is None:
            return Check(name, statement, "unverified", "no other process was asked for")
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
        try:
            arrays = self._elsewhere(self.trials, {"XLA_FLAGS": flags.strip()})
        except (OSError, RuntimeError) as error:
            return Check(name, statement, "unverified", str(error))
        found = {
            trial: {record: values[[place]] for record, values in arrays.items()}
            for place, trial in enumerate(self.trials)
        }
        return self._against_alone(name, statement, found.__getitem__)

    def streams(self) -> Check:
        """Keys with one source more or less varied."""
        statement = "varying or freezing one source moves no other source's draws"
        run = self.replay.study.run
        replicas = run.first_replica + np.arange(min(run.num_seeds, 64))
        base = randomness.key_table(run.seed, replicas, run.vary)
        for source in names.SOURCES:
            turned = tuple(s for s in run.vary if s != source)
            if source not in run.vary:
                turned = (*run.vary, source)
            other = randomness.key_table(run.seed, replicas, turned)
            moved = [s for s in names.SOURCES if not np.array_equal(base[s], other[s])]
            if moved != [source]:
                told = f"turning {source} moved {', '.join(moved) or 'nothing'}"
                return Check("streams", statement, "differs", told)
        told = f"the keys of all {len(names.SOURCES)} sources for {counted(len(replicas), 'seed')}"
        return Check("streams", statement, "verified", told)


def sentence(replay: Replay, trials: Sequence[int], checks: Sequence[Check]) -> str:
    """What all checks together say."""
    if not checks:
        return "Nothing is verified: the check was begun and did not end."
    said = {
        status: [check.name for check in checks if check.status == status]
        for status in ("verified", "differs", "unverified")
    }
    parts = [f"{len(said['verified'])} of {len(checks)} invariances verified"]
    for status in ("differs", "unverified"):
        if said[status]:
            parts.append(f"{status}: {', '.join(said[status])}")
    if left := replay.count - len(trials):
        verb = "was" if left == 1 else "were"
        parts.append(f"{left} of {replay.count} trials {verb} not trained again")
    return "; ".join(parts) + "."


def certificate(replay: Replay, trials: Sequence[int], checks: Sequence[Check]) -> dict[str, Any]:
    """What is left in the workdir, as plain values; without checks nothing is verified."""
    manifest = replay.saved.workdir.manifest
    own = manifest["provenance"].get("user_files")
    return {
        "study": manifest["spec_digest"],
        "at": now(),
        "trials": list(trials),
        "of": replay.count,
        "records": certificates.digests(replay.saved.workdir),
        "verified": bool(checks) and all(check.status == "verified" for check in checks),
        "checks": [check.to_json() for check in checks],
        "conditions": provenance.collect(replay.dataset.digest, own),
        "changed": [
            {"field": field, "was": was, "now": here} for field, was, here in replay.drift()
        ],
        "sentence": sentence(replay, trials, checks),
    }


def withdrawn(workdir: Workdir, why: str) -> dict[str, Any]:
    """In the place of an earlier certificate, where nothing can be verified any more."""
    return {
        "study": workdir.manifest["spec_digest"],
        "at": now(),
        "records": certificates.digests(workdir),
        "verified": False,
        "checks": [],
        "sentence": f"Nothing could be verified: {why}",
    }


def in_process(command: Sequence[str]) -> Callable[[Sequence[int], Mapping[str, str]], Arrays]:
    """Trains trials in a process of its own, by a command that takes --trial and --records."""

    def run(trials: Sequence[int], environment: Mapping[str, str]) -> Arrays:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "records.npz")
            listed = ",".join(map(str, trials))
            done = subprocess.run(
                [sys.executable, *command, f"--trial={listed}", f"--records={path}"],
                env=os.environ | dict(environment),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                raise RuntimeError(f"the other process failed: {last}")
            return files.read_npz(path)

    return run
