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
from convergence.comparison.audit import HERE, JUDGED
from convergence.comparison.compared import Compared, compare
from convergence.comparison.side import Side, followed
from convergence.errors import UserError
from convergence.replay import Replay, Retrainer, open_replay
from convergence.reporting import files

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
    names = [arm for arm, _ in told.aligned.arms]
    trials = followed(a, names, told.aligned.replicas[0])
    if not trials:
        raise UserError("no trial finished: there is nothing to follow.")
    return by_sketches(Retrainer(open_replay(a.folder, own)), a, b, told, trials)


def by_sketches(
    trainer: Retrainer, a: Side, b: Side, told: Compared, trials: Sequence[int]
) -> Judgement:
    """`of_studies` of some of the first study's trials."""
    arms = len(a.saved.arms)
    replicas = a.study.run.first_replica + np.array(trials) // arms
    other = b.saved.trials(dict(told.aligned.arms)[a.saved.arms[trials[0] % arms]])
    mine = other[replicas - b.study.run.first_replica]
    assert a.digests is not None
    assert b.digests is not None
    around = rounding.envelope(trainer, trials)
    return judge_sketches(a.digests["sketches"][list(trials)], b.digests["sketches"][mine], around)


def trace(replay: Replay, trials: Sequence[int], folder: Path) -> None:
    """Writes what runs under conditions are held against: losses and norms of the first steps."""
    files.write_npz(folder / TRACE, {"trace": rounding.trace(Retrainer(replay), trials)})


def follow(replay: Replay, trials: Sequence[int], folder: Path, width: int = 0) -> None:
    """Follows the trials from where they part from the trace in the parent folder.

    Args:
        width: lanes side by side (`rerun.width_of`); 0: in turn, as the study was trained.
    """
    against = files.read_npz(folder.parent / TRACE)["trace"]
    trainer = Retrainer(replay)
    population = rounding.Setup(trainer, tuple(trials)).widened(width) if width else None
    found = rounding.trajectory(trainer, trials, against=against, population=population)
    rounding.save(folder / TRAJECTORY, found)


def judge(replay: Replay, trials: Sequence[int], folder: Path) -> None:
    """Writes the judgement on each folder in here in which a trajectory was left, by its name.

    The study trained again with nothing changed is held by its sketches against what the first one
    left, which may come from elsewhere.
    """
    trainer, found = Retrainer(replay), dict[str, Any]()
    if (folder / HERE).is_dir():
        first, again = Side(replay.saved.workdir.root), Side(folder / HERE)
        told = compare(first, again)
        if not not_asked(first, again, told):
            found[HERE] = by_sketches(trainer, first, again, told, trials).to_json()
    jittered = rounding.Jittered(trainer, trials)
    amplitude = rounding.calibrate(trainer, trials, jittered=jittered).amplitude
    for path in sorted(folder.glob(f"*/{TRAJECTORY}")):
        try:
            there = rounding.load(path)
        except files.CorruptFile as error:
            found[path.parent.name] = {"verdict": "cannot tell", "sentence": str(error)}
            continue
        here = rounding.trajectory(trainer, trials, starts=there.starts)
        around = rounding.envelope(
            trainer, trials, starts=there.starts, amplitude=amplitude, jittered=jittered
        )
        found[path.parent.name] = judgement.judge(here, there, around).to_json()
    files.write_json(folder / JUDGED, found)
