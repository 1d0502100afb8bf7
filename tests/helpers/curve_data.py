"""Datasets that the project does not bundle, as NPZ files, for the reported curves alone.

Generated ones (scikit-learn's), and, where a folder with them is given, five of the UCI repository
in the layout of Hernández-Lobato & Adams' splits (``NAME/data.txt`` with ``index_target.txt``).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from sklearn import datasets

UCI = ("concrete", "energy", "power-plant", "wine-quality-red", "yacht")
MOST = 2000  # rows of a dataset
SHARE = 0.6  # of the rows at least are left for training


@dataclasses.dataclass(frozen=True)
class File:
    """A dataset in a file: how many training rows it has, and whether it is of classes."""

    name: str
    path: Path
    rows: int
    classes: bool


def _generated() -> dict[str, tuple[np.ndarray, np.ndarray, bool]]:
    quantiles = datasets.make_gaussian_quantiles(
        n_samples=1000, n_features=6, n_classes=4, random_state=1
    )
    clusters = datasets.make_classification(
        1200, 20, n_informative=8, n_classes=5, class_sep=1.2, random_state=2
    )
    moons = datasets.make_moons(600, noise=0.2, random_state=3)
    hastie = datasets.make_hastie_10_2(1000, random_state=4)
    return {
        "quantiles": (*quantiles, True),
        "clusters": (*clusters, True),
        "moons": (*moons, True),
        "hastie": (hastie[0], (hastie[1] > 0).astype(np.int64), True),
        "friedman1": (*datasets.make_friedman1(800, noise=1.0, random_state=5), False),
    }


def _uci(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray, bool]:
    table = np.loadtxt(folder / name / "data.txt")
    target = int(np.loadtxt(folder / name / "index_target.txt"))
    inputs = np.loadtxt(folder / name / "index_features.txt").astype(int)
    keep = np.random.default_rng(0).permutation(len(table))[:MOST]
    return table[np.ix_(keep, inputs)], table[keep, target], False


def written(folder: Path, uci: Path | None) -> tuple[File, ...]:
    """The datasets, written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = _generated()
    if uci is not None:
        sets |= {name: _uci(uci, name) for name in UCI}
    found = []
    for name, (x, y, classes) in sets.items():
        path = folder / f"{name}.npz"
        np.savez(path, x=x.astype(np.float32), y=y)
        found.append(File(name, path, int(SHARE * len(x)), classes))
    return tuple(found)
