"""Losses as the host keeps them: the first steps one by one, then bins fixed by step, and a chain.

A bin is reduced once all of its steps are there, so that where segments end changes no bit of it.
"""

from __future__ import annotations

import numpy as np

RAW_STEPS = 256  # losses kept one by one, from the first step
BINS = 1000  # bins that hold the rest of the run
_MIX = (np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35))


def bin_width(total: int) -> int:
    """Steps in one bin of the recorded curve of a run of `total` steps."""
    return max(1, -(-(total - RAW_STEPS) // BINS))


def bin_count(total: int) -> int:
    """Bins of the recorded curve of a run of `total` steps."""
    return -(-max(0, total - RAW_STEPS) // bin_width(total))


def mix(value: np.ndarray) -> np.ndarray:
    """MurmurHash3's 32-bit finaliser on uint32 arrays, as `fingerprint.mix` does on the device."""
    value = value ^ (value >> np.uint32(16))
    value = value * _MIX[0]
    value = value ^ (value >> np.uint32(13))
    value = value * _MIX[1]
    return value ^ (value >> np.uint32(16))


def links(loss: np.ndarray, norm: np.ndarray, first: int) -> np.ndarray:
    """uint32[trials, steps, 2]: each step's part in the chain, from its bits and its index.

    Args:
        loss, norm: float32[trials, steps].
        first: index of the first step.
    """
    steps = np.arange(first, first + loss.shape[1], dtype=np.uint32)
    a, b = (np.ascontiguousarray(x).view(np.uint32) for x in (loss, norm))
    left = mix(a ^ mix(steps))
    right = mix(b + mix(steps + np.uint32(0x9E3779B9)))
    return np.stack([mix(left + right), mix(left ^ mix(right))], axis=-1)


class CurveRecorder:
    """Takes the trace of one segment after another of a block's trials.

    Args:
        trials: how many.
        total: steps of the longest.
        every: steps between fingerprints, 0 for never; the chain is kept at the same steps.
        marks: how many of them are kept.
    """

    def __init__(self, trials: int, total: int, every: int, marks: int) -> None:
        self._total, self._every = total, every
        self._width = bin_width(total)
        nan = np.float32(np.nan)
        bins = (trials, bin_count(total))
        self._done = 0
        self._open = np.empty((trials, 0), np.float32)  # steps of the bin that is not full yet
        self._last = np.full((trials, 1), nan)
        self._raw = np.full((trials, min(RAW_STEPS, total)), nan)
        self._bins = {name: np.full(bins, nan) for name in ("mean", "min", "max", "improving")}
        self._chain = np.zeros((trials, 2), np.uint32)
        self._chains = np.zeros((trials, marks, 2), np.uint32)

    def add(self, trace: np.ndarray, done: np.ndarray) -> None:
        """Takes a segment.

        Args:
            trace: float32[trials, steps, 2] loss and gradient norm of the segment's steps.
            done: int[trials] steps that each trial has done in all.
        """
        first, count = self._done, trace.shape[1]
        taken = (first + np.arange(count))[None] < done[:, None]
        loss = np.where(taken, trace[..., 0], np.float32(np.nan))
        self._add_chain(trace, taken, first)
        early = min(max(RAW_STEPS - first, 0), count)
        self._raw[:, first : first + early] = loss[:, :early]
        if early == count and early:
            self._last = loss[:, -1:]
        elif early:
            self._last = loss[:, early - 1 : early]
        self._open = np.concatenate([self._open, loss[:, early:]], axis=1)
        self._done += count
        self._close_bins()

    def _add_chain(self, trace: np.ndarray, taken: np.ndarray, first: int) -> None:
        parts = links(trace[..., 0], trace[..., 1], first) * taken[..., None].astype(np.uint32)
        running = self._chain[:, None] + np.cumsum(parts, axis=1, dtype=np.uint32)
        if self._every:
            for mark in range(first // self._every, (first + trace.shape[1]) // self._every):
                if mark < self._chains.shape[1]:
                    self._chains[:, mark] = running[:, (mark + 1) * self._every - first - 1]
        if trace.shape[1]:
            self._chain = running[:, -1]

    def _close_bins(self) -> None:
        """Reduces all bins whose steps are there; at the end, the last one with what it has."""
        width, waiting = self._width, self._open.shape[1]
        whole = waiting // width
        rest = waiting - whole * width
        if self._done == self._total and rest:
            lacking = np.full((len(self._open), width - rest), np.nan, np.float32)
            self._open = np.concatenate([self._open, lacking], axis=1)
            whole += 1
        if not whole:
            return
        flat = self._open[:, : whole * width]
        values = flat.reshape(len(flat), whole, width)
        before = np.concatenate([self._last, flat[:, :-1]], axis=1).reshape(values.shape)
        there = ~np.isnan(values)
        some = there.any(axis=2)
        size = np.maximum(there.sum(axis=2), 1).astype(np.float32)
        sums = np.where(there, values, 0).astype(np.float64).sum(axis=2)
        with np.errstate(over="ignore", invalid="ignore"):
            told = {
                "mean": (sums / size).astype(np.float32),
                "min": np.where(there, values, np.inf).min(axis=2),
                "max": np.where(there, values, -np.inf).max(axis=2),
                "improving": (there & (values < before)).sum(axis=2) / size,
            }
        first = (max(self._done - RAW_STEPS, 0) - waiting) // width
        for name, found in told.items():
            bins = self._bins[name][:, first : first + whole]
            bins[some] = found[some]
        self._last = flat[:, -1:]
        self._open = self._open[:, whole * width :]

    def arrays(self) -> dict[str, np.ndarray]:
        """What is kept of the losses, by name, axis 0 trials."""
        bins = {f"bin_{name}": values for name, values in self._bins.items()}
        return {"raw": self._raw, **bins, "chain": self._chain, "chains": self._chains}

    def pack(self) -> dict[str, np.ndarray]:
        """All of it, for a checkpoint."""
        inside = {"done": np.array(self._done), "open": self._open, "last": self._last}
        return {f"curve/{name}": values for name, values in (inside | self.arrays()).items()}

    def unpack(self, arrays: dict[str, np.ndarray]) -> None:
        """Goes on from what `pack` gave."""
        found = {name.removeprefix("curve/"): values for name, values in arrays.items()}
        self._done = int(found["done"])
        self._open, self._last, self._raw = found["open"], found["last"], found["raw"]
        self._bins = {name: found[f"bin_{name}"] for name in self._bins}
        self._chain, self._chains = found["chain"], found["chains"]
