"""Synthetic families whose truth is known: a random teacher network labels random inputs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from convergence import randomness
from convergence.data.dataset import Dataset, array_encoding
from convergence.spec import DataSpec

ROWS = 2000
FEATURES = 16
HIDDEN = 32
CLASSES = 5
NOISE = 0.1  # SD of the regression's noise, in SDs of the signal
_CALIBRATION_ROWS = 4096


@dataclasses.dataclass(frozen=True)
class Teacher:
    """tanh network: first [features, hidden], bias [hidden], second [hidden, outputs] float64."""

    first: np.ndarray
    bias: np.ndarray
    second: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """[rows, outputs] for x [rows, features]; einsum, so that a row depends on itself alone."""
        hidden = np.tanh(np.einsum("rf,fh->rh", x, self.first) + self.bias)
        return np.einsum("rh,ho->ro", hidden, self.second)


def draw_teacher(key: randomness.HostKey, outputs: int) -> Teacher:
    """A random teacher; pre-activations have an SD of about 1.5, so that tanh bends."""
    draws = randomness.host_generator(randomness.fold_name(key, "weights"))
    first = draws.standard_normal((FEATURES, HIDDEN)) * 1.5 / np.sqrt(FEATURES)
    bias = draws.standard_normal(HIDDEN) * 0.5
    second = draws.standard_normal((HIDDEN, outputs)) / np.sqrt(HIDDEN)
    return Teacher(first, bias, second)


def teacher(spec: DataSpec) -> Dataset:
    """Gaussian inputs with targets of a 16-32-k tanh teacher drawn from ``spec.data_seed``.

    Regression: the output scaled to mean 0 and SD 1, plus noise of SD 0.1. Classification: the
    largest of five outputs, each scaled to mean 0 and SD 1, which makes the classes roughly equal;
    the labels are exact. Scaling is by other rows than these, so more ``generated_rows`` only add.
    """
    outputs = 1 if spec.dataset == "teacher_regression" else CLASSES
    rows = spec.generated_rows or ROWS
    key = randomness.host_key(spec.data_seed, spec.dataset, None)

    def stream(name: str) -> np.random.Generator:
        return randomness.host_generator(randomness.fold_name(key, name))

    network = draw_teacher(key, outputs)
    sample = network(stream("calibration").standard_normal((_CALIBRATION_ROWS, FEATURES)))
    x = stream("inputs").standard_normal((rows, FEATURES))
    signal = (network(x) - sample.mean(axis=0)) / sample.std(axis=0)
    if outputs == 1:
        y = (signal[:, 0] + NOISE * stream("noise").standard_normal(rows)).astype(np.float32)
        classes: tuple[str, ...] = ()
        target: dict[str, Any] = {"name": "y", "kind": "number"}
    else:
        y = np.argmax(signal, axis=1).astype(np.int32)
        classes = tuple(str(index) for index in range(CLASSES))
        target = {"name": "y", "kind": "category", "categories": list(classes)}
    return Dataset(
        name=spec.dataset,
        x=x.astype(np.float32),
        y=y,
        shape=(FEATURES,),
        task="classification" if classes else "regression",
        num_classes=len(classes),
        class_names=classes,
        feature_names=tuple(f"x{i}" for i in range(FEATURES)),
        target_name="y",
        test_rows=None,
        origin=f"{rows} rows labelled by a random tanh network drawn from seed {spec.data_seed}.",
        encoding=array_encoding((FEATURES,), target),
    )
