"""Rounding or bug: pairs of runs of which it is known what made them differ, measured and judged.

    PYTHONPATH=tests python -m helpers.rounding_cases measure FOLDER STUDY [FIRST COUNT]
    PYTHONPATH=tests python -m helpers.rounding_cases judge FOLDER

The first trains a study's pairs (`rounding_studies.REPORTED` or `CALIBRATION`; setups FIRST …) and
leaves a file for each in FOLDER, the second judges all that are there and prints the table.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from helpers.rounding_studies import BIAS_DECAY, CALIBRATION, REPORTED, STUDIES, Trainer

from convergence.analysis.trajectory import Envelope, Gap, gap
from convergence.reporting import files
from convergence.rounding import (
    Jittered,
    calibrate,
    envelope,
    trace,
    trajectory,
)
from convergence.training.state import Lane

SEEDS = 4  # of a pair
UNTIL = 64  # steps in which the first difference is looked for
SETUPS = 12  # of a study: each rate twice, with other seeds
VARIATIONS = ("vmap 2", "vmap 3", "unrolled", "fusion emitters off", "order of a sum", "fast math")
CALIBRATED = (1, 4)  # widths of vmap that set the amplitude


def _hyper(lane: Lane, **values: float) -> Lane:
    return lane._replace(hyper=lane.hyper | {k: np.float32(v) for k, v in values.items()})


def _scaled(name: str, factor: float) -> Any:
    def bug(trainer: Trainer, trial: int, lane: Lane) -> Lane:
        return _hyper(lane, **{name: lane.hyper[name] * factor})

    return bug


def _late(trainer: Trainer, trial: int, lane: Lane) -> Lane:
    rows = len(trainer.retrainer.plan.shapes) // 2
    return lane._replace(schedule=np.int32(lane.schedule + rows))


def _wrong_labels(trainer: Trainer, trial: int, lane: Lane) -> Lane:
    draws = np.random.default_rng([trial, 17])
    rows = lane.rows[: lane.train_count]
    wrong = draws.choice(rows, max(1, len(rows) // 100), replace=False)
    targets = np.array(lane.targets)
    if targets.dtype.kind == "i":
        targets[wrong] = (targets[wrong] + 1) % trainer.retrainer.replay.dataset.num_classes
    else:
        targets[wrong] = targets[draws.choice(rows, len(wrong), replace=False)]
    return lane._replace(targets=targets)


def _bugs(trainer: Trainer, sign: int) -> dict[str, Any]:
    """A study's bugs by name; None: in the course, not in the inputs."""
    adam = trainer.case.train.optimizer != "momentum"
    found = {
        "rate ±1 %": _scaled("learning_rate", 1 + 0.01 * sign),
        "momentum ±1 %": _scaled("beta1" if adam else "momentum", 1 + 0.01 * sign),
        "no decay on biases": lambda t, k, lane: _hyper(lane, **{BIAS_DECAY: 0.0}),
        "schedule off by one": _late,
        "last batch dropped": None,
        "1 label in 100 wrong": _wrong_labels,
    }
    if trainer.case.model.dropout:
        found["dropout .11 for .10"] = lambda t, k, lane: _hyper(lane, dropout=0.11)
    if adam:
        found["epsilon 1e-6 for 1e-8"] = lambda t, k, lane: _hyper(lane, epsilon=1e-6)
    return found


def measure(folder: Path, name: str, first: int = 0, count: int = SETUPS) -> None:
    """Trains the pairs of some setups of a study and writes what is to be judged."""
    trainer = Trainer(name)
    reported = name in REPORTED
    ways = [*VARIATIONS, *(["convolution"] if trainer.case.model.model == "cnn" else [])]
    if not reported:
        ways = ["vmap 2", "order of a sum", "fast math", *ways[6:]]
    equal: set[str] = set()
    shaken: Jittered | None = None
    amplitude: tuple[float, str] | None = None
    for number in range(first, first + count):
        arm = number % len(trainer.case.rates)
        begin = 32 * (not reported) + SEEDS * (number // len(trainer.case.rates))
        trials = trainer.trials(arm, range(begin, begin + SEEDS))
        clock = time.perf_counter()
        shaken = Jittered(trainer.retrainer, trials, shaken and shaken.population)
        if amplitude is None:
            amplitude = dataclasses.astuple(
                calibrate(trainer.retrainer, trials, CALIBRATED, shaken)
            )
            print(name, amplitude[1], f"{time.perf_counter() - clock:.0f} s", flush=True)
        against = trace(trainer.retrainer, trials, UNTIL)
        spans: dict[tuple[int, ...], tuple[Any, Envelope]] = {}

        def pair(
            truth: str,
            kind: str,
            how: str,
            bug: Any = None,
            dropped: bool = False,
            trials: tuple[int, ...] = trials,
            against: np.ndarray = against,
            spans: dict[tuple[int, ...], Any] = spans,
            number: int = number,
            arm: int = arm,
            shaken: Jittered = shaken,
        ) -> bool:
            taken = trainer.course(trials, how, bug, dropped)
            other = trajectory(trainer.retrainer, trials, against=against, taken=taken)
            place = folder / f"{name} {number:02} {truth} {kind} by {how or 'itself'}.npz".replace(
                " ", "_"
            )
            same = bool((other.first < 0).all())
            starts = tuple(map(int, other.starts))
            if starts not in spans:
                base = trajectory(trainer.retrainer, trials, starts=other.starts)
                span = envelope(
                    trainer.retrainer,
                    trials,
                    starts=other.starts,
                    amplitude=amplitude[0],  # type: ignore[index]
                    jittered=shaken,
                )
                spans[starts] = base, span
            base, span = spans[starts]
            told = {
                "truth": truth,
                "kind": kind,
                "how": how,
                "study": name,
                "rate": trainer.case.rates[arm],
                "same": same,
                "first": other.first,
                "leaves": np.array(base.leaves),
                "sketch": np.linalg.norm(other.sketches.astype(float) - base.sketches, axis=2),
            }
            told |= {f"gap {k}": v for k, v in vars(gap(base, other)).items()}
            told |= {f"envelope {k}": v for k, v in vars(span).items()}
            files.write_npz(place, told)
            return same

        for how in ways:
            if how not in equal and pair("rounding", how, how):
                equal.add(how)  # it changes no bit here: not asked again
                print(name, how, "leaves all bits as they are", flush=True)
        bugs = _bugs(trainer, 1 if number % 2 else -1)
        there = [way for way in ways if way not in equal]
        # Alternately by the same executable, and with another rounding besides.
        for place, (kind, bug) in enumerate(bugs.items()):
            turn = (place + number) % 4
            if turn in (0, 2):
                how = there[(place + number) % len(there)] if turn else ""
                pair("bug", kind, how, bug, dropped=bug is None)
        print(name, number, f"{time.perf_counter() - clock:.0f} s", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "measure":
        where = Path(sys.argv[2])
        where.mkdir(parents=True, exist_ok=True)
        measure(where, sys.argv[3], *map(int, sys.argv[4:]))
