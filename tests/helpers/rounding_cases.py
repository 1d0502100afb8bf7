"""Rounding or bug: pairs of runs of which it is known what made them differ, measured and judged.

    PYTHONPATH=tests python -m helpers.rounding_cases measure FOLDER STUDY [FIRST COUNT]
    PYTHONPATH=tests python -m helpers.rounding_cases judge FOLDER
    PYTHONPATH=tests python -m helpers.rounding_cases finer STUDY [SETUPS]

The first trains a study's pairs (`rounding_studies.REPORTED` or `CALIBRATION`; setups FIRST …) and
leaves a file for each in FOLDER; a setup that is there whole is left out, and so is a variation
that was found to change no bit of the study. The second judges all that are there and prints the
table, the third shows how small an error of the rate is still seen.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from helpers.rounding_studies import BIAS_DECAY, REPORTED, Trainer

from convergence.analysis.rounding import Judgement, judge_distances, judge_sketch_distances
from convergence.analysis.trajectory import Envelope, Trajectory, distances, sketches_apart
from convergence.reporting import files
from convergence.rounding import Calibration, Jittered, calibrate, envelope, trace, trajectory
from convergence.training.state import Lane

SEEDS = 4  # of a pair
UNTIL = 64  # steps in which the first difference is looked for
SETUPS = 12  # of a study: each rate twice, with other seeds
VARIATIONS = ("vmap 2", "unrolled", "fusion emitters off", "order of a sum", "fast math")
FEWER = ("vmap 2", "order of a sum", "fast math")  # where thresholds are set
FINER = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)  # errors of the rate
CALIBRATED = (1, 4)  # widths of vmap that set the amplitude

Bug = Callable[[Trainer, int, Lane], Lane]


def _hyper(lane: Lane, **values: float) -> Lane:
    return lane._replace(hyper=lane.hyper | {k: np.float32(v) for k, v in values.items()})


def _scaled(name: str, factor: float) -> Bug:
    return lambda trainer, trial, lane: _hyper(lane, **{name: lane.hyper[name] * factor})


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


def bugs(trainer: Trainer, sign: int) -> dict[str, Bug | None]:
    """A study's bugs by name; None: in the course, not in the inputs."""
    adam = trainer.case.train.optimizer != "momentum"
    found: dict[str, Bug | None] = {
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


class Setup:
    """Some seeds of one arm, from which pairs are made.

    Args:
        trainer: of the study.
        number: of the setup: an arm and seeds.
        shaken: made for another setup of the study.
        calibration: of the study's first setup.
    """

    def __init__(
        self,
        trainer: Trainer,
        number: int,
        shaken: Jittered | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        rates = trainer.case.rates
        reported = trainer.name in REPORTED
        begin = 32 * (not reported) + SEEDS * (number // len(rates))
        self.trainer, self.number, self.rate = trainer, number, rates[number % len(rates)]
        self.trials = trainer.trials(number % len(rates), range(begin, begin + SEEDS))
        own = trainer.retrainer
        self.shaken = Jittered(own, self.trials, shaken and shaken.population)
        self.calibration = calibration or calibrate(own, self.trials, CALIBRATED, self.shaken)
        self._against = trace(own, self.trials, UNTIL)
        self._spans: dict[tuple[int, ...], tuple[Trajectory, Envelope]] = {}

    def span(self, starts: np.ndarray) -> tuple[Trajectory, Envelope]:
        """The trials' own trajectory and envelope from these starts."""
        key = tuple(map(int, starts))
        if key not in self._spans:
            own = self.trainer.retrainer
            self._spans[key] = (
                trajectory(own, self.trials, starts=starts),
                envelope(
                    own,
                    self.trials,
                    starts=starts,
                    amplitude=self.calibration.amplitude,
                    jittered=self.shaken,
                ),
            )
        return self._spans[key]

    def pair(self, how: str, bug: Bug | None = None, dropped: bool = False) -> dict[str, Any]:
        """What there is to judge of the trials and their like with a variation and a bug."""
        taken = self.trainer.course(self.trials, how, bug, dropped)
        other = trajectory(self.trainer.retrainer, self.trials, against=self._against, taken=taken)
        base, span = self.span(other.starts)
        told = {
            "how": how,
            "study": self.trainer.name,
            "rate": self.rate,
            "first": other.first,
            "starts": base.starts,
            "offsets": base.offsets,
            "leaves": np.array(base.leaves),
            "sketch": sketches_apart(base, other),
            "sketch length": np.linalg.norm(base.sketches.astype(float), axis=2),
        }
        told["gap distance"] = distances(base, other)
        return told | {f"envelope {k}": v for k, v in vars(span).items()}


def judged(told: dict[str, Any], sketches: bool = False) -> Judgement:
    """The judgement of a pair, by params or by sketches alone."""
    arrays = {name: told[f"envelope {name}"] for name in ("distance", "unit", "sketch")}
    span = Envelope(**arrays, amplitude=float(told["envelope amplitude"]), told="")
    if sketches:
        return judge_sketch_distances(told["sketch"], told["sketch length"], span.sketch, "")
    apart = told["gap distance"]
    leaves = tuple(map(str, told["leaves"]))
    return judge_distances(apart, span, told["offsets"], leaves, told["starts"], told["first"])


def measure(folder: Path, name: str, first: int = 0, count: int = SETUPS) -> None:
    """Trains the pairs of some setups of a study and writes what is to be judged."""
    trainer, setup = Trainer(name), None
    ways = list(VARIATIONS if name in REPORTED else FEWER)
    ways += ["convolution"] if trainer.case.model.model == "cnn" else []

    def alike(how: str) -> Path:
        return folder / f"{name} {how}.alike".replace(" ", "_")

    ways = [how for how in ways if not alike(how).exists()]
    for number in range(first, first + count):
        done = folder / f"{name} {number:02}.done".replace(" ", "_")
        if done.exists():
            continue
        clock = time.perf_counter()
        setup = Setup(trainer, number, setup and setup.shaken, setup.calibration if setup else None)

        def write(truth: str, kind: str, told: dict[str, Any], number: int = number) -> None:
            place = f"{name} {number:02} {truth} {kind} by {told['how'] or 'itself'}.npz"
            files.write_npz(folder / place.replace(" ", "_"), told | {"truth": truth, "kind": kind})

        for how in list(ways):
            told = setup.pair(how)
            write("rounding", how, told)
            if judged(told).verdict == "same bits":
                files.write_text(alike(how), "")
                ways.remove(how)  # it changes no bit of this study: not asked again
                print(name, how, "leaves all bits as they are", flush=True)
        # Alternately by the same executable, and with another rounding besides.
        for place, (kind, bug) in enumerate(bugs(trainer, 1 if number % 2 else -1).items()):
            turn = (place + number) % 4
            if turn in (0, 2):
                how = ways[(place + number) % len(ways)] if turn else ""
                write("bug", kind, setup.pair(how, bug, dropped=bug is None))
        files.write_text(done, "")
        print(name, number, f"{time.perf_counter() - clock:.0f} s", flush=True)
        print(name, setup.calibration.told, flush=True)


def pairs(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """All pairs in a folder, by name; those of equal bits too."""
    for path in sorted(folder.glob("*.npz")):
        yield path.stem, files.read_npz(path)


def table(folder: Path, sketches: bool = False) -> Iterator[str]:
    """Verdicts by truth and kind, as lines of Markdown."""
    counts: dict[tuple[str, str], dict[str, int]] = {}
    sizes: dict[tuple[str, str], list[float]] = {}
    for _, told in pairs(folder):
        found = judged(told, sketches)
        truth, kind = str(told["truth"]), str(told["kind"])
        for key in ((truth, kind), (truth, "all")):
            row = counts.setdefault(key, {})
            row[found.verdict] = row.get(found.verdict, 0) + 1
            if found.verdict != "same bits" and not math.isnan(found.statistic):
                sizes.setdefault(key, []).append(found.statistic)
    yield "| truth | kind | rounding | cannot tell | bug | equal bits | excess, decades |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
    for key in sorted(counts):
        row = [str(counts[key].get(v, 0)) for v in ("rounding", "cannot tell", "bug", "same bits")]
        there = sizes.get(key, [])
        span = f"{min(there):.2f} to {max(there):.2f}" if there else ""
        yield "| " + " | ".join([*key, *row, span]) + " |"


def finer(name: str, setups: int = 6) -> Iterator[str]:
    """Verdicts on rates wrong by ever less, by another executable besides, as lines of Markdown."""
    trainer, setup = Trainer(name), None
    found: dict[float, list[Judgement]] = {share: [] for share in FINER}
    for number in range(setups):
        setup = Setup(trainer, number, setup and setup.shaken, setup.calibration if setup else None)
        for share, told in found.items():
            bug = _scaled("learning_rate", 1 + share)
            told.append(judged(setup.pair(VARIATIONS[0], bug)))
    yield "| rate wrong by | rounding | cannot tell | bug | excess, decades |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for share, told in found.items():
        counts = [sum(one.verdict == v for one in told) for v in ("rounding", "cannot tell", "bug")]
        sizes = [one.statistic for one in told]
        yield (
            f"| {share:g} | {' | '.join(map(str, counts))} | {min(sizes):.2f} to {max(sizes):.2f} |"
        )


if __name__ == "__main__":
    where = Path(sys.argv[2])
    if sys.argv[1] == "finer":
        print("\n".join(finer(sys.argv[2], *map(int, sys.argv[3:]))))
    elif sys.argv[1] == "measure":
        where.mkdir(parents=True, exist_ok=True)
        measure(where, sys.argv[3], *map(int, sys.argv[4:]))
    else:
        for alone in (False, True):
            print("\nby sketches alone" if alone else "by params", flush=True)
            for line in table(where, alone):
                print(line)
