"""The losses of every rate, as tables and words."""

from __future__ import annotations

from typing import Any

import numpy as np

from convergence.analysis.lr_finder import Runs
from convergence.analysis.lr_finder.regret import lost
from convergence.analysis.statistics import student_interval, student_mean
from convergence.finder.claims import MARGIN


def grid_table(runs: Runs) -> list[dict[str, Any]]:
    """One row a rate; see `finder.run` for its fields."""
    means, diverged = runs.mean(), runs.diverged()
    start = float(runs.levels().mean())
    whole = np.where(diverged.any(axis=0), np.inf, means.mean(axis=0))
    shares = lost(runs.rates, whole, start, runs.rates)
    rows = []
    for at, rate in enumerate(runs.rates):
        values = means[:, at]
        row: dict[str, Any] = {"rate": float(rate), "loss": None, "low": None, "high": None}
        if np.isfinite(values).all():
            row["loss"] = float(values.mean())
            if len(values) > 1:
                interval = student_interval(student_mean(values), 0.95)
                row |= {"low": interval.low, "high": interval.high}
        share = float(shares[at])
        row["lost"] = share if np.isfinite(share) else None
        rows.append(row | {"diverged": int(diverged[:, at].sum()), "seeds": len(values)})
    return rows


def described(runs: Runs) -> list[dict[str, Any]]:
    """Each rate and what it was at this length: too low, useful, too high, diverges."""
    rows = grid_table(runs)
    fine = [row for row in rows if not row["diverged"] and row["lost"] is not None]
    if not fine:
        return [{"rate": row["rate"], "was": "diverges"} for row in rows]
    best = min(fine, key=lambda row: row["lost"])["rate"]

    def word(row: dict[str, Any]) -> str:
        if row not in fine:
            return "diverges"
        if row["lost"] <= MARGIN:
            return "useful"
        return "too low" if row["rate"] < best else "too high"

    return [{"rate": row["rate"], "was": word(row)} for row in rows]
