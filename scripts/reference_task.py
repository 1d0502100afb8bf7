"""The reference task by the engine and by the plain program, split by split: do they agree?

digits, MLP 64-128-128-10, Adam 1e-3, batch 64, 1,100 steps, scored on the test rows of stratified
80/20 outer splits. Both train on the same rows of each split; their seeds are their own.

    python scripts/reference_task.py --splits=20 --seeds=3
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import plain_program

from convergence import compilation_cache, data
from convergence.spec import DataSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Study, resolve
from convergence.training.blocks import Want

TRAIN = TrainSpec(steps=1100, batch_size=64, learning_rate=1e-3, optimizer="adam")


def both(splits: int, seeds: int, validation: float) -> tuple[np.ndarray, np.ndarray]:
    """float64[splits, seeds] test accuracies of the engine and of the plain program.

    Args:
        splits: outer splits 0 … splits - 1.
        seeds: of each.
        validation: share of the development rows that neither program trains on.
    """
    engine, plain = np.zeros((2, splits, seeds))
    populations: dict[Any, Any] = {}
    for split in range(splits):
        setting = Setting(DataSpec(outer_split=split, validation_fraction=validation), train=TRAIN)
        dataset = data.load(setting.data)
        study = resolve(StudySpec(setting=setting, run=RunSpec(num_seeds=seeds)), dataset)
        runner = Study(study, dataset, want=Want(test=True), populations=populations)
        engine[split] = runner.run().of_arm("base", "accuracy", "test")
        train, test = runner.plan.view(0, 0).train, runner.plan.test
        x, y = dataset.x.astype(np.float64), dataset.y
        rows = (x[train], y[train], x[test], y[test])
        plain[split] = plain_program.accuracies(rows, range(seeds), salt=split)
    return engine, plain


def main() -> None:
    """Prints both programs' accuracies and their paired difference over splits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--splits", type=int, default=20, help="outer splits")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each split")
    parser.add_argument("--validation", type=float, default=0.2, help="share not trained on")
    flags = parser.parse_args()
    compilation_cache.enable()
    engine, plain = both(flags.splits, flags.seeds, flags.validation)
    for split in range(flags.splits):
        lines = (" ".join(f"{v:.4f}" for v in table[split]) for table in (engine, plain))
        print(f"split {split:2d}: engine {next(lines)}  plain {next(lines)}")
    gap = (engine - plain).mean(axis=1)
    error = gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else float("nan")
    print(f"mean: engine {engine.mean():.4f}, plain {plain.mean():.4f}")
    print(f"paired difference over splits: {gap.mean():+.4f}, standard error {error:.4f}")


if __name__ == "__main__":
    main()
