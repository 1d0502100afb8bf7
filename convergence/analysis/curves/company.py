"""What the other curves of a task show of one: how it stands beside them.

Whether a curve at rest is stuck, it alone hardly shows: that another of its task came lower does.
And a fall that is small beside the others' is none. Curves that begin at the very same value are of
the same start weights, and mostly of the same batches: between these, luck decides least.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from convergence.analysis.curves.features import Levels
from convergence.analysis.curves.fit import AHEAD, bins
from convergence.analysis.curves.numbers import UNMEASURED, bounded, log10
from convergence.analysis.curves.resting import ERRORS, MATTERS
from convergence.analysis.curves.series import Series
from convergence.analysis.curves.swinging import residuals, swing

ALIKE = 0.15  # of the start level: curves that start so near each other are compared
AS_LONG = 0.1  # of the recorded steps: so near in length are curves as long
RISEN = 0.05  # of the start level or descent: who ends so far above its start is no measure
NOTHING = 0.005  # of the start level: where none fell by more, nothing can be compared
SPREAD = 3.0  # standard deviations of a point by which starts differ by their batches
PARTS = (0.1, 0.25, 0.5, 0.75)  # of the run: where courses are compared
WIDTH = 0.1  # of the run: over which a level of a course is a mean
LEADERS = 3  # the lowest others, of whose courses the middle counts
ROUNDING = 1e-9  # of the largest fall: levels so near each other are the same
SMALL = 0.02  # of the largest fall: a smaller one is no unit
TWIN = 1e-5  # of the first value: so near are the first values of the same start weights
AGAINST = ("", ", beyond", ", beyond of own", ", errors", ", second", ", third", ", lower")
NAMES = (
    *(f"others{name}" for name in AGAINST),
    *(f"twins{name}" for name in AGAINST),
    *("others, broken", "others, fall", "others, start", "others, best start", "others, middle"),
    *("others, least", "others, own least", "others, noise", "others, noise of best"),
    *("others, swing", "others, best falls", "others, best rose", "others, ahead"),
    "others, best ahead",
    *(f"others, at {part:g}" for part in PARTS),
    *(f"others, sooner by {part:g}" for part in (*PARTS, 1)),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Standing:
    """What of a curve others are held against; lower is better.

    Attributes:
        first: its first value.
        start, end, error, least: of its levels.
        noise: standard deviation of a point.
        course: [parts] mean levels before `PARTS` of the run.
        at: [bins] steps from the start, in bins that grow geometrically.
        lowest: [bins] the lowest mean until then.
        swing: how far it swings about its trend.
        length: recorded steps from its first to its last, finite or not.
        broken: whether it ends far above its start, or not finite.
    """

    first: float
    start: float
    end: float
    error: float
    least: float
    noise: float
    course: np.ndarray
    at: np.ndarray
    lowest: np.ndarray
    swing: float
    length: float
    broken: bool

    @property
    def fall(self) -> float:
        """From the start to the end."""
        return self.start - self.end

    def reached(self, level: float) -> float:
        """The step from the start at which it first was at a level; infinite if it never was."""
        k = int(np.searchsorted(-self.lowest, -level))
        return float(self.at[k]) if k < len(self.at) else math.inf

    def by(self, step: float) -> float:
        """The lowest level until a step from the start."""
        return float(self.lowest[max(int(np.searchsorted(self.at, step, side="right")) - 1, 0)])


def standing(series: Series, level: Levels) -> Standing:
    """The standing of a series of at least a few points."""
    x = (series.steps - series.steps[0]) / (series.steps[-1] - series.steps[0])
    sums = np.concatenate([[0.0], np.cumsum(series.calm)])
    last = np.maximum(np.searchsorted(x, PARTS, side="right"), 1)
    first = np.minimum(np.searchsorted(x, np.subtract(PARTS, WIDTH)), last - 1)
    at, means, _ = bins(series)
    risen = RISEN * max(abs(level.start), level.descent) + ERRORS * level.rise_error
    return Standing(
        first=float(series.values[0]),
        start=level.start,
        end=level.end,
        error=level.error,
        least=level.best,
        noise=series.noise,
        course=(sums[last] - sums[first]) / (last - first),
        at=at,
        lowest=np.minimum.accumulate(means),
        swing=swing(*residuals(series)).amplitude,
        length=series.ended - float(series.steps[0]),
        broken=series.broke_at is not None or level.end - level.start > risen,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Company:
    """The others that a curve is compared with: those that start alike and are as long.

    Attributes:
        whole: those that did not break, the lowest first.
        broken: how many did.

    There is no company where nobody fell by more than noise: nothing is left to compare.
    """

    whole: tuple[Standing, ...] = ()
    broken: int = 0

    def better(self, one: Standing) -> Standing | None:
        """The lowest of those that end lower by what matters and is no noise."""
        for other in self.whole:
            unsure = ERRORS * math.hypot(one.error, other.error)
            if one.end - other.end > MATTERS * max(one.fall, 0.0) + unsure:
                return other
        return None


def company(one: Standing, others: Sequence[Standing]) -> Company:
    """Those of some others that a curve is compared with."""
    near = max(ALIKE * abs(one.start), ALIKE * (one.start - one.least))
    alike = [
        other
        for other in others
        if abs(other.start - one.start) <= near + SPREAD * math.hypot(one.noise, other.noise)
        and abs(other.length - one.length) <= AS_LONG * one.length
    ]
    # Whoever ends alike comes in an order that is not that in which curves were given.
    whole = sorted(
        (other for other in alike if not other.broken),
        key=lambda other: (other.end, other.least, other.noise, other.start, *other.course),
    )
    broken = len(alike) - len(whole)
    fell = any(x.fall > max(NOTHING * abs(x.start), SPREAD * x.noise) for x in (one, *whole))
    return Company(tuple(whole) if fell else (), broken)


def measures(one: Standing, among: Company) -> dict[str, float]:
    """How a curve stands beside its company, by name (`NAMES`); finite.

    Levels are in units of the largest fall among them.

    Raises:
        ValueError: there is no company.
    """
    whole = among.whole
    if not whole:
        raise ValueError("no other curve is there that starts alike and did not break")
    best = whole[0]
    unit = max(one.fall, *(other.fall for other in whole), 1e-300)
    leaders = whole[:LEADERS]
    least = min(other.least for other in whole)
    twins = [other for other in whole if abs(other.first - one.first) <= TWIN * abs(one.first)]

    def of(value: float) -> float:
        return bounded(float(value) / unit, -3, 3)

    def middle(name: str) -> float:
        return float(np.median([getattr(other, name) for other in whole]))

    slack = ROUNDING * unit
    ahead = [one.end - other.by(AHEAD * other.reached(one.end + slack)) for other in leaders]
    told = {
        **_against(one, whole, unit, "others"),
        **_against(one, twins, unit, "twins"),
        "others, broken": among.broken / (among.broken + len(whole)),
        "others, fall": of(one.fall),
        "others, start": of(one.start - middle("start")),
        "others, best start": of(one.start - best.start),
        "others, middle": of(one.end - middle("end")),
        "others, least": of(one.end - least),
        "others, own least": of(one.least - least),
        "others, noise": log10(one.noise / max(middle("noise"), 1e-300)),
        "others, noise of best": log10(one.noise / max(best.noise, 1e-300)),
        "others, swing": log10(one.swing / max(middle("swing"), 1e-300)),
        "others, best falls": of(best.course[-1] - best.end),
        "others, best rose": of(best.end - best.least),
        "others, ahead": of(float(np.median(ahead))),
        "others, best ahead": of(ahead[0]),
    }
    for k, part in enumerate(PARTS):
        course = float(np.median([other.course[k] for other in leaders]))
        told[f"others, at {part:g}"] = of(one.course[k] - course)
    # How many times sooner the leaders were where this one came: of a slower copy always as many.
    length = float(one.at[-1])
    marks = [(part, (part - WIDTH / 2) * length, level) for part, level in zip(PARTS, one.course)]
    for part, step, level in (*marks, (1, length, one.end)):
        times = float(np.median([other.reached(level + slack) for other in leaders]))
        told[f"others, sooner by {part:g}"] = log10(step / times, 1e-2, 1e3)
    return told


def _against(one: Standing, whole: Sequence[Standing], unit: float, who: str) -> dict[str, float]:
    """How the end of a curve lies to those of others, the lowest of which comes first."""
    if not whole:
        return dict.fromkeys((f"{who}{name}" for name in AGAINST), UNMEASURED)
    own = max(one.fall, SMALL * unit)
    beyond = [one.end - other.end for other in whole]
    unsure = max(math.hypot(one.error, whole[0].error), 1e-6 * unit)
    values = (
        log10(float(len(whole))),
        bounded(beyond[0] / unit, -3, 3),
        bounded(beyond[0] / own, -3, 3),
        bounded(beyond[0] / unsure, -30, 30),
        bounded(beyond[min(1, len(whole) - 1)] / unit, -3, 3),
        bounded(beyond[min(2, len(whole) - 1)] / unit, -3, 3),
        sum(above > MATTERS * own for above in beyond) / len(whole),
    )
    return {f"{who}{name}": value for name, value in zip(AGAINST, values)}
