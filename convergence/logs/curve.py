"""A curve found in somebody's logs, and what its name says of it."""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from convergence.analysis.curves import Kind

_HELD_OUT = ("val", "valid", "validation", "test", "eval", "evaluation", "heldout", "dev", "clean")
_HIGHER = (
    "acc",
    "accuracy",
    "auc",
    "auroc",
    "bleu",
    "dice",
    "elbo",
    "f1",
    "fscore",
    "iou",
    "likelihood",
    "map",
    "mcc",
    "miou",
    "precision",
    "psnr",
    "r2",
    "recall",
    "return",
    "reward",
    "score",
    "ssim",
    "top1",
    "top5",
)
_LOWER = (
    "loss",
    "error",
    "err",
    "rmse",
    "mse",
    "mae",
    "entropy",
    "ce",
    "nll",
    "perplexity",
    "ppl",
    "brier",
    "kl",
    "wer",
    "fid",
    "cost",
)


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """One curve as it was recorded.

    Attributes:
        run: the run's name, '' where there is only one; a folder's path within the logs.
        tag: the quantity's name.
        steps: float64[n].
        values: float64[n].
        warnings: sentences on how it was read.
        held_out: whether it is held out; None to guess by the tag.
    """

    run: str
    tag: str
    steps: np.ndarray
    values: np.ndarray
    warnings: tuple[str, ...] = ()
    held_out: bool | None = None

    @property
    def name(self) -> str:
        """The run and the tag."""
        return f"{self.run} · {self.tag}" if self.run else self.tag


def _words(name: str) -> list[str]:
    """The words of a name, apart at capitals too (mAP is one word as well as two)."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    whole, parts = (
        re.findall(r"[a-z]+\d*", text.lower().replace("held-out", "heldout"))
        for text in (name, apart)
    )
    return whole + [word for word in parts if word not in whole]


def higher_is_better(tag: str) -> bool:
    """Whether a quantity's name sounds like a score; the last telling word decides."""
    for word in reversed(_words(tag)):
        if word in _LOWER:
            return False
        if word in _HIGHER:
            return True
    return False


def sounds_judgeable(tag: str) -> bool:
    """Whether the name is that of a loss or a score, and not of a rate, a norm or a time."""
    return any(word in _LOWER or word in _HIGHER for word in _words(tag))


def kind_of(curve: Curve, higher: bool) -> Kind:
    """What rules the curve is judged by."""
    if higher:
        return "score"
    held_out = curve.held_out
    if held_out is None:
        held_out = any(word in _HELD_OUT for word in _words(curve.name))
    return "held-out" if held_out else "loss"
