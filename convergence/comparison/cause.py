"""Rounding or bug? What the early growth of a difference says of its cause.

Where both runs can be trained here, their params are followed from the last state that they had in
common; a run from elsewhere is known by its sketches. Either is held against an envelope of
repeated rounding around the first study (see `rounding`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convergence import rounding
from convergence.analysis import rounding as judgement
from convergence.analysis.rounding import Judgement, judge_sketches
from convergence.analysis.trajectory import Trajectory
from convergence.comparison.audit import JUDGED
from convergence.comparison.compared import Compared
from convergence.comparison.side import Side, followed
from convergence.errors import UserError
from convergence.replay import Replay, Retrainer, open_replay
from convergence.reporting import files
from convergence.study import Machine

TRACE, TRAJECTORY = "trace.npz", "trajectory.npz"


def not_asked(a: Side, b: Side, told: Compared) -> str:
    """Why the question makes no sense for two studies, or ""."""
    if told.verdict == "same bits":
        return "there is no difference"
    if not told.aligned.paired:
        return "the seeds are not paired: there is no common state to part from"
    settings = [one.field for one in told.aligned.differences if one.kind == "setting"]
    if settings:
        return f"the settings differ ({', '.join(settings[:3])}): that is no rounding"
    if a.provenance.get("data_digest") != b.provenance.get("data_digest"):
        return "the data differ: that is no rounding"
    if a.digests is None or b.digests is None:
        return "sketches of one of them are missing"
    return ""


def of_studies(a: Side, b: Side, told: Compared, own: Mapping[str, str] | None = None) -> Judgement:
    """The judgement on two finished studies by their sketches.

    The first is trained again here, a few steps of a few trials; the second is known by what it
    left. `not_asked` must have no objection.

    Raises:
        UserError: the first study cannot be trained here (its data or files have changed), or no
            trial finished.
    """
    pairs = dict(told.aligned.arms)
    trials = followed(a, list(pairs), told.aligned.replicas[0])
    if not trials:
        raise UserError("no trial finished: there is nothing to follow.")
    replay = open_replay(a.folder, own)
    arms = len(a.saved.arms)
    replicas = a.study.run.first_replica + np.array(trials) // arms
    other = b.saved.trials(pairs[a.saved.arms[trials[0] % arms]])
    mine = other[replicas - b.study.run.first_replica]
    assert a.digests is not None
    assert b.digests is not None
    around = rounding.envelope(Retrainer(replay), trials)
    return judge_sketches(a.digests["sketches"][trials], b.digests["sketches"][mine], around)


def trace(replay: Replay, trials: Sequence[int], folder: Path) -> None:
    """Writes what runs under conditions are held against: losses and norms of the first steps."""
    files.write_npz(folder / TRACE, {"trace": rounding.trace(Retrainer(replay), trials)})


def follow(replay: Replay, trials: Sequence[int], folder: Path, machine: Machine) -> None:
    """Follows the trials from where they part from the trace in the parent folder."""
    against = files.read_npz(folder.parent / TRACE)["trace"]
    trainer = Retrainer(replay, machine)
    rounding.trajectory(trainer, trials, against=against).save(folder / TRAJECTORY)


def judge(replay: Replay, trials: Sequence[int], folder: Path) -> None:
    """Writes the judgement on each folder in here in which a trajectory was left, by its name."""
    trainer, found = Retrainer(replay), dict[str, Any]()
    amplitude = rounding.calibrate(trainer, trials).amplitude
    for path in sorted(folder.glob(f"*/{TRAJECTORY}")):
        try:
            there = Trajectory.load(path)
        except ValueError as error:
            found[path.parent.name] = {"verdict": "cannot tell", "sentence": str(error)}
            continue
        here = rounding.trajectory(trainer, trials, starts=there.starts)
        around = rounding.envelope(trainer, trials, starts=there.starts, amplitude=amplitude)
        found[path.parent.name] = judgement.judge(here, there, around).to_json()
    files.write_json(folder / JUDGED, found)
