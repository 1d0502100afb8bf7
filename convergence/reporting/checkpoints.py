"""The checkpoints of blocks that are under way, as files of a study's workdir; or of all blocks."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from convergence.reporting import files
from convergence.reporting.workdir import Workdir

_NAME = re.compile(r"block_(\d{5,})_step_\d{9,}\.npz")


class CheckpointFolder:
    """The checkpoints of a study's blocks in its workdir: the two newest of each block.

    Args:
        workdir: the study's.
        keep: keep them all, also once a block has ended.
    """

    def __init__(self, workdir: Workdir, keep: bool = False) -> None:
        self.workdir = workdir
        self.keep = keep

    def _path(self, block: int, step: int) -> Path:
        return self.workdir.path(f"checkpoints/block_{block:05d}_step_{step:09d}.npz")

    def _kept(self, block: int) -> list[tuple[int, Path]]:
        folder = self.workdir.path("checkpoints")
        found = folder.glob(f"block_{block:05d}_step_*.npz") if folder.is_dir() else ()
        return sorted(((int(path.stem[-9:]), path) for path in found), reverse=True)

    def save_checkpoint(self, block: int, step: int, arrays: dict[str, np.ndarray]) -> None:
        """Writes the checkpoint, then drops all but the two newest (unless all are kept)."""
        self._path(block, step).parent.mkdir(exist_ok=True)
        files.write_npz(self._path(block, step), arrays)
        for _, path in () if self.keep else self._kept(block)[2:]:
            path.unlink(missing_ok=True)

    def blocks(self) -> list[int]:
        """The blocks that have left checkpoints, ascending."""
        folder = self.workdir.path("checkpoints")
        names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
        found = (_NAME.fullmatch(name) for name in names)
        return sorted({int(match[1]) for match in found if match})

    def checkpoints(self, block: int) -> Sequence[tuple[int, Callable[[], dict[str, np.ndarray]]]]:
        """Step and reader of each kept checkpoint, newest first."""

        def reader(path: Path) -> Callable[[], dict[str, np.ndarray]]:
            def read() -> dict[str, np.ndarray]:
                try:
                    return files.read_npz(path)
                except files.CorruptFile as error:
                    raise ValueError(error.why) from error

            return read

        return [(step, reader(path)) for step, path in self._kept(block)]

    def damaged(self, block: int, step: int, why: str) -> None:
        """Notes that a checkpoint could not be used, for the user to read."""
        older = any(kept < step for kept, _ in self._kept(block))
        instead = "fell back to the one before it" if older else "the block starts again"
        self.workdir.messages.append(
            f"The checkpoint of block {block} after step {step} cannot be used ({why}); {instead}."
        )

    def clear(self, block: int) -> None:
        """Drops a finished block's checkpoints (unless all are kept)."""
        if self.keep:
            return
        for _, path in self._kept(block):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other blocks' are in it
            self.workdir.path("checkpoints").rmdir()
