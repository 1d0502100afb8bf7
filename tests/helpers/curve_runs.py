"""Real runs of this engine, each labelled by what happened when it went on ten times as long.

A run at a constant rate is cut at a tenth or a twentieth of its length: the cut part is judged, the
rest and the other arms of its task tell what is true.
"""

from __future__ import annotations

import dataclasses
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
SWINGS = 0.08  # of the descent


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


def curves(task: Task, cache: Path | None) -> dict[str, np.ndarray]:
    """As `trained`, kept in a file in the folder ``cache`` if there is one."""
    if cache is None:
        return trained(task)
    path = cache / f"{task.name}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, **trained(task))
    with np.load(path) as held:
        return {name: held[name] for name in held.files}


def _level(steps: np.ndarray, values: np.ndarray, until: float) -> np.ndarray:
    """[trials] means over the last tenth before a step; infinite where it is not finite."""
    inside = (steps > 0.9 * until) & (steps <= until)
    mean = values[:, inside].mean(axis=1)
    return np.where(np.isfinite(mean), mean, np.inf)


def cases(task: Task, cache: Path | None) -> list[Case]:
    """Every cut run of a task with its label."""
    held = curves(task, cache)
    found = []
    for kind, (step_name, name) in KINDS.items():
        steps, sign = held[step_name].astype(np.float64), -1.0 if kind == "score" else 1.0
        for cut in CUTS:
            found += _cut(task, held, kind, steps, sign * held[name], LENGTH / cut, cut)
    return found


def _cut(
    task: Task,
    held: dict[str, np.ndarray],
    kind: Kind,
    steps: np.ndarray,
    values: np.ndarray,
    until: float,
    cut: int,
) -> list[Case]:
    inside, sign = steps <= until, -1.0 if kind == "score" else 1.0
    arm, names = held["arm"], [str(name) for name in held["arms"]]
    replica = np.array([int((arm[:k] == one).sum()) for k, one in enumerate(arm)])
    now = _level(steps, values, until)
    # All arms of a seed start from the same weights, and one of them hardly moves.
    still = arm == names.index(f"rate {RATES[0]:g}")
    starts = np.array([_start(kind, values[still & (replica == k)][0]) for k in range(SEEDS)])
    ends = np.array([now[arm == k].mean() for k in range(len(names))])
    found = []
    for row in range(len(arm)):
        if replica[row] % len(CUTS) != CUTS.index(cut):  # every run is judged at one cut only
            continue
        name = names[arm[row]]
        start, of_arm = float(starts[replica[row]]), np.median(values[arm == arm[row]], axis=0)
        about = About(kind, until, start, float(ends.min()), name, of_arm)
        truth = _truth(steps, values[row], about)
        same = (replica == replica[row]) & (arm != arm[row])
        shown = sign * values[:, inside]
        siblings = tuple((steps[inside], shown[k]) for k in np.flatnonzero(same))
        source = f"real: {task.name}, {name}, {kind}, {until:g} steps"
        end = sign * float(now[row])
        found.append(Case(truth, source, kind, steps[inside], shown[row], end, siblings))
    return found


def _start(kind: Kind, still: np.ndarray) -> float:
    return float(still[:50].mean() if kind == "loss" else still[0])


@dataclasses.dataclass(frozen=True)
class About:
    """What is known of a run.

    Attributes:
        kind, arm: as named.
        until: where it is cut.
        start: where all arms of its seed start.
        best: the level of the best arm where it is cut.
        middle: [points] the median of the arm's seeds.
    """

    kind: Kind
    until: float
    start: float
    best: float
    arm: str
    middle: np.ndarray


def _truth(steps: np.ndarray, values: np.ndarray, about: About) -> str:
    """What happened to a run that is cut at a step; neither where two verdicts are as true."""
    until, start = about.until, about.start
    now = float(_level(steps, values[None], until)[0])
    then = float(_level(steps, values[None], 10 * until)[0])
    descent, most = start - now, start - about.best
    if not np.isfinite(now) or (about.kind == "loss" and now > 1.05 * start):
        return says.DIVERGED
    if about.kind != "loss":
        if about.arm.startswith("cycle"):
            return "neither"
        smooth = np.convolve(values, np.ones(5) / 5, "valid")
        middle = steps[4:]
        before = float(np.min(smooth[middle <= until], initial=np.inf))
        after = float(np.nanmin(smooth[middle > until], initial=np.inf))
        fallen = start - before
        if fallen > 2 * MATTERS * most and now - before > MATTERS * fallen:
            return says.OVERTRAINED if after >= before else "neither"
        if fallen < NOTHING * most:
            return says.NOT_LEARNING if now < start + 0.05 * abs(start) else "neither"
        then = after
    if descent < NOTHING * most:
        return says.NOT_LEARNING
    if about.arm.startswith("cycle"):
        swings = [_in_step(about.arm, steps, one, until) for one in (values, about.middle)]
        seen = min(swings) > max(SWINGS * descent, _about_neighbours(steps, values, until))
        return says.OSCILLATING if seen else "neither"
    whole = about.arm.startswith("full")  # no batches whose noise could pass for swings
    if whole and _swing(steps, values, until / 2, until) > SWINGS * descent:
        lasts = _swing(steps, values, 5 * until, 10 * until) > SWINGS / 2 * descent
        return says.OSCILLATING if lasts else "neither"
    if not np.isfinite(then):
        return "neither"
    improves = now - then > MATTERS * descent
    beaten = now - about.best > MATTERS * descent
    if about.arm.startswith("break"):  # of these, ten times the length is not the same schedule
        return says.STUCK if beaten and not improves else "neither"
    return says.IMPROVING if improves else says.STUCK if beaten else says.CONVERGED


def _swing(steps: np.ndarray, values: np.ndarray, first: float, last: float) -> float:
    """Half the range of the middle nine tenths about the trend of a part of a run."""
    inside = (steps > first) & (steps <= last)
    at, part = steps[inside], values[inside]
    if len(part) < 4 or not np.isfinite(part).all():
        return np.inf
    rest = part - np.polyval(np.polyfit(at - at.mean(), part, 1), at - at.mean())
    low, high = np.percentile(rest, [5, 95])
    return float(high - low) / 2


def _about_neighbours(steps: np.ndarray, values: np.ndarray, until: float) -> float:
    """Standard deviation of batch noise in the later half, from second differences."""
    part = values[(steps > until / 2) & (steps <= until)]
    return float(np.median(np.abs(np.diff(part, 2))) / 0.6745 / np.sqrt(6))


def _in_step(arm: str, steps: np.ndarray, values: np.ndarray, until: float) -> float:
    """Half the range of the middle course over a period of the rate, in the later half."""
    period = int(arm.split()[1])
    at = np.arange(max(until / 2 - period, steps[0]), until + 1)
    course = np.interp(at, steps, values)
    rest = course - running(course, period // 2)
    late = at > until / 2
    phase = np.floor(at[late] % period / period * 8).astype(int)
    middle = [np.median(rest[late][phase == k]) for k in range(8)]  # of a few spikes: nothing
    return float(np.ptp(middle)) / 2
