"""One run with an exponentially rising rate, and the suggestions that published finders draw of it.

Written from the packages' definitions with their defaults; each smooths, stops and trims in its
own way. A rule that cannot say anything gives NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray
RAMPS = {  # rates from and to, as each package has them by default
    "fastai": (1e-7, 10.0),
    "pytorch-lr-finder": (1e-7, 10.0),
    "lightning": (1e-8, 1.0),
}
RAMP_STEPS = 100  # of each
BETA = 0.98  # fastai's and Lightning's smoothing
FACTOR = 0.05  # pytorch-lr-finder's


def rates(low: float, high: float, steps: int = RAMP_STEPS) -> Array:
    """[steps] rates of an exponential ramp: low·(high/low)^(t / steps)."""
    return low * (high / low) ** (np.arange(steps) / steps)


def debiased(losses: Array, beta: float = BETA) -> Array:
    """[steps] exponential moving averages, corrected for their start."""
    value, found = 0.0, np.empty(len(losses))
    for step, loss in enumerate(np.asarray(losses, np.float64)):
        value = beta * value + (1 - beta) * loss
        found[step] = value / (1 - beta ** (step + 1))
    return found


def moving(losses: Array, factor: float = FACTOR) -> Array:
    """[steps] exponential moving averages that start at the first loss."""
    found = np.array(losses, np.float64)
    for step in range(1, len(found)):
        found[step] = factor * found[step] + (1 - factor) * found[step - 1]
    return found


def stopped(smooth: Array, times: float) -> int:
    """How many steps are taken until the smoothed loss exceeds `times` the best so far.

    As in the packages: a loss that is not a number never exceeds anything.
    """
    best = np.inf
    for step, loss in enumerate(smooth):
        best = min(best, loss) if not np.isnan(loss) else best
        if loss > times * best:
            return step + 1
    return len(smooth)


def _fastai(ramp: Array, losses: Array, rule: Callable[[Array, Array], float]) -> float:
    """fastai's `lr_find`: the first tenth and the last 5 steps left out, NaN cut off."""
    smooth = debiased(losses)
    end = stopped(smooth, 4.0)
    first = len(losses) // 10
    x, y = ramp[:end][first:-5], smooth[:end][first:-5]
    if np.isnan(y).any():
        keep = int(np.isnan(y).argmax())
        x, y = x[:keep], y[:keep]
    return rule(x, y) if len(y) > 1 else np.nan


def _valley(ramp: Array, smooth: Array) -> float:
    """A half of a third into the middle of the longest falling subsequence."""
    longest = np.ones(len(smooth), int)
    start = end = 0
    for i in range(1, len(smooth)):
        for j in range(i):
            if smooth[i] < smooth[j] and longest[i] < longest[j] + 1:
                longest[i] = longest[j] + 1
            if longest[end] < longest[i]:
                start, end = i - longest[i], i
    third = (end - start) / 3
    return float(ramp[start + int(third) + int(third / 2)])


def _slide(ramp: Array, smooth: Array, apart: int = 15, threshold: float = 0.005) -> float:
    """From the end downward until the slopes of two steps `apart` are about equal."""
    if len(smooth) <= apart:
        return np.nan
    slope = np.gradient(smooth)
    right, left = -1, -1 - apart
    found = ramp[left]
    while left >= -len(smooth) and abs(slope[right] - slope[left]) > threshold:
        found = ramp[left]
        right, left = right - 1, left - 1
    return float(found)


def _minimum(ramp: Array, smooth: Array) -> float:
    return float(ramp[smooth.argmin()]) / 10


def _steep(ramp: Array, smooth: Array) -> float:
    return float(ramp[(np.diff(smooth) / np.diff(np.log(ramp))).argmin()])


def _pytorch(ramp: Array, losses: Array) -> float:
    """pytorch-lr-finder's `plot`: the steepest step, 10 left out first and 5 last."""
    smooth = moving(losses)
    end = stopped(smooth, 5.0)
    x, y = ramp[:end][10:-5], smooth[:end][10:-5]
    # NaN, which it does not stop at, is what argmin returns first: told as it comes.
    return float(x[np.gradient(y).argmin()]) if len(y) > 1 else np.nan


def _lightning(ramp: Array, losses: Array) -> float:
    """Lightning's from 2.5.3 on: the slope by the rate itself, 10 steps left out first, 1 last."""
    smooth = debiased(losses)
    end = stopped(smooth, 4.0)
    x, y = ramp[:end][10:-1], smooth[:end][10:-1]
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    return float(x[np.gradient(y, x).argmin()]) if len(y) > 1 else np.nan


RULES: dict[str, tuple[str, Callable[[Array, Array], float]]] = {
    "fastai valley": ("fastai", lambda x, y: _fastai(x, y, _valley)),
    "fastai steep": ("fastai", lambda x, y: _fastai(x, y, _steep)),
    "fastai minimum/10": ("fastai", lambda x, y: _fastai(x, y, _minimum)),
    "fastai slide": ("fastai", lambda x, y: _fastai(x, y, _slide)),
    "pytorch-lr-finder steepest": ("pytorch-lr-finder", _pytorch),
    "Lightning ≥ 2.5.3": ("lightning", _lightning),
}


def suggestion(rule: str, losses: Array, ramp: Array | None = None) -> float:
    """The rate that a published rule suggests of the losses of one run along a ramp.

    Args:
        rule: one of `RULES`.
        losses: [steps] training losses, one a step; not finite from where the run broke.
        ramp: [steps] the rates; by default the package's own.

    Returns:
        the rate, or NaN where the rule cannot say.
    """
    package, function = RULES[rule]
    path = rates(*RAMPS[package], len(losses)) if ramp is None else np.asarray(ramp, np.float64)
    with np.errstate(all="ignore"):
        return function(path, np.asarray(losses, np.float64))
