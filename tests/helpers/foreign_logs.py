"""Logs as other libraries' writers leave them, for `scripts/judge.py` to read.

WRITER_ENVIRONMENT/bin/python tests/helpers/foreign_logs.py keras|tensorboardX FOLDER [--runs=200]

Imports nothing of this project: it runs in an environment of its own that holds the writer. Each
run has a training loss that settles, or still falls in every second run, held-out values, a rate,
and what is no curve: histograms and images. Prints the tags of one run that are losses or scores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

EPOCHS = 60  # of a Keras run
FITTED = 2  # Keras runs that are truly trained; of the others the callback is told the values
STEPS = 600


def curve(run: int, points: int) -> np.ndarray:
    """A loss [points]: run 0, 2, … settle, the others still fall at the end."""
    rng = np.random.default_rng(run)
    x = np.arange(points) / points
    falls = np.exp(-20 * x) if run % 2 == 0 else (1 + 40 * x) ** -0.4
    return 0.3 + 2 * falls + 0.01 * rng.standard_normal(points)


def with_tensorboardx(folder: Path, runs: int) -> list[str]:
    """Scalars as ``simple_value``, a histogram and an image beside them."""
    from tensorboardX import SummaryWriter

    for run in range(runs):
        with SummaryWriter(str(folder / f"run_{run:03d}")) as writer:
            for step, loss in enumerate(curve(run, STEPS)):
                writer.add_scalar("train/loss", loss, 10 * step)
                writer.add_scalar("lr", 0.1 * 0.99**step, 10 * step)
                if step % 10 == 0:
                    writer.add_scalar("val/accuracy", 1 - loss / 3, 10 * step)
            writer.add_histogram("weights", np.random.default_rng(run).standard_normal(50), 0)
            writer.add_image("input", np.zeros((3, 4, 4), np.float32), 0)
    return ["train/loss", "val/accuracy"]


def with_keras(folder: Path, runs: int) -> list[str]:
    """Keras' own callback: folders train and validation, a tensor an epoch, graphs, histograms."""
    import keras

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((256, 4)), rng.standard_normal((256, 1))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse", metrics=["mae"])
    for run in range(runs):
        board = keras.callbacks.TensorBoard(str(folder / f"run_{run:03d}"), histogram_freq=30)
        if run < FITTED:
            model.fit(x, y, epochs=EPOCHS, validation_data=(x, y), callbacks=[board], verbose=0)
            continue
        board.set_model(model)
        board.on_train_begin()
        for epoch, loss in enumerate(curve(run, EPOCHS)):
            told = {"loss": loss, "mae": loss / 2}
            told |= {f"val_{name}": value + 0.1 for name, value in told.items()}
            board.on_epoch_end(epoch, told)
        board.on_train_end()
    return ["epoch_loss", "epoch_mae"]


WRITERS = {"tensorboardX": with_tensorboardx, "keras": with_keras}


def main() -> None:
    """Writes the logs, and prints which tags were written that are to be judged."""
    parser = argparse.ArgumentParser()
    parser.add_argument("writer", choices=tuple(WRITERS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=200)
    told = parser.parse_args()
    print(json.dumps(WRITERS[told.writer](told.folder, told.runs)))


if __name__ == "__main__":
    main()
