"""Real runs of this engine, each labelled by what happened when it went on ten times as long.

A run is cut at a tenth or a twentieth of its length: the cut part is judged, the next ten times as
long and the other arms of its task tell what is true. (Runs that set rules are cut more often.) Its
rate is constant from before the cut on, but for cycled rates, which go on until a little after it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from helpers.curve_shapes import MATTERS, Case
from helpers.curve_tasks import LENGTH, RATES, SEEDS, Task, arms

from convergence import data, spec
from convergence.analysis.curves import Kind
from convergence.analysis.curves import judgement as says
from convergence.analysis.curves.series import running
from convergence.spec import RunSpec, Setting, StudySpec
from convergence.study import Machine, Study, resolve

CUTS = (10, 20)  # the judged part is the whole over this
KINDS: dict[Kind, tuple[str, str]] = {  # the steps and the values of each kind of curve
    "loss": ("loss_step", "loss"),
    "held-out": ("eval_step", "held_out"),
    "score": ("eval_step", "score"),
}
NOTHING = 0.02  # of the best arm's descent: nothing was learned
RISEN = 0.05  # of the start: above, it is worse than there
SWINGS = 0.08  # of the descent
TENTH = 0.1
STILL = f"rate {RATES[0]:g}"  # the arm that hardly moves
PHASES = 8  # of a cycle


def trained(task: Task) -> dict[str, np.ndarray]:
    """The curves of every arm and seed of a task, as arrays by name."""
    setting = Setting(task.data, task.model, task.train)
    run = RunSpec(
        num_seeds=SEEDS,
        eval_every=LENGTH // task.evaluations,
        seed=task.seed,
        save_params="none",
    )
    study = spec.validate(StudySpec(setting=setting, run=run, arms=arms(task)))
    loaded = data.load(task.data)
    history = Study(resolve(study, loaded), loaded, Machine.here(2)).run()
    steps, loss = history.loss_curve()
    classes = loaded.task == "classification"
    return {
        "loss_step": steps,
        "loss": loss["mean"],
        "eval_step": history.eval_steps,
        "held_out": history.curve("cross_entropy" if classes else "rmse"),
        "score": history.curve("accuracy" if classes else "r2"),
        "arm": np.array([one.arm for one in history.trials]),
        "arms": np.array(history.arm_names),
    }


def digest(task: Task) -> str:
    """Of all that decides what the runs of a task are, wherever its data lie."""
    data = dataclasses.replace(task.data, data_path="")
    told = (LENGTH, SEEDS, dataclasses.replace(task, data=data), arms(task))
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]


def curves(task: Task, cache: Path | None) -> dict[str, np.ndarray]:
    """As `trained`, kept in a file in the folder ``cache`` if there is one."""
    if cache is None:
        return trained(task)
    path = cache / f"{task.name} {digest(task)}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, **trained(task))
    with np.load(path) as held:
        return {name: held[name] for name in held.files}


def _level(steps: np.ndarray, values: np.ndarray, until: float) -> np.ndarray:
    """[trials] means over the last tenth before a step; infinite where it is not finite."""
    inside = (steps > (1 - TENTH) * until) & (steps <= until)
    mean = values[:, inside].mean(axis=1)
    return np.where(np.isfinite(mean), mean, np.inf)


def _lowest(steps: np.ndarray, values: np.ndarray, first: float, last: float) -> float:
    """The lowest mean over a tenth of ``last`` between two steps; infinite without a finite one."""
    inside = (steps > first) & (steps <= last)
    width = max(int(((steps > (1 - TENTH) * last) & inside).sum()), 1)
    means = np.convolve(values[inside], np.ones(width) / width, "valid")
    return float(np.min(means[np.isfinite(means)], initial=np.inf))


def _error(steps: np.ndarray, values: np.ndarray, until: float) -> float:
    """Standard error of `_level`, from second differences."""
    part = values[(steps > (1 - TENTH) * until) & (steps <= until)]
    return _noise(part) / np.sqrt(max(len(part), 1))


def _noise(part: np.ndarray) -> float:
    """Standard deviation about a smooth course, from second differences."""
    if len(part) < 3:
        return 0.0
    return float(np.median(np.abs(np.diff(part, 2))) / 0.6745 / np.sqrt(6))


def cases(task: Task, cache: Path | None, cuts: Sequence[int] = ()) -> list[Case]:
    """Every cut run of a task with its label, beside all others of the task cut alike.

    Args:
        task: of which the runs are.
        cache: as of `curves`.
        cuts: the judged parts are the whole over each; without, each run is judged at one of
            `CUTS` only.
    """
    held = curves(task, cache)
    found = []
    for kind, (step_name, name) in KINDS.items():
        steps, sign = held[step_name].astype(np.float64), -1.0 if kind == "score" else 1.0
        for turn, cut in enumerate(cuts or CUTS):
            only = None if cuts else turn
            found += _cut(task, held, kind, steps, sign * held[name], LENGTH / cut, only)
    return found


def _cut(
    task: Task,
    held: dict[str, np.ndarray],
    kind: Kind,
    steps: np.ndarray,
    values: np.ndarray,
    until: float,
    turn: int | None,
) -> list[Case]:
    inside, sign = steps <= until, -1.0 if kind == "score" else 1.0
    arm, names = held["arm"], [str(name) for name in held["arms"]]
    replica = np.array([int((arm[:k] == one).sum()) for k, one in enumerate(arm)])
    now = _level(steps, values, until)
    # All arms of a seed start from the same weights, and one of them hardly moves.
    still = arm == names.index(STILL)
    starts = np.array([_start(kind, values[still & (replica == k)][0]) for k in range(SEEDS)])
    broken = _broken(held, until)
    runs = [(steps[inside], one) for one in sign * values[:, inside]]
    found = []
    for row in range(len(arm)):
        if turn is not None and replica[row] % len(CUTS) != turn:
            continue
        name = names[arm[row]]
        start, of_arm = float(starts[replica[row]]), np.median(values[arm == arm[row]], axis=0)
        own = replica == replica[row]
        # The best arm of the other seeds, so that none is chosen for its luck in this one.
        means = [now[(arm == k) & ~own].mean() for k in range(len(names))]
        best = np.flatnonzero((arm == int(np.argmin(means))) & own)[0]
        unsure = _error(steps, values[best], until)
        about = About(kind, until, start, float(now[best]), unsure, name, of_arm, bool(broken[row]))
        truth = _truth(steps, values[row], about)
        others = (*runs[:row], *runs[row + 1 :])
        source = f"real: {task.name}, {name}, {kind}, {until:g} steps"
        found.append(Case(truth, source, kind, *runs[row], sign * float(now[row]), others))
    return found


def _broken(held: dict[str, np.ndarray], until: float) -> np.ndarray:
    """bool[trials] whether training had diverged by a step."""
    end = _level(held["loss_step"].astype(np.float64), held["loss"], until)
    return end > (1 + RISEN) * held["loss"][:, :3].max(axis=1)


def _start(kind: Kind, still: np.ndarray) -> float:
    return float(still[:50].mean() if kind == "loss" else still[0])


@dataclasses.dataclass(frozen=True)
class About:
    """What is known of a run.

    Attributes:
        kind, arm: as named.
        until: where it is cut.
        start: where all arms of its seed start.
        best, unsure: the level of the best arm where it is cut, and its standard error.
        middle: [points] the median of the arm's seeds.
        broken: whether its training loss ended above where it began, or not finite.
    """

    kind: Kind
    until: float
    start: float
    best: float
    unsure: float
    arm: str
    middle: np.ndarray
    broken: bool


def _truth(steps: np.ndarray, values: np.ndarray, about: About) -> str:
    """What happened to a run that is cut at a step; neither where noise alone would decide."""
    until, start = about.until, about.start
    now = float(_level(steps, values[None], until)[0])
    then = float(_level(steps, values[None], 10 * until)[0])
    error = _error(steps, values, until)
    descent, most = start - now, start - about.best
    if about.arm == STILL:  # nothing moves, whatever noise says
        return says.NOT_LEARNING
    if not np.isfinite(now):
        return says.DIVERGED
    worse = _more(now - start, RISEN * abs(start), error)
    if worse is None:
        return "neither"
    if about.kind == "loss" and worse:
        return says.DIVERGED
    before = now
    if about.kind != "loss":
        before = _lowest(steps, values, -np.inf, until)
        then = _lowest(steps, values, until, 10 * until)
    fallen = start - before
    learned = _more(fallen, NOTHING * most, 2 * error)
    swings = _swings(steps, values, about, max(fallen, NOTHING * most))
    if not learned and (swings is not None or learned is None):
        return "neither"
    if worse and swings is not None:
        return "neither"
    if worse:  # though it may have fallen before: was that training's doing?
        return says.DIVERGED if about.broken else says.OVERTRAINED if learned else "neither"
    if not learned:
        return says.NOT_LEARNING
    if swings == 0:
        return "neither"
    if swings and now - before < 2 * swings:
        return says.OSCILLATING
    if about.kind != "loss":
        lost = _more(now - before, MATTERS * fallen, 2 * error)
        if fallen > 2 * MATTERS * most and lost is not False:
            return says.OVERTRAINED if lost and then >= before else "neither"
    if not np.isfinite(then):
        return "neither"
    improves = _more(now - then, MATTERS * descent, error)
    beaten = _more(now - about.best, MATTERS * descent, float(np.hypot(error, about.unsure)))
    if improves is None or (not improves and beaten is None):
        return "neither"
    return says.IMPROVING if improves else says.STUCK if beaten else says.CONVERGED


def _swings(steps: np.ndarray, values: np.ndarray, about: About, fallen: float) -> float | None:
    """By how much a run swings without batches' doing; 0 where that is in doubt, None if not."""
    until = about.until
    if about.arm.startswith("cycle"):
        swings = [_in_step(about.arm, steps, one, until) for one in (values, about.middle)]
        part = values[(steps > until / 2) & (steps <= until)]
        if min(swings) > max(SWINGS * fallen, _noise(part)):
            return min(swings)
        return None if max(swings) < SWINGS / 2 * fallen else 0.0
    if about.arm.startswith("full"):
        swing = _swing(steps, values, until / 2, until)
        if swing > SWINGS * fallen:
            lasts = _swing(steps, values, 5 * until, 10 * until) > SWINGS / 2 * fallen
            return swing if lasts else 0.0
    return None


