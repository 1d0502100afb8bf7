"""What the finder says at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convergence import confirmation, wording
from convergence import laboratory as lab
from convergence.analysis.statistics import from_strict
from convergence.analysis.verdict import Verdict
from convergence.flags import Options
from convergence.report import finder as report
from convergence.reporting import tables

SHOWN = 6  # choices of the literal rule on the terminal, the best and the worst
CONSTANT = "note: the search trains at constant rates: --schedule and --warmup are left out of it"


def closing_text(laboratory: lab.Laboratory, told: Mapping[str, Any], options: Options) -> str:
    """Tables, verdicts, and last the rate with its confirmation.

    Args:
        told: summary.json (`finder.run`).
    """
    verdicts = [Verdict.from_json(one) for one in told["verdicts"]]
    train = options.setting.train
    scheduled = train.schedule != "constant" or train.warmup > 0
    parts = [
        "Training loss by learning rate, first search\n"
        + tables.text(report.grid_rows(told["first_search"]), report.GRID),
        "What each rule suggests, and the share of the best descent that it loses\n"
        + tables.text(_rules(told["rules"]), report.RULES),
        "Optimisers without a tuned rate, at the search's length\n"
        + tables.text(report.free_rows(told["rate_free"]), report.FREE)
        if told["rate_free"]
        else "",
        f"Claims, margin {report.MARGIN:g} of the best descent\n" + wording.verdict_text(verdicts),
        wording.warnings_text(verdicts),
        CONSTANT if scheduled else "",
        str(told["finding"]["sentence"]),
        recommendation(told, train.learning_rate),
    ]
    return "\n\n".join(part for part in parts if part)


def _rules(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """All rules but the literal one's middling choices."""
    own = [row for row in rows if row["kind"] == "literal"]
    ranked = sorted(own, key=lambda row: from_strict(row["lost_mean"]))
    half = SHOWN // 2
    kept = [*ranked[:half], *ranked[max(half, len(ranked) - half) :]]
    return report.rule_rows([row for row in rows if row["kind"] != "literal" or row in kept])


def recommendation(told: Mapping[str, Any], default: float) -> str:
    """Whether the found rate stood the test."""
    made = told["recommendation"]
    if made["setting"] is None:
        return "Nothing was confirmed, no test row was read."
    if made["verdict"] is None:
        return f"It is the rate that was given, {default:g}: nothing was left to confirm."
    rate = float(f"{from_strict(told['finding']['rate']):.3g}")
    return confirmation.told((("learning_rate", rate),), Verdict.from_json(made["verdict"]))
