"""The summary of one arm: where its seeds lie, and how many diverged."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convergence.analysis.bootstrap import bootstrap_t, iqm_bca
from convergence.analysis.statistics import Interval, proportion_exact, strict_number


@dataclasses.dataclass(frozen=True)
class ArmSummary:
    """One metric of one arm over its seeds.

    Attributes:
        n: trials.
        mean: over the trials that finished, with a bootstrap-t interval.
        iqm: interquartile mean of the same, with a BCa interval; for display only.
        sd, minimum, maximum: of the same; NaN where there are too few.
        diverged: share of all trials, with the exact interval.
        diverged_count: how many diverged.
        warnings: of all intervals, and of the divergences.
    """

    n: int
    mean: Interval
    iqm: Interval
    sd: float
    minimum: float
    maximum: float
    diverged: Interval
    diverged_count: int
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON: NaN becomes None, an infinity its name."""
        plain = {f.name: strict_number(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return plain | {
            "mean": self.mean.to_json(),
            "iqm": self.iqm.to_json(),
            "diverged": self.diverged.to_json(),
            "warnings": list(self.warnings),
        }


def arm_summary(
    values: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    replicates: int = 9_999,
    copies: bool = False,
) -> ArmSummary:
    """Summarise an arm; trials that diverged are counted, never averaged.

    Args:
        values: [seeds] of a metric, not finite where the trial diverged.
        rng: consumed by the bootstraps.
        level: two-sided level of every interval.
        replicates: resamples of each bootstrap.
        copies: all seeds are the same run, so that there is one value and no interval.

    Raises:
        ValueError: the values are not one-dimensional, or the level is not between 0 and 1.
    """
    array = np.asarray(values, dtype=np.float64)
    if copies and array.ndim == 1 and len(array) > 1:
        return _of_copies(array, rng, level, replicates)
    if array.ndim != 1:
        raise ValueError(f"an arm's values must have the shape [seeds], got {array.shape}")
    finished = array[np.isfinite(array)]
    diverged = len(array) - len(finished)
    mean = bootstrap_t(finished, level, rng, replicates)
    iqm = iqm_bca(finished, level, rng, replicates)
    warnings = [warning for warning in (mean.warning, iqm.warning) if warning]
    if diverged:
        warnings.append(f"{diverged} of {len(array)} trials diverged and are in no mean")
    return ArmSummary(
        n=len(array),
        mean=mean,
        iqm=iqm,
        sd=float(finished.std(ddof=1)) if len(finished) > 1 else math.nan,
        minimum=float(finished.min()) if len(finished) else math.nan,
        maximum=float(finished.max()) if len(finished) else math.nan,
        diverged=proportion_exact(diverged, len(array), level),
        diverged_count=diverged,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _of_copies(
    values: np.ndarray, rng: np.random.Generator, level: float, replicates: int
) -> ArmSummary:
    """The summary of one run that was made several times."""
    one = arm_summary(values[:1], rng, level, replicates)
    told = f"all {len(values)} seeds are the same run: nothing that varies has an effect"
    return dataclasses.replace(
        one,
        n=len(values),
        mean=dataclasses.replace(one.mean, warning=told),
        diverged_count=one.diverged_count * len(values),
        warnings=(told,),
    )
