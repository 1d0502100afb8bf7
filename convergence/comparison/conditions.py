"""Conditions under which a study is trained again, each in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from convergence.errors import UserError

BFLOAT16 = "bfloat16"
# As JAX names them for `jax_default_matmul_precision`.
MATMUL = ("default", "high", "highest", "float32", "tensorfloat32", "bfloat16_3x")
PRECISIONS = (BFLOAT16, *MATMUL)
OLDEST = (3, 11)  # Python that this code runs on
_NEEDED = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "polars")
_OF_DATA = {
    "mnist1d": "mnist1d",
    "file": "",
    "teacher_regression": "",
    "teacher_classification": "",
}
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")
_OF_PYTHON = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV")
_HOST_DEVICES = re.compile(r"--xla_force_host_platform_device_count=\S*")
_PROBE = """
import importlib.util, json, platform, sys
from importlib import metadata
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
print(json.dumps({
    "python": list(sys.version_info[:3]),
    "missing": [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None],
    "jax": version("jax"),
    "flax": version("flax"),
}))
"""


class CannotRun(Exception):
    """Why a process under a condition gave no study, as the end of a sentence."""


@dataclasses.dataclass(frozen=True)
class Condition:
    """One change of conditions; everything else stays as it is in this process.

    Attributes:
        name: a few words.
        python: another interpreter.
        threads: usable cores, and what libraries are told of them.
        devices: forced host devices.
        precision: one of `PRECISIONS`.
        xla_flags: more of XLA's.
        vmap: lanes side by side instead of in turn.
    """

    name: str
    python: str = ""
    threads: int = 0
    devices: int = 0
    precision: str = ""
    xla_flags: tuple[str, ...] = ()
    vmap: bool = False

    @property
    def same_settings(self) -> bool:
        """Whether only conditions are changed, so that what differs is rounding or a bug."""
        return self.precision != BFLOAT16

    def arguments(self) -> list[str]:
        """What the process is told on its command line."""
        told = [f"--threads={self.threads}"] if self.threads else []
        told += [f"--compute_dtype={BFLOAT16}"] if self.precision == BFLOAT16 else []
        return told + (["--vmap"] if self.vmap else [])

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The process' environment, from that in which nothing is changed.

        No compiled program is kept or read: JAX's key of one covers the flags, versions and
        devices, but not the number of threads, and no condition shall be answered by another's
        program.
        """
        told = {k: v for k, v in base.items() if not (self.python and k in _OF_PYTHON)}
        told["JAX_ENABLE_COMPILATION_CACHE"] = "false"
        if self.threads:
            told |= dict.fromkeys(_THREADS, str(self.threads))
        if self.precision in MATMUL:
            told["JAX_DEFAULT_MATMUL_PRECISION"] = self.precision
        flags = told.get("XLA_FLAGS", "")
        if self.devices:
            count = f"--xla_force_host_platform_device_count={self.devices}"
            flags = f"{_HOST_DEVICES.sub('', flags)} {count}"
        told["XLA_FLAGS"] = " ".join([*flags.split(), *self.xla_flags])
        return told


CONTROL = Condition("nothing changed")


def every(pythons: Sequence[str] = ()) -> tuple[Condition, ...]:
    """The whole audit, in these other environments, too."""
    told = [
        CONTROL,
        *(Condition(f"{n} thread{'s' * (n > 1)}", threads=n) for n in (1, 2)),
        *(Condition(f"{n} device{'s' * (n > 1)}", devices=n) for n in (1, 2)),
        Condition("forward pass in bfloat16", precision=BFLOAT16),
        Condition("highest matmul precision", precision="highest"),
        *(
            Condition(f"compiler level {n}", xla_flags=(f"--xla_backend_optimization_level={n}",))
            for n in (0, 1)
        ),
        Condition("lanes by vmap", vmap=True),
    ]
    return (*told, *map(other_python, pythons))


def other_python(python: str) -> Condition:
    """The condition of another interpreter."""
    return Condition("another interpreter", python=python)


def probe(python: str, dataset: str) -> str:
    """What an interpreter has: "jax 0.9.2, flax 0.12.6", and its Python if that is another.

    Args:
        dataset: the study's, for what it takes to load it.

    Raises:
        UserError: it is no Python, is too old, or lacks a package.
    """
    needed = [*_NEEDED, *filter(None, [_OF_DATA.get(dataset, "sklearn")])]
    environment = {k: v for k, v in os.environ.items() if k not in _OF_PYTHON}
    try:
        done = subprocess.run(
            [python, "-c", _PROBE, *needed],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        told = json.loads(done.stdout)
        version, missing = tuple(told["python"]), list(told["missing"])
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(f"{python} cannot be run ({why}); give a Python.", "python") from error
    except (ValueError, KeyError, TypeError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{python} is no Python: it does not answer as one.", "python") from error
    if version < OLDEST:
        raise UserError(
            f"{python} is Python {'.'.join(map(str, version))}; this code needs "
            f"{'.'.join(map(str, OLDEST))} or newer.",
            "python",
        )
    if missing:
        raise UserError(
            f"{python} lacks {', '.join(missing)}; install them there (see pyproject.toml).",
            "python",
        )
    own = "" if version == sys.version_info[:3] else f", Python {'.'.join(map(str, version))}"
    return f"jax {told['jax']}, flax {told['flax']}{own}"


def run(condition: Condition, command: Sequence[str], base: Mapping[str, str]) -> None:
    """Runs a command of Python's under a condition, to its end.

    Args:
        command: script and arguments.
        base: the environment in which nothing is changed.

    Raises:
        CannotRun: it ended with a fault; says why.
    """
    python = condition.python or sys.executable
    try:
        done = subprocess.run(
            [python, *command, *condition.arguments()],
            env=condition.environment(base),
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise CannotRun(f"{python}: {error.strerror or error}") from error
    if done.returncode:
        raise CannotRun(_why(done.stderr, done.returncode))


def _why(stderr: str, status: int) -> str:
    """The line of a process' last words that tells most."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    for sign in ("compare: ", "Unknown flag", "Error: "):
        for line in reversed(lines):
            if sign in line:
                return line[line.index(sign) :].removeprefix("compare: ")
    if status < 0:
        return f"it was ended by signal {-status}"
    return lines[-1] if lines else f"it ended with status {status}"


def use_cores(count: int) -> None:
    """Lets this process use so many of its cores; must come before JAX is imported.

    Raises:
        UserError: there are fewer, or the system cannot do it.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise UserError("this system cannot bind a process to cores.", "threads")
    usable = sorted(os.sched_getaffinity(0))
    if count > len(usable):
        raise UserError(f"only {len(usable)} cores are usable here.", "threads")
    os.sched_setaffinity(0, usable[:count])


def script_path() -> Path:
    """scripts/compare.py of this checkout."""
    return Path(__file__).resolve().parent.parent.parent / "scripts" / "compare.py"
