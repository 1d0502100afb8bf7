"""The branch test of a finished study's run, from its folder alone; nothing is written there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from convergence.branching import run
from convergence.branching.outcome import BranchTest
from convergence.errors import UserError, unknown_name
from convergence.replay import Retrainer, open_replay
from convergence.reporting.progress import Progress
from convergence.study import Machine


def of_folder(folder: Path, arm: str = "", own: Mapping[str, str] | None = None) -> BranchTest:
    """Trains a study's run again, continues it with its rate lowered elsewhere, and judges it.

    The study's metric and margin are what is compared; its validation rows are what it is compared
    on.

    Args:
        folder: a finished study's.
        arm: whose seeds; may be left out where the study has one.
        own: as `open_replay`.

    Raises:
        UserError: as `open_replay`; no such arm, one seed, or nothing that could be branched.
    """
    replay = open_replay(folder, own)
    names = [one.name for one in replay.study.arms]
    if not arm and len(names) > 1:
        raise UserError(
            f"the study in {folder} has {len(names)} arms; name one: {', '.join(names)}.", "arm"
        )
    if arm and arm not in names:
        raise unknown_name(arm, names, "arm", "arm")
    if replay.study.run.num_seeds < 2:
        raise UserError(
            f"the study in {folder} has one seed, which says nothing about spread; train it with"
            " more, such as 16."
        )
    trainer = Retrainer(replay, Machine.here())
    index = names.index(arm) if arm else 0
    ways = run.ways_of(trainer.plan, index)
    with Progress("branches") as bar:
        return run.judged(trainer, ways, bar=bar, arm=index)
