"""A made-up summary of a study of randomness, as experiments.randomness writes it."""

from __future__ import annotations

from typing import Any


def interval(estimate: float | None, low: Any = None, high: Any = None) -> dict[str, Any]:
    told = {"estimate": estimate, "low": low, "high": high, "level": 0.95, "n": 8}
    return told | {"method": "made up", "speaks_of": "seeds", "warning": "", "df": None}


def source(name: str, sd: float, share: float | None = None) -> dict[str, Any]:
    parts = None
    if share is not None:
        parts = {"share": interval(share, 0.0, 1.0), "total_share": interval(1.2, 0.4, 1.4)}
    return {
        "source": name,
        "settings": 4,
        "seeds": 7,
        "trials": 8,
        "sd": interval(sd, 0.5 * sd, 2 * sd),
        "parts": parts,
        "churn": interval(10 * sd, 9 * sd, 11 * sd),
        "gain": None,
        "rows": interval(1.25, 1.0, 1.5),
        "expected": 0.0157,
    }


STEPS = [0, 1, 2, 4, 8, 16, 32]


def rate(at: float, slope: float, ratio: float) -> dict[str, Any]:
    distance = [1e-8 * 2.0 ** (slope * step) for step in STEPS]
    return {
        "rate": at,
        "arm": f"rate {at}",
        "growth": {
            "rate": interval(slope, slope - 0.1, slope + 0.1),
            "healed": interval(0.25, 0.0, 0.6),
            "pairs": 8,
        },
        "bit_sd": interval(0.002, 0.001, 0.004),
        "seed_sd": interval(0.004, 0.003, 0.006),
        "ratio": interval(ratio, 0.5 * ratio, 1.5 * ratio),
        "churn": interval(0.01, 0.0, 0.02),
        "seed_churn": interval(0.03, 0.02, 0.04),
        "distance": {"low": [0.0] * len(STEPS), "median": distance, "high": distance},
    }


LUCK: dict[str, Any] = {
    "sources": [
        source("init", 0.02, 0.6),
        source("order", 0.004, -0.1),
        source("all sources vary", 0.024),
    ],
    "none_is_harmless": "init, order: each of them alone does as much.",
    "crossed": {
        "inits": 8,
        "orders": 4,
        "init": {"share": interval(0.5, 0.2, 0.8), "total_share": interval(0.7, 0.3, 1.1)},
        "order": {"share": interval(-0.1, -0.3, 0.2), "total_share": interval(0.5, 0.1, 0.9)},
    },
    "twins": {
        "rates": [rate(0.001, 0.1, 0.1), rate(0.004, 0.3, 0.4), rate(0.016, 0.5, 0.9)],
        "own": 0.001,
        "steps": STEPS,
        "share": 0.5,
        "threshold": {"rate": 0.005, "interval": interval(0.005, 0.004, 0.007)},
        "fastest": {"rate": 0.004, "interval": interval(0.004, 0.004, 0.016)},
    },
    "consistency": {
        "field": "label_noise",
        "doses": [
            {"dose": 0.0, "mean": 0.9, "sd": 0.02, "low": 0.01, "high": 0.04, "n": 8, "trials": 8},
            {"dose": 0.4, "mean": 0.8, "sd": 0.05, "low": 0.03, "high": "inf", "n": 8, "trials": 8},
        ],
        "slope": interval(0.075, 0.02, 0.13),
    },
    "seeds_needed": {
        "power": 0.8,
        "alpha": 0.05,
        "cap": 10000,
        "neighbour": "rate 0.0011",
        "correlation": 0.98,
        "differences": [
            {
                "difference": 0.005,
                "paired": {"estimate": 9, "low": 5, "high": 40},
                "unpaired": {"estimate": 365, "low": 190, "high": None},
            }
        ],
    },
}
