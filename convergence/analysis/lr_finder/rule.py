"""Our rule: from short runs at many constant rates to a rate to start from, for a given horizon.

The rate of the least mean loss over a run falls with the run's length, about as a power of it: a
short search suggests a rate that is too high for the end of a long run at a constant rate (and,
where a schedule lowers the rate at the end, one that is too low: Wu et al., 2018). The search sees
that power itself, by cutting its own runs at a quarter, a half and the whole of their length; for a
longer horizon the optimum is carried on along it. Half the lowest rate at which any seed diverged
is never exceeded.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy import stats

from convergence.analysis.lr_finder.optimum import Optima, joined
from convergence.analysis.lr_finder.outlook import FINE_PER_OCTAVE, FOUND, helpful, verdict
from convergence.analysis.lr_finder.runs import Array, Runs
from convergence.analysis.lr_finder.words import sentence
from convergence.analysis.statistics import strict_number

CUTS = (0.25, 0.5, 1.0)  # of a run, at which the optimum is looked for
SAFETY = 2.0  # the suggestion stays so many times below the lowest rate that diverged
RESAMPLES = 400
HALF_STEP = 2.0 ** (0.5 / FINE_PER_OCTAVE)
NAN = float("nan")


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        verdict: one of `outlook.VERDICTS`; a rate is there only where it is `FOUND`.
        horizon: steps of the run that the rate is meant for.
        length: steps of the search's longest run.
        seeds: how many.
        rate, low, high: the suggestion with its 95 % interval over seeds (NaN of one seed).
        divergence, divergence_low, divergence_high: the rate from which on runs of the search's
            length diverge; NaN where none did.
        growth: power of the length by which the optimum moves; the suggestion follows it where the
            horizon is longer than the search.
        optima: (steps, rate) of the least mean loss over the first steps.
        searched: the lowest and the highest rate tried.
        help: (low, high) range that would help, where this one did not.
    """

    verdict: str
    horizon: int
    length: int
    seeds: int
    rate: float = NAN
    low: float = NAN
    high: float = NAN
    divergence: float = NAN
    divergence_low: float = NAN
    divergence_high: float = NAN
    growth: float = NAN
    optima: tuple[tuple[int, float], ...] = ()
    searched: tuple[float, float] = (NAN, NAN)
    help: tuple[float, float] | None = None

    @property
    def margin(self) -> float:
        """How many times the suggestion lies below the rate that diverges."""
        return self.divergence / self.rate

    @property
    def sentence(self) -> str:
        """What was found, for people."""
        return sentence(self)

    def to_json(self) -> dict[str, object]:
        """Plain JSON values."""
        told = {
            name: strict_number(value) if isinstance(value, float) else value
            for name, value in dataclasses.asdict(self).items()
        }
        told["searched"] = [strict_number(x) for x in self.searched]
        return told | {"margin": strict_number(self.margin), "sentence": self.sentence}


def find(coarse: Runs, fine: Runs | None, rng: np.random.Generator, horizon: int = 0) -> Found:
    """The rate to start from.

    Args:
        coarse: runs at rates from far too low to divergence, a factor of about 2 apart.
        fine: the same seeds' longer runs at `fine_rates`, or None.
        rng: of the resampling of seeds; consumed.
        horizon: steps that the rate is meant for; 0, or fewer than the search's: the search's.
    """
    length = fine.length if fine is not None else coarse.length
    seeds = len(coarse.loss)
    horizon = max(horizon, length)
    searched = (float(coarse.rates[0]), float(coarse.rates[-1]))
    told, edge = verdict(coarse), _edge(coarse, fine)
    if told != FOUND:
        return Found(
            told,
            horizon,
            length,
            seeds,
            searched=searched,
            help=helpful(told, coarse.rates),
            divergence=edge[0],
            divergence_low=edge[1],
            divergence_high=edge[2],
        )
    lengths = np.unique(np.maximum(1, np.round(np.array(CUTS) * length))).astype(int)
    best = Optima(coarse, fine, lengths)
    optima = best.of(np.arange(seeds))
    limit = _limit(coarse, fine)
    rate, growth = carried(lengths, optima, horizon, limit)
    draws = rng.integers(seeds, size=(RESAMPLES if seeds > 1 else 0, seeds))
    drawn = [carried(lengths, best.of(draw), horizon, limit) for draw in draws]
    low, high = _interval(rate, np.array([one for one, _ in drawn]), seeds)
    return Found(
        told,
        horizon,
        length,
        seeds,
        rate,
        low,
        high,
        growth=growth,
        optima=tuple((int(a), float(b)) for a, b in zip(lengths, optima, strict=True)),
        searched=searched,
        divergence=edge[0],
        divergence_low=edge[1],
        divergence_high=edge[2],
    )


def carried(lengths: Array, optima: Array, horizon: int, limit: float) -> tuple[float, float]:
    """The optimum at the horizon, and the power of the length that leads there.

    A power above 0 – an optimum that rises with the length – is not followed: it is noise where
    the loss is at its floor, and a rate that is too high costs more than one too low.
    """
    x, y = np.log(lengths), np.log(optima)
    growth = float(np.polyfit(x, y, 1)[0]) if len(x) > 1 else 0.0
    rate = optima[-1] * (horizon / lengths[-1]) ** min(growth, 0.0)
    return float(min(rate, limit)), growth


def _interval(rate: float, drawn: Array, seeds: int) -> tuple[float, float]:
    """Student's, of the logarithm, with the resamples' spread freed of its bias in few seeds.

    It is never narrower than half a step of the second search to either side: the curve through the
    losses knows no better.
    """
    if seeds < 2:
        return NAN, NAN
    spread = np.log(drawn).std(ddof=1) * math.sqrt(seeds / (seeds - 1))
    reach = max(math.exp(stats.t.ppf(0.975, seeds - 1) * spread), HALF_STEP)
    return rate / reach, rate * reach


def _limit(coarse: Runs, fine: Runs | None) -> float:
    """The highest rate that may be suggested: see `SAFETY`."""
    bad = [runs.rates[runs.diverged().any(axis=0)] for runs in (coarse, fine) if runs is not None]
    found = np.concatenate(bad)
    return float(found.min()) / SAFETY if found.size else math.inf


def _edge(coarse: Runs, fine: Runs | None) -> tuple[float, float, float]:
    """Where runs begin to diverge: the mean over seeds, in the logarithm, and its interval.

    A seed's own edge lies between its last rate that went well and the first that did not; the
    interval is as wide as that gap at least.
    """
    edges, gaps = [], []
    runs = coarse if fine is None else joined(coarse, fine, coarse.length)
    for row in runs.diverged():
        if row.all() or not row.any():
            continue
        first = int(row.argmax())
        if first:
            edges.append(math.log(runs.rates[first] * runs.rates[first - 1]) / 2)
            gaps.append(math.log(runs.rates[first] / runs.rates[first - 1]) / 2)
    if not edges:
        return NAN, NAN, NAN
    middle, reach = float(np.mean(edges)), float(np.mean(gaps))
    if len(edges) > 1:
        error = float(np.std(edges, ddof=1)) / math.sqrt(len(edges))
        reach = max(reach, float(stats.t.ppf(0.975, len(edges) - 1)) * error)
    return math.exp(middle), math.exp(middle - reach), math.exp(middle + reach)
