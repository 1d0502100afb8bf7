"""Deep ReLU networks from several starts: does Glorot stall where He trains, and does zero?

Run by hand: ``PYTHONPATH=tests python -m helpers.deep_relu [--seeds=16] [--depth=30]``; some
minutes on two cores. He et al., 2015, "Delving deep into rectifiers", section 2.2 and figure 3: of
a net of 30 layers Xavier's (Glorot's) start stalls, theirs converges, by SGD with momentum. Here:
an MLP on digits. Each start has the same number of rates to be tuned by, on validation rows of
other seeds than those reported. A seed trains if it scores at least `TRAINS` on validation rows.

Zero and constant starts never break the symmetry of a layer's units: counted are the units that
differ in some bit, and beside them stands a net of one unit a layer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from convergence import data, spec
from convergence.analysis import statistics
from convergence.analysis.bootstrap import bootstrap_t
from convergence.analysis.statistics import proportion_exact, strict_number
from convergence.history import History
from convergence.initial.layers import looks
from convergence.replay import Trainer
from convergence.reporting import tables
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Machine, Study, resolve

TRAINS = 0.5  # validation accuracy; a tenth is chance
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
TUNED_ON, FIRST = 4, 1000  # seeds of tuning, the first seed reported
LOOKED_AT = 4  # seeds whose layers are looked into
THIN = "one unit a layer"
STARTS: dict[str, dict[str, Any]] = {
    "glorot_normal": {"init": "glorot_normal"},
    "he_normal": {"init": "he_normal"},
    "zeros": {"init": "zeros"},
    "constant 0.05": {"init": "constant", "init_scale": 0.05},
}


def setting(depth: int, width: int, steps: int) -> Setting:
    """The network and how it is trained, but for its start and its rate."""
    return Setting(
        DataSpec("digits"),
        ModelSpec(hidden=(width,) * depth),
        TrainSpec(optimizer="momentum", steps=steps),
    )


def trained(base: Setting, arms: tuple[Arm, ...], seeds: int, first: int) -> tuple[Study, History]:
    """A study in memory; no test row is scored."""
    run = RunSpec(num_seeds=seeds, first_replica=first, fingerprint_every=0)
    dataset = data.load(base.data)
    study = resolve(spec.validate(StudySpec(setting=base, run=run, arms=arms)), dataset)
    runner = Study(study, dataset, Machine.here())
    return runner, runner.run()


def accuracies(history: History, arm: str) -> np.ndarray:
    """[seeds] on validation rows; a seed that diverged scores 0: it does not train."""
    return np.nan_to_num(history.of_arm(arm, "accuracy"))


def tuned(base: Setting, starts: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The rate of each start: the best mean score, of all rates alike, on seeds of their own."""
    arms = tuple(
        Arm.of(f"{name} {rate}", learning_rate=rate, **changes)
        for name, changes in starts.items()
        for rate in RATES
    )
    _, history = trained(base, arms, TUNED_ON, 0)
    return {
        name: max(RATES, key=lambda rate: accuracies(history, f"{name} {rate}").mean())
        for name in starts
    }


def row(history: History, arm: str, rate: float, rng: np.random.Generator) -> dict[str, Any]:
    """What is reported of a start."""
    values = accuracies(history, arm)
    loss = history.of_arm(arm, "cross_entropy", "train")
    fine = loss[np.isfinite(loss)]
    share = proportion_exact(int((values >= TRAINS).sum()), len(values))
    return {
        "start": arm,
        "rate": rate,
        "seeds": len(values),
        "diverged": int((~np.isfinite(loss)).sum()),
        "trains": share.to_json(),
        "accuracy": bootstrap_t(values, 0.95, rng).to_json(),
        "train_loss": bootstrap_t(fine, 0.95, rng).to_json(),
    }


def measure(name: str, depth: int, width: int, steps: int, seeds: int) -> dict[str, Any]:
    """One start, tuned and then trained on seeds of its own."""
    base, changes = setting(depth, width, steps), STARTS.get(name, {"init": "he_normal"})
    if name == THIN:  # what a net is whose units never part
        base = base.changed({"hidden": (1,) * depth})
    rate = tuned(base, {name: changes})[name]
    runner, history = trained(base, (Arm.of(name, learning_rate=rate, **changes),), seeds, FIRST)
    (seen,) = looks(Trainer(runner), [name], LOOKED_AT)
    units = seen.tables["distinct"][:, -1, :-1]  # without the output
    size = seen.tables["activation"][:, 0, :-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        passed = float(np.median(size[:, -1] / size[:, 0]))
    return row(history, name, rate, np.random.default_rng(0)) | {
        "distinct_units": {"fewest": int(units.min()), "most": int(units.max())},
        "activation_last_over_first": strict_number(passed),
    }


HEADERS = (
    *("start", "rate", "seeds that train", "validation accuracy", "training loss"),
    *("diverged", "distinct units", "activation, last / first layer"),
)


def shown(told: dict[str, Any]) -> str:
    """An estimate with its interval; no share and no accuracy lies outside 0 and 1."""
    return tables.estimate(*(statistics.from_strict(told[k]) for k in ("estimate", "low", "high")))


def main() -> None:
    """Measures, prints a table, and writes the numbers where it is told to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, default in (("depth", 30), ("width", 64), ("steps", 1000), ("seeds", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument(
        "--json",
        default="",
        help="where numbers are kept: a run that was cut off goes on from there",
    )
    asked = parser.parse_args()
    kept = Path(asked.json) if asked.json else None
    told: list[dict[str, Any]] = json.loads(kept.read_text()) if kept and kept.exists() else []
    for name in (*STARTS, THIN):
        if name not in {one["start"] for one in told}:
            told.append(measure(name, asked.depth, asked.width, asked.steps, asked.seeds))
            if kept:
                kept.write_text(json.dumps(told, indent=1))
    print(f"digits, {asked.depth} hidden layers of {asked.width}, ReLU, {asked.steps} steps of SGD")
    print(f"with momentum, batch 64; {len(RATES)} rates each, tuned on {TUNED_ON} other seeds\n")
    rows = [
        (
            one["start"],
            f"{one['rate']:g}",
            shown(one["trains"]),
            shown(one["accuracy"]),
            shown(one["train_loss"]),
            f"{one['diverged']}/{one['seeds']}",
            f"{one['distinct_units']['fewest']}–{one['distinct_units']['most']}",
            tables.number(statistics.from_strict(one["activation_last_over_first"]), 2),
        )
        for one in told
    ]
    print(tables.markdown(rows, HEADERS))


if __name__ == "__main__":
    main()
