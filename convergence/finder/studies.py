"""The trials of a search: arms of many rates, ramps and rate-free optimisers, and their losses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from convergence import laboratory as lab
from convergence import names
from convergence.analysis.lr_finder import Runs, fine_rates, published, verdict
from convergence.analysis.lr_finder.optimum import joined
from convergence.analysis.lr_finder.outlook import DIVERGES, FALLS, FLAT, FOUND, TOO_HIGH, WIDER
from convergence.confirmation import nested
from convergence.history import History
from convergence.spec import Arm
from convergence.training.blocks import Want

DEFAULT = "default"
MOST_WIDENINGS = 2
RAMPS = {"ramp 1e-7 to 10": ("fastai", "pytorch-lr-finder"), "ramp 1e-8 to 1": ("lightning",)}
NOTHING = Want(predictions=False)


def rate_name(rate: float) -> str:
    """The arm of a rate."""
    return f"rate={rate:.6g}"


def rate_arms(rates: Iterable[float]) -> tuple[Arm, ...]:
    """An arm for each rate."""
    return tuple(
        Arm.of(rate_name(rate), learning_rate=float(f"{rate:.6g}")) for rate in sorted(set(rates))
    )


def ramp_arm(name: str) -> Arm:
    """A run along a ramp of rates, a schedule by hand that changes at every step."""
    low, high = published.RAMPS[RAMPS[name][0]]
    path = published.rates(low, high)
    pairs = ",".join(f"{step}:{rate / high:.9g}" for step, rate in enumerate(path))
    return Arm.of(name, schedule=pairs, learning_rate=high, steps=len(path))


def first_arms(rates: Sequence[float]) -> tuple[Arm, ...]:
    """The arms of the first search: the user's own rate, all others, and the published ramps."""
    return (Arm(DEFAULT), *rate_arms(rates), *map(ramp_arm, RAMPS))


def free_arms() -> tuple[Arm, ...]:
    """Every optimiser that is meant to run without a tuned rate, at its documented one."""
    return tuple(
        Arm.of(f"optimizer={name}", optimizer=name, learning_rate=rate)
        for name, rate in names.RATE_FREE.items()
    )


def curves(
    history: History, arms: Sequence[str], length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[points] steps, [seeds, arms, points] training losses, [seeds, arms] first bad steps.

    Args:
        length: steps of these arms' runs: others of the study may be longer.
    """
    steps, loss = history.loss_curve()
    rows = np.stack([history.rows_of(arm) for arm in arms], axis=1)
    keep = steps <= length
    # A score that is not finite is a matter of held-out rows: here the training loss counts.
    return steps[keep], loss["mean"][rows][..., keep], history.arrays["first_bad"][rows]


def runs_of(history: History, rates: Iterable[float], length: int) -> Runs:
    """The runs at constant rates as the rules take them, cut to their length."""
    chosen = sorted(set(rates))
    steps, loss, bad = curves(history, [rate_name(rate) for rate in chosen], length)
    return Runs(np.array(chosen), steps, loss, bad)


def ramps_of(history: History) -> dict[str, np.ndarray]:
    """[seeds, steps] losses along each package's ramp, by package."""
    found: dict[str, np.ndarray] = {}
    for name, packages in RAMPS.items():
        _, loss, _ = curves(history, [name], published.RAMP_STEPS)
        found |= dict.fromkeys(packages, loss[:, 0])
    return found


def widened(laboratory: lab.Laboratory, coarse: Runs, automatic: bool) -> Runs:
    """The first search with its range of rates widened until it holds optimum and divergence.

    A range that the user gave is left as it is.
    """
    for count in range(MOST_WIDENINGS if automatic else 0):
        rates = _further(coarse)
        if not rates:
            break
        question = "Do rates beyond the range of the first search do better, or diverge?"
        base = {"steps": coarse.length}
        name = f"wider{count + 1}"
        arms = rate_arms(rates)
        history = nested(laboratory, name, question, arms, laboratory.study.run, NOTHING, base)
        coarse = joined(coarse, runs_of(history, rates, coarse.length), coarse.length)
    return coarse


def _further(coarse: Runs) -> list[float]:
    """Rates beyond the range, a factor of 2 apart, where it does not do."""
    told, low, high = verdict(coarse), float(coarse.rates[0]), float(coarse.rates[-1])
    octaves = range(1, round(np.log2(WIDER)) + 1)
    up = told in (FALLS, FLAT) or (told == FOUND and not coarse.diverged().any())
    down = told in (DIVERGES, TOO_HIGH, FLAT)
    found = [high * 2.0**k for k in octaves] if up else []
    found += [low / 2.0**k for k in octaves] if down else []
    return sorted(float(f"{rate:.6g}") for rate in found)


def second(laboratory: lab.Laboratory, coarse: Runs, length: int) -> Runs | None:
    """The second search, or None where the first shows no optimum."""
    rates = fine_rates(coarse)
    if rates is None:
        return None
    chosen = [float(f"{rate:.6g}") for rate in rates]
    question = "Which of the rates about the best one is best?"
    arms = rate_arms(chosen)
    run = laboratory.study.run
    history = nested(laboratory, "fine", question, arms, run, NOTHING, {"steps": length})
    return runs_of(history, chosen, length)


def free(laboratory: lab.Laboratory, length: int) -> dict[str, Runs]:
    """The runs of the rate-free optimisers, by name."""
    question = "Do optimisers without a tuned rate do as well?"
    arms = free_arms()
    run = laboratory.study.run
    history = nested(laboratory, "rate_free", question, arms, run, NOTHING, {"steps": length})
    found = {}
    for name, rate in names.RATE_FREE.items():
        steps, loss, bad = curves(history, [f"optimizer={name}"], length)
        found[name] = Runs(np.array([rate]), steps, loss, bad)
    return found
