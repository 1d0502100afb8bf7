"""Real runs of this engine, each labelled by what happened when it went on ten times as long.

A run at a constant rate is cut at a tenth or a twentieth of its length: the cut part is judged, the
rest and the other arms of its task tell what is true. Tasks of the setting cases and of the
reported ones share no dataset, but for the generator of one synthetic family at other sizes; all
train an MLP.
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
from convergence.spec import RunSpec, Setting, StudySpec
from convergence.study import Machine, Study, resolve

CUTS = (10, 20)  # the judged part is the whole over this
POINTS = 400  # evaluations of the whole run
NOTHING = 0.02  # of the best arm's descent: nothing was learned
SWINGS = 0.08  # of the descent


def trained(task: Task) -> dict[str, np.ndarray]:
    """The curves of every arm and seed of a task, as arrays by name."""
    # Cycles are of the rate alone: batches would swing the loss by themselves.
    size = task.full if task.arms == "cycles" else task.train.batch_size
    train = dataclasses.replace(task.train, batch_size=size)
    setting = Setting(task.told, task.model, train)
    run = RunSpec(num_seeds=SEEDS, eval_every=LENGTH // POINTS, seed=task.seed, save_params="none")
    study = spec.validate(StudySpec(setting=setting, run=run, arms=arms(task)))
    loaded = data.load(task.told)
    history = Study(resolve(study, loaded), loaded, Machine.here(2)).run()
    steps, loss = history.loss_curve()
    metric = "cross_entropy" if loaded.task == "classification" else "rmse"
    return {
        "loss_step": steps,
        "loss": loss["mean"],
        "eval_step": history.eval_steps,
        "held_out": history.curve(metric),
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
    for kind in ("loss", "held-out"):
        name = "loss" if kind == "loss" else "held_out"
        steps = held["loss_step" if kind == "loss" else "eval_step"].astype(np.float64)
        for cut in CUTS:
            found += _cut(task, held, kind, steps, held[name], LENGTH / cut, cut)
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
    inside = steps <= until
    arm, names = held["arm"], [str(name) for name in held["arms"]]
    replica = np.array([int((arm[:k] == one).sum()) for k, one in enumerate(arm)])
    now = _level(steps, values, until)
    # All arms of a seed start from the same weights, and one of them hardly moves.
    still = arm == names.index(f"rate {RATES[0]:g}")
    starts = np.array([_start(kind, values[still & (replica == k)][0]) for k in range(SEEDS)])
    ends = np.array([now[arm == k].mean() for k in range(len(names))])
    wide = task.arms.startswith("wide")
    found = []
    for row in range(len(arm)):
        if replica[row] % len(CUTS) != CUTS.index(cut):  # every run is judged at one cut only
            continue
        name = names[arm[row]]
        about = About(kind, until, float(starts[replica[row]]), float(ends.min()), name, wide)
        truth = _truth(steps, values[row], about)
        same = (replica == replica[row]) & (arm != arm[row])
        siblings = tuple((steps[inside], values[k][inside]) for k in np.flatnonzero(same))
        source = f"real: {task.name}, {name}, {kind}, {until:g} steps"
        end = float(now[row])
        found.append(Case(truth, source, kind, steps[inside], values[row][inside], end, siblings))
    return found


def _start(kind: Kind, still: np.ndarray) -> float:
    return float(still[0] if kind == "held-out" else still[:50].mean())


@dataclasses.dataclass(frozen=True)
class About:
    """What is known of a run: its kind, where it is cut, its start, and the best arm's level."""

    kind: Kind
    until: float
    start: float
    best: float
    arm: str
    wide: bool


def _truth(steps: np.ndarray, values: np.ndarray, about: About) -> str:
    """What happened to a run that is cut at a step; neither where two verdicts are as true."""
    until, start = about.until, about.start
    now = float(_level(steps, values[None], until)[0])
    then = float(_level(steps, values[None], 10 * until)[0])
    descent, most = start - now, start - about.best
    if not np.isfinite(now) or (about.kind == "loss" and now > 1.05 * start):
        return says.DIVERGED
    if about.arm.startswith("cycle") and about.kind == "held-out":
        return "neither"
    if about.kind == "held-out":
        smooth = np.convolve(values, np.ones(5) / 5, "valid")
        middle = steps[4:]
        before = float(np.min(smooth[middle <= until], initial=np.inf))
        after = float(np.nanmin(smooth[middle > until], initial=np.inf))
        fallen = start - before
        if fallen > 2 * MATTERS * most and now - before > MATTERS * fallen:
            return says.OVERTRAINED if after >= before else "neither"
        if fallen < NOTHING * most:
            return says.NOT_LEARNING if now < 1.05 * start else "neither"
        then = after
    if descent < NOTHING * most:
        return says.NOT_LEARNING
    whole = about.arm.startswith(("full", "cycle"))  # no batches whose noise could pass for swings
    if whole and _swing(steps, values, until / 2, until) > SWINGS * descent:
        lasting = about.arm.startswith("cycle")
        if about.wide and lasting and _in_step(about.arm, steps, values, until) <= SWINGS * descent:
            return "neither"  # it swings, or bends, but not with its rate
        lasting |= _swing(steps, values, 5 * until, 10 * until) > SWINGS / 2 * descent
        return says.OSCILLATING if lasting else "neither"
    if not np.isfinite(then) or about.arm.startswith("cycle"):
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


def _in_step(arm: str, steps: np.ndarray, values: np.ndarray, until: float) -> float:
    """Half the range of the mean course over a period of the rate, in the later half."""
    period = float(arm.split()[1])
    inside = (steps > until / 2) & (steps <= until)
    at, part = steps[inside], values[inside]
    x = (at - at.mean()) / np.ptp(at)
    rest = part - np.polyval(np.polyfit(x, part, 3), x)
    phase = np.floor(at % period / period * 8).astype(int)
    course = [rest[phase == k].mean() for k in range(8) if (phase == k).any()]
    return float(np.ptp(course)) / 2
