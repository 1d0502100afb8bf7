"""Experiments run as a user runs them, in this process or in another, and what they leave."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import importlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from convergence import flags
from convergence.reporting import files

ROOT = Path(__file__).resolve().parent.parent.parent
EXPERIMENTS = ("train", "schedules", "five_challenges")
# One small program for train and schedules, three for the main job.
SMALL = ("--preset=smoke", "--dataset=iris", "--batch_size=8", "--model=mlp", "--hidden=4")
ARRAYS = ("fingerprints", "curves", "predictions", "sketches")


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status and what it said."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of its output, without those that name a path."""
        lines = self.out.splitlines()
        return [
            line for line in lines if not line.startswith(("Workdir:", "Report:", "TensorBoard:"))
        ]


def experiment(name: str) -> Any:
    """The module of an experiment."""
    return importlib.import_module(f"experiments.{name}")


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process of the test run at a time has this folder."""
    with open(folder / ".lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def shared_folder(base: Path) -> Path:
    """The folder that all processes of this test run share, from pytest's `getbasetemp`."""
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextlib.contextmanager
def programs_kept(base: Path) -> Iterator[Path]:
    """Compiled programs are kept on disk: one is compiled once, however many runs need it.

    Types are promoted as in a process of the user's, so that those processes find them, too.
    """
    folder = base / "programs"
    wanted = {
        "jax_numpy_dtype_promotion": "standard",
        "jax_enable_compilation_cache": True,
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in wanted}
    folder.mkdir(exist_ok=True)
    try:
        for name, value in wanted.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        yield folder
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


def exchange(programs: Path) -> None:
    """Gives this process the programs that others of the test run compiled, and them its own.

    JAX does not write its files whole, so that no two processes may write one folder.
    """
    common = shared_folder(programs.parent) / "programs-of-all"
    common.mkdir(exist_ok=True)
    for source, target in ((common, programs), (programs, common)):
        for path in source.glob("*-cache"):
            with contextlib.suppress(FileExistsError):
                os.link(path, target / path.name)


def launch(name: str, *arguments: str) -> Ended:
    """Runs an experiment in this process, to its exit."""
    module, out, err = experiment(name), io.StringIO(), io.StringIO()
    handler, programs = signal.getsignal(signal.SIGTERM), jax.config.jax_compilation_cache_dir
    if programs:
        exchange(Path(programs))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            flags.launch(
                module.main,
                name=name,
                presets=module.PRESETS,
                default_preset="quick",
                extra=getattr(module, "EXTRA", None),
                arguments=arguments,
            )
    except SystemExit as ended:
        return Ended(int(ended.code or 0), out.getvalue(), err.getvalue())
    finally:
        signal.signal(signal.SIGTERM, handler)
        if programs:
            exchange(Path(programs))
    raise AssertionError("an experiment ends with an exit status")


def once(base: Path, key: str, name: str, *arguments: str) -> tuple[Ended, Path]:
    """`launch` with a workdir of its own, run once for all tests that give the same key."""
    folder = shared_folder(base) / "runs" / key
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "ended.json"
    with alone(folder):
        if not told.exists():
            ended = launch(name, *arguments, f"--workdir={folder / 'study'}")
            told.write_text(json.dumps(dataclasses.asdict(ended)))
    return Ended(**json.loads(told.read_text())), folder / "study"


def start(
    arguments: Sequence[str], programs: Path, **environment_too: str
) -> subprocess.Popen[str]:
    """Starts a Python process that keeps its compiled programs in this folder."""
    environment = (
        os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "JAX_ENABLE_COMPILATION_CACHE": "true",
            "JAX_COMPILATION_CACHE_DIR": str(programs),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        | environment_too
    )
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
    )


def finish(process: subprocess.Popen[str]) -> Ended:
    """Waits for a process."""
    with process:
        out, err = process.communicate()
    return Ended(process.returncode, out, err)


def arrays(workdir: Path) -> dict[str, np.ndarray]:
    """Every array that a finished study left, by file and name; its table's columns are lists."""
    params = sorted((workdir / "params").glob("*.npz"))
    names = [*ARRAYS, "preprocessing", *(f"params/{path.stem}" for path in params)]
    found = {
        f"{name}/{key}": value
        for name in names
        for key, value in files.read_npz(workdir / f"{name}.npz").items()
    }
    columns = files.read_parquet(workdir / "trials.parquet")
    return found | {
        f"trials/{key}": np.array([repr(item) for item in v]) for key, v in columns.items()
    }


def differing(one: Path, other: Path) -> list[str]:
    """The arrays of two finished studies that are not equal, bit by bit."""
    first, second = arrays(one), arrays(other)
    return [name for name in first | second if not _same(first.get(name), second.get(name))]


def _same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return False
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def manifest(workdir: Path) -> dict[str, Any]:
    """A study's manifest."""
    found: dict[str, Any] = json.loads((workdir / "manifest.json").read_text())
    return found


def summary(workdir: Path) -> dict[str, Any]:
    """A study's summary, which may hold no NaN and no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    told = (workdir / "summary.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(told, parse_constant=refuse)
    return found


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files_there = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files_there}


def refused(ended: Ended, name: str) -> str:
    """What a command said that ended with a mistake of the user's, after checking how it did."""
    assert ended.status == 2, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    lines = ended.err.splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith(f"{name}: ")
    return lines[0].removeprefix(f"{name}: ")
