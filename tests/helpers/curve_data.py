"""Datasets that the project does not bundle, as NPZ files, for the curves of `curve_tasks`.

Generated ones, and, where a folder with them is given, published ones: five of the UCI repository
in the layout of Hernández-Lobato & Adams' splits (``uci/NAME/data.txt`` with ``index_target.txt``),
and the 10,000 test digits of MNIST (``mnist_t10k``, IDX, gzipped).
"""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from sklearn import datasets

UCI = ("concrete", "energy", "power-plant", "wine-quality-red", "yacht")
MOST = 2000  # rows of a dataset
SHARE = 0.6  # of the rows at least are left for training
Table = tuple[np.ndarray, np.ndarray, bool]  # inputs, targets, and whether these are classes


@dataclasses.dataclass(frozen=True)
class File:
    """A dataset in a file: how many training rows it has, and whether it is of classes."""

    name: str
    path: Path
    rows: int
    classes: bool


def _generated() -> dict[str, Table]:
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


def _uci(folder: Path, name: str) -> Table:
    table = np.loadtxt(folder / name / "data.txt")
    target = int(np.loadtxt(folder / name / "index_target.txt"))
    inputs = np.loadtxt(folder / name / "index_features.txt").astype(int)
    keep = np.random.default_rng(0).permutation(len(table))[:MOST]
    return table[np.ix_(keep, inputs)], table[keep, target], False


def _others() -> dict[str, Table]:
    """Other generated ones than `_generated`."""
    rng = np.random.default_rng(6)
    board = rng.uniform(-2, 2, (1200, 2))
    turn = rng.uniform(0.5, 3, 900) * 2 * np.pi
    arm = rng.integers(3, size=900)
    angle = turn + arm * 2 * np.pi / 3
    spirals = np.stack([turn * np.cos(angle), turn * np.sin(angle)], 1)
    circles = datasets.make_circles(700, noise=0.1, factor=0.5, random_state=7)
    blobs = datasets.make_blobs(1000, 8, centers=6, cluster_std=6.0, random_state=8)
    roll, along = datasets.make_swiss_roll(900, noise=0.5, random_state=9)
    return {
        "checkerboard": (board, np.floor(board).sum(axis=1).astype(np.int64) % 2, True),
        "spirals": (spirals + rng.normal(0, 0.3, spirals.shape), arm, True),
        "circles": (*circles, True),
        "blobs": (*blobs[:2], True),
        "swiss roll": (roll, along, False),
        "friedman2": (*datasets.make_friedman2(900, noise=100.0, random_state=10), False),
        "friedman3": (*datasets.make_friedman3(700, noise=0.1, random_state=11), False),
        "sparse": (*datasets.make_sparse_uncorrelated(800, 12, random_state=12), False),
    }


def _mnist(folder: Path) -> Table:
    """The first test digits, means of two by two pixels."""

    def held(kind: str, start: int) -> np.ndarray:
        with gzip.open(folder / f"t10k-{kind}-ubyte.gz") as file:
            return np.frombuffer(file.read(), np.uint8, offset=start)

    images = held("images-idx3", 16).reshape(-1, 14, 2, 14, 2)[:MOST].mean(axis=(2, 4)) / 255
    inputs = images.reshape(MOST, -1)
    return inputs[:, inputs.std(axis=0) > 0], held("labels-idx1", 8)[:MOST].astype(np.int64), True


def first(folder: Path, published: Path | None) -> tuple[File, ...]:
    """The datasets of the curves that were reported first, written into a folder."""
    sets = _generated()
    if published is not None:
        sets |= {name: _uci(published / "uci", name) for name in UCI}
    return written(folder, sets)


def second(folder: Path, published: Path | None) -> tuple[File, ...]:
    """The datasets of the curves that were reported next, written into a folder."""
    sets = _others()
    if published is not None:
        sets |= {"mnist": _mnist(published / "mnist_t10k")}
    return written(folder, sets)


def written(folder: Path, sets: Mapping[str, Table]) -> tuple[File, ...]:
    """Tables as NPZ files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name, (x, y, classes) in sets.items():
        path = folder / f"{name}.npz"
        np.savez(path, x=x.astype(np.float32), y=y)
        found.append(File(name, path, int(SHARE * len(x)), classes))
    return tuple(found)