def _more(difference: float, threshold: float, error: float) -> bool | None:
    """Whether a difference is above a threshold; None where that lies within an error."""
    return None if abs(difference - threshold) < error else difference > threshold


def _swing(steps: np.ndarray, values: np.ndarray, first: float, last: float) -> float:
    """Half the range of the middle nine tenths about a cubic, of a part of a run."""
    inside = (steps > first) & (steps <= last)
    part = values[inside]
    if len(part) < 8 or not np.isfinite(part).all():
        return 0.0
    at = np.linspace(-1, 1, len(part))
    rest = part - np.polynomial.Polynomial.fit(at, part, 3, domain=[-1, 1])(at)
    low, high = np.percentile(rest, [5, 95])
    return float(high - low) / 2


def _in_step(arm: str, steps: np.ndarray, values: np.ndarray, until: float) -> float:
    """Half the range of the middle course over a period of the rate, in the later half."""
    period = int(arm.split()[1])
    if np.median(np.diff(steps[steps <= until])) > period / 4:
        return np.nan  # too few points a cycle to tell
    at = np.arange(max(until / 2 - period, steps[0]), until + period)
    course = np.interp(at, steps, values)
    late = (at > until / 2) & (at <= until)
    phase = np.floor(at[late] % period / period * PHASES).astype(int)
    # A mean about which to swing is far off near a spike, a median near a jump: the smaller counts.
    mean = np.convolve(course, np.ones(period) / period, "same")
    rests = [(course - middle)[late] for middle in (mean, running(course, period // 2))]
    swings = [[np.median(rest[phase == k]) for k in range(PHASES)] for rest in rests]
    return min(float(np.ptp(one)) / 2 for one in swings)
