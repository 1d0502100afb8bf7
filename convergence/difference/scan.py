"""The narrowest interval in which two runs part, from what they left: scanned, never halved.

Differences can heal, so that equal states late say nothing of those before; the chain over every
step's loss and gradient norm never heals, and tells of a difference that has gone again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from convergence.difference.runs import Records, Stored


@dataclasses.dataclass(frozen=True)
class Interval:
    """Between what is known of two runs.

    Attributes:
        equal: steps after which all that is known of both is the same; 0 where nothing is known.
        differs: fewest steps after which something is known to differ; None where nothing does.
        by: what differs there: ``fingerprint``, ``chain``, ``sketch``, ``checkpoint``, ``length``.
        healed: the states are the same after `differs` steps; only the chain tells.
        common: steps that both runs have.
    """

    equal: int
    differs: int | None
    by: tuple[str, ...] = ()
    healed: bool = False
    common: int = 0

    @property
    def first(self) -> int:
        """Index of the first step that may be the first to differ."""
        return self.equal

    @property
    def last(self) -> int:
        """Index of the last step that may be the first to differ."""
        assert self.differs is not None
        return max(self.equal, self.differs - 1)


def _words(records: Records, steps: int) -> dict[str, dict[int, bytes]]:
    """What a run's records tell, by kind and number of steps done."""
    at = [records.every * (k + 1) for k in range(len(records.marks))] if records.every else []
    told: dict[str, dict[int, bytes]] = {"fingerprint": {}, "chain": {}, "sketch": {}}
    for place, step in enumerate(at):
        if step <= steps and place < len(records.chains):
            told["fingerprint"][step] = records.marks[place].tobytes()
            told["chain"][step] = records.chains[place].tobytes()
    told["fingerprint"][steps] = records.fingerprint.tobytes()
    told["chain"][steps] = records.chain.tobytes()
    for place, values in enumerate(records.sketches):
        step = 0 if place == 0 else 1 << (place - 1)
        if step <= steps:
            told["sketch"][step] = values.tobytes()
    return told


def scan(a: Records, b: Records, steps_a: int, steps_b: int) -> Interval:
    """The narrowest interval that two runs' records allow.

    Only steps at which both left something are compared. Equal sketches prove nothing (they are
    sums); equal fingerprints and chains prove equal states (two words of 32 bits each).

    Args:
        steps_a, steps_b: lengths of the runs.
    """
    common = min(steps_a, steps_b)
    one, other = _words(a, steps_a), _words(b, steps_b)
    differing: dict[int, list[str]] = {}
    same: set[int] = set()
    for kind, told in one.items():
        for step in told.keys() & other[kind].keys():
            if step > common:
                continue
            if told[step] != other[kind][step]:
                differing.setdefault(step, []).append(kind)
            elif kind == "fingerprint":
                same.add(step)
    if not differing:
        if steps_a != steps_b:
            return Interval(max(same, default=0), common + 1, ("length",), False, common)
        return Interval(max(same, default=0), None, common=common)
    first = min(differing)
    equal = max((step for step in same if step < first), default=0)
    by = tuple(differing[first])
    return Interval(equal, first, by, "chain" in by and first in same, common)


def narrowed(
    found: Interval,
    a: Mapping[int, Callable[[], Stored]],
    b: Mapping[int, Callable[[], Stored]],
    same: Callable[[Stored, Stored], bool],
) -> Interval:
    """The interval, narrowed by the checkpoints inside it that both runs kept.

    Args:
        found: as `scan` gives it.
        a, b: readers by steps done.
        same: whether two checkpoints agree in every bit of state and chain.
    """
    assert found.differs is not None
    for step in sorted(a.keys() & b.keys()):
        if not found.equal < step < found.differs:
            continue
        try:
            alike = same(a[step](), b[step]())
        except ValueError:  # a damaged one tells nothing
            continue
        if not alike:
            return dataclasses.replace(found, differs=step, by=("checkpoint",), healed=False)
        found = dataclasses.replace(found, equal=step)
    return found
