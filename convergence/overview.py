"""What a study of the five challenges shows beside its verdicts: spreads by source, and rates."""

from __future__ import annotations

import numpy as np

from convergence import names
from convergence.analysis.spread import Spread, spread
from convergence.challenges import DEFAULT
from convergence.history import History
from convergence.sources import sources


def spreads(history: History) -> list[tuple[str, Spread]]:
    """The spread of the metric over seeds when each source varies alone, and all that vary do."""
    metric = history.study.run.metric
    arms = [(f"only {s} varies", s) for s in sources(history.study.setting)]
    found = [(label, history.of_arm(arm, metric, "clean")) for arm, label in arms]
    varied = "+".join(s for s in history.study.run.vary if s in sources(history.study.setting))
    found.append((varied or "nothing", history.of_arm(DEFAULT, metric, "clean")))
    return [(label, spread(values)) for label, values in found]


CANNOT_TELL = "one seed cannot tell"


def rates(history: History) -> list[tuple[float, str]]:
    """Each learning rate of the study, ascending, and what it was at this length of run.

    ``useful`` is within the margin of the best mean; below the best lies ``too low``, above it
    ``too high``, and ``diverges`` is said of a rate of which any seed does. Of a single seed, or of
    copies of one run, no rate is called better than another: `CANNOT_TELL`.
    """
    run = history.study.run
    sign = 1.0 if run.metric in names.HIGHER_IS_BETTER else -1.0
    base = history.study.setting.train.learning_rate
    arms = {arm.name: dict(arm.changes) for arm in history.study.arms}
    found = {base: DEFAULT}
    found |= {c["learning_rate"]: name for name, c in arms.items() if set(c) == {"learning_rate"}}
    means = {}
    for rate, arm in found.items():
        values = history.of_arm(arm, run.metric, "clean")
        means[rate] = float("nan") if np.isnan(values).any() else sign * float(values.mean())
    fine = {rate: mean for rate, mean in means.items() if mean == mean}
    best = max(fine, key=lambda rate: fine[rate]) if fine else base

    single = run.num_seeds == 1 or all(history.copies(arm) for arm in found.values())

    def word(rate: float) -> str:
        if rate not in fine:
            return "diverges"
        if single:
            return CANNOT_TELL
        if fine[rate] >= fine[best] - run.margin:
            return "useful"
        return "too low" if rate < best else "too high"

    return [(rate, word(rate)) for rate in sorted(means)]
