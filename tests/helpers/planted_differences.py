"""Print what `convergence.difference` finds of planted differences, as Markdown tables.

PYTHONPATH=tests python -m helpers.planted_differences [--cases=60] [--others=20] [--lengths=…]
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from helpers.planted import EVERY, SAVED, Case, base, case, cases

from convergence.difference.finding import Finding, of_runs
from convergence.difference.runs import Part, Records, Run, Stored, Walker, chained, recorded


@dataclasses.dataclass(frozen=True)
class Judged:
    """How a case was answered."""

    case: Case
    found: Finding
    step: bool  # the first step exact, or the interval holds it
    cause: bool
    short: bool  # at most one checkpoint interval was replayed


def judged(one: Case) -> Judged:
    """The answer to a case, held against the truth."""
    found = of_runs(one.a, one.b)
    short = not one.kept or found.replayed <= SAVED
    if one.replayable:
        right = found.found is not None and found.found.step == one.step
        named = found.cause is not None and set(found.cause.names) <= one.causes
        return Judged(one, found, right, named and bool(found.cause and found.cause.names), short)
    interval = found.interval
    right = (
        found.found is None
        and interval is not None
        and interval.differs is not None
        and interval.first <= one.step <= interval.last
    )
    return Judged(one, found, right, True, short)


def judged_all(replayable: int, others: int, seed: int = 4) -> Iterator[Judged]:
    """Each case's answer, from a fixed generator."""
    for index, (kind, can, kept) in enumerate(cases(replayable, others)):
        yield judged(case(kind, np.random.default_rng([seed, index]), can, kept))


def table(answers: Sequence[Judged]) -> Iterator[str]:
    """Counts by kind, and in all."""
    yield "| kind | cases | first step exact | cause right | redrawn |"
    yield "|---|---|---|---|---|"
    can = [one for one in answers if one.case.replayable]
    for kind in dict.fromkeys(one.case.kind for one in can):
        mine = [one for one in can if one.case.kind == kind]
        exact, right = sum(o.step for o in mine), sum(o.cause for o in mine)
        redrawn = sum(o.case.redrawn for o in mine)
        yield f"| {kind} | {len(mine)} | {exact} | {right} | {redrawn} |"
    exact, right = sum(o.step for o in can), sum(o.cause for o in can)
    yield f"| all | {len(can)} | {exact} | {right} | {sum(o.case.redrawn for o in can)} |"
    rest = [one for one in answers if not one.case.replayable]
    widths = [o.found.interval.last - o.found.interval.first + 1 for o in rest if o.found.interval]
    yield ""
    yield f"Not replayable: the interval holds the first step in {sum(o.step for o in rest)} of"
    yield f"{len(rest)}; its width is at most {max(widths, default=0)} steps (marks every {EVERY})."
    kept = [one for one in answers if one.case.kept]
    yield f"With checkpoints kept every {SAVED}: at most so many steps replayed in"
    yield f"{sum(o.short for o in kept)} of {len(kept)}."


def wrong(answers: Sequence[Judged]) -> Iterator[str]:
    """The cases that were answered wrongly."""
    for one in answers:
        if not (one.step and one.cause and one.short):
            told = one.found.found.step if one.found.found else one.found.interval
            why = one.found.cause
            yield f"WRONG {one.case.study} {one.case.kind}: {told} for {one.case.step}, {why}"


def long_run(steps: int, kept: bool, seed: int = 5) -> Finding:
    """A run of so many steps with a bit flipped late in it, against the plain one."""
    part = base("mlp")
    every, saved = max(1, steps // 1000), steps // 20
    width = -(-steps // 256) * 256
    shapes = np.ones((1, width), np.float32)
    part = part._replace(
        lane=part.lane._replace(steps=np.int32(steps), schedule=np.int32(0)),
        shared=part.shared._replace(shapes=shapes, fingerprint_every=np.int32(every)),
        population=_fresh(part),
    )
    at = int(np.random.default_rng(seed).integers(steps // 2, steps))

    def flip(state: object) -> object:
        leaves, structure = jax.tree.flatten(state.train.params)  # type: ignore[attr-defined]
        leaves = [np.array(leaf) for leaf in leaves]
        leaves[0].view(np.uint32).flat[0] ^= np.uint32(1 << 20)
        train = state.train._replace(params=jax.tree.unflatten(structure, leaves))  # type: ignore[attr-defined]
        return state._replace(train=train)  # type: ignore[attr-defined]

    runs = [Run(steps, (part,)), Run(steps, (part,), edits={at: flip})]  # type: ignore[dict-item]
    empty = np.zeros((steps // every, 2), np.uint32)
    form = Records(every, empty, empty, empty[0], empty[0], np.zeros((0, 64), np.float32))
    told = []
    for run in runs:
        stored = _kept(run, saved) if kept else {}
        told.append(dataclasses.replace(run, records=recorded(run, form), stored=stored))
    found = of_runs(*told)
    assert found.found is not None
    assert found.found.step == at, (found.found.step, at)
    return found


def _fresh(part: Part):  # type: ignore[no-untyped-def]
    from convergence.training.population import Population

    known = part.population
    return Population(known.program, known.lanes, known.workers, "map")


def _kept(run: Run, saved: int) -> dict:  # type: ignore[type-arg]
    walker, chain, kept = Walker(run), np.zeros(2, np.uint32), {}
    state = walker.initial()
    for start in range(0, run.steps - saved, saved):
        told = walker.advance(state, start, start + saved)
        chain, state = chained(chain, told, start), told.state
        stored = Stored(state, chain)
        kept[start + saved] = lambda stored=stored: stored
    return kept


def lengths(asked: Sequence[int]) -> Iterator[str]:
    """Steps replayed for runs of some lengths."""
    yield ""
    yield "| steps | marks every | checkpoints every | replayed, kept | replayed, none kept |"
    yield "|---|---|---|---|---|"
    for steps in asked:
        told = [long_run(steps, kept).replayed for kept in (True, False)]
        yield f"| {steps} | {max(1, steps // 1000)} | {steps // 20} | {told[0]} | {told[1]} |"


def main() -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--others", type=int, default=20)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--lengths", default="1000,10000,100000")
    told = parser.parse_args()
    answers = []
    for one in judged_all(told.cases, told.others, told.seed):
        answers.append(one)
        for line in wrong([one]):
            print(line, flush=True)
    print("\n".join(table(answers)), flush=True)
    for line in lengths([int(n) for n in told.lengths.split(",") if n]):
        print(line, flush=True)


if __name__ == "__main__":
    main()
