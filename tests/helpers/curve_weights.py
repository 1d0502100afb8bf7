"""How the weights of `analysis.curves.weighing` were found: from the setting cases alone.

PYTHONPATH=tests python -m helpers.curve_weights --cache=FOLDER

A multinomial logistic regression on the measures of the setting cases that no other rule decides:
of every real run of the setting tasks and of 300 made curves a verdict, each verdict and each of
real and made weighed alike. Prints the weights, and the accuracy on tasks that were left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from helpers import curve_runs
from helpers.curve_cases import TASKS
from helpers.curve_shapes import Case, shape
from sklearn.linear_model import LogisticRegression

from convergence.analysis.curves import judgement as says
from convergence.analysis.curves.judging import measured

VERDICTS = (says.CONVERGED, says.IMPROVING, says.STUCK)
MADE, SEED = 300, 901
STRENGTH = 1.0  # scikit-learn's C, of standardised measures


def setting(cache: Path | None) -> list[Case]:
    """Real and made setting cases of the three verdicts."""
    rng = np.random.default_rng(SEED)
    found = [case for task in TASKS["setting"] for case in curve_runs.cases(task, cache)]
    found = [case for case in found if case.truth in VERDICTS]
    return found + [shape(truth, rng) for truth in VERDICTS for _ in range(MADE)]


def balanced(truth: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Weights [cases] under which each verdict, real and made, counts alike."""
    weight = np.zeros(len(truth))
    for one in VERDICTS:
        for kind in (True, False):
            mine = (truth == one) & (real == kind)
            weight[mine] = len(truth) / (2 * len(VERDICTS) * max(int(mine.sum()), 1))
    return weight


class Fitted:
    """Weights of raw measures, from a regression on standardised ones."""

    def __init__(self, measures: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        middle, scale = measures.mean(axis=0), measures.std(axis=0) + 1e-9
        model = LogisticRegression(C=STRENGTH, max_iter=5000)
        model.fit((measures - middle) / scale, truth, sample_weight=weight)
        order = [list(model.classes_).index(one) for one in VERDICTS]
        self.weights = (model.coef_ / scale)[order]
        self.bias = model.intercept_[order] - self.weights @ middle

    def verdicts(self, measures: np.ndarray) -> np.ndarray:
        """[cases] verdicts."""
        return np.array(VERDICTS)[np.argmax(measures @ self.weights.T + self.bias, axis=1)]


def left_out(
    measures: np.ndarray, truth: np.ndarray, real: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """[cases] verdicts by weights from the cases of all other groups."""
    weight = balanced(truth, real)
    told = np.empty(len(truth), object)
    for group in np.unique(groups):
        out = groups == group
        told[out] = Fitted(measures[~out], truth[~out], weight[~out]).verdicts(measures[out])
    return told


def main() -> None:
    """Prints the weights."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path)
    cases = setting(parser.parse_args().cache)
    rng = np.random.default_rng(0)
    rows = [measured(case.steps, case.values, kind=case.kind, rng=rng) for case in cases]
    kept = [(case, row) for case, row in zip(cases, rows) if row]
    names = list(kept[0][1])
    table = np.array([[row[name] for name in names] for _, row in kept])
    truth = np.array([case.truth for case, _ in kept])
    real = np.array([case.source.startswith("real") for case, _ in kept])
    groups = np.array(
        [
            case.source.split(",")[0] if is_real else f"made {k % 5}"
            for k, ((case, _), is_real) in enumerate(zip(kept, real))
        ]
    )
    told = left_out(table, truth, real, groups)
    for kind, name in ((True, "real"), (False, "made")):
        for one in VERDICTS:
            mine = (truth == one) & (real == kind)
            print(f"# {name}, {one}: {np.mean(told[mine] == one):.3f} of {mine.sum()}")
    fitted = Fitted(table, truth, balanced(truth, real))
    _printed(names, fitted)


def _printed(names: Sequence[str], fitted: Fitted) -> None:
    print("WEIGHTS = {")
    for name, column in zip(("", *names), np.column_stack([fitted.bias, fitted.weights]).T):
        print(f'    "{name}": ({", ".join(f"{one:.3f}" for one in column)}),')
    print("}")


if __name__ == "__main__":
    main()
