"""Bands over seeds: where the middle of an arm's trials lies, point by point."""

from __future__ import annotations

import warnings

import numpy as np

FEWEST_FOR_PERCENTILES = 5  # with fewer seeds a 10th percentile is hardly more than the lowest


def bands(values: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, median and 10th and 90th percentile over axis 0, of the values that are finite."""
    there = np.isfinite(values)
    if there.all() and len(values):  # a hundred times faster than the way round NaN
        low, middle, high = np.percentile(values, [10, 50, 90], axis=0)
        return {"mean": values.mean(axis=0), "median": middle, "p10": low, "p90": high}
    finite = np.where(there, values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all seeds diverged: NaN, and left out
        low, middle, high = np.nanpercentile(finite, [10, 50, 90], axis=0)
        mean = np.nanmean(finite, axis=0)
    return {"mean": mean, "median": middle, "p10": low, "p90": high}


def band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Low, middle and high of a band over seeds to draw: [points] each, NaN where none is finite.

    The middle is the median. The edges are the 10th and 90th percentile from
    `FEWEST_FOR_PERCENTILES` seeds on, the lowest and highest seed below that.

    Args:
        values: [seeds, points].
    """
    if len(values) >= FEWEST_FOR_PERCENTILES:
        found = bands(values)
        return found["p10"], found["median"], found["p90"]
    finite = np.where(np.isfinite(values), values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmin(finite, axis=0), np.nanmedian(finite, axis=0), np.nanmax(finite, axis=0)


def thinned(steps: np.ndarray, values: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """A curve of at most so many points, each the mean of neighbours; the last step stays last.

    Args:
        steps: [n] ascending.
        values: [seeds, n], NaN where a trial had ended; a mean is of the values that are there.

    Returns:
        Steps [m] (the last of each group) and values [seeds, m].
    """
    count = len(steps)
    if count <= points:
        return steps, values
    edges = np.linspace(0, count, points + 1).round().astype(int)
    there = np.isfinite(values)
    sums = np.add.reduceat(np.where(there, values, 0.0), edges[:-1], axis=1)
    counts = np.add.reduceat(there.astype(np.int64), edges[:-1], axis=1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return steps[edges[1:] - 1], means
