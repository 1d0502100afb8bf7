"""Where a study's bits come from: versions, device, settings; and what changed between two runs."""

from __future__ import annotations

import enum
import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "scikit-learn", "polars")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")
_JAX_SETTINGS = (
    "jax_threefry_partitionable",
    "jax_default_prng_impl",
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_numpy_dtype_promotion",
)
# A trial's bits do not depend on how many CPU devices the host is split into (the bits contract),
# so that flag alone is no drift.
_HOST_DEVICES = re.compile(r"--xla_force_host_platform_device_count=\S*")
_MAY_CHANGE_BITS = (
    "versions.python",
    "versions.jax",
    "versions.jaxlib",
    "versions.flax",
    "versions.optax",
    "versions.numpy",
    "versions.convergence",
    "source_digest",
    "device.platform",
    "device.kind",
    "device.count",
    "cpu.model",
    "cpu.usable",
    "cpu.threads",
    "xla_flags",
    *(f"jax.{name}" for name in _JAX_SETTINGS),
    "data_digest",
    "user_files",
)


def collect(dataset_digest: str, user_files: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Everything that may change a study's bits, and where its code came from, as plain JSON.

    Args:
        dataset_digest: hex digest of the rows that are trained on.
        user_files: hex digests of the user's own files that are run, by path.
    """
    return {
        "versions": _versions(),
        "device": _device(),
        "cpu": {
            "model": processor()[0],
            "usable": usable_cores(),
            "affinity": _affinity(),
            "threads": thread_settings(),
        },
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "jax": _jax_settings(),
        "compilation_cache": _compilation_cache(),
        "data_digest": dataset_digest,
        "user_files": dict(user_files or {}),
        "source_digest": _source_digest(),
        "git": _git(),
        "system": {
            "name": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
        },
    }


def drift(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What may have changed the bits between two `collect`s: (field, was, is), empty if nothing.

    The number of CPU devices (and the XLA flag that sets it), and which of the machine's cores are
    used, are not compared: only how many cores there are.
    """
    found = []
    for field in _MAY_CHANGE_BITS:
        was, now_is = (_comparable(field, source) for source in (then, now))
        if was != now_is:
            found.append((field, was, now_is))
    return found


def _comparable(field: str, source: Mapping[str, Any]) -> Any:
    value: Any = source
    for name in field.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if field == "xla_flags":
        return sorted(_HOST_DEVICES.sub("", str(value or "")).split())
    if field == "device.count" and _comparable("device.platform", source) == "cpu":
        return "any"
    return value


def usable_cores() -> int:
    """How many CPU cores this process may use."""
    affinity = _affinity()
    return len(affinity) if affinity else os.cpu_count() or 1


def thread_settings() -> dict[str, str]:
    """The environment's variables that set numbers of threads."""
    return {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ}


def _affinity() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _versions() -> dict[str, str]:
    from convergence import __version__

    found = {"python": platform.python_version(), "convergence": __version__}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def _device() -> dict[str, Any]:
    import jax

    devices = jax.devices()
    return {
        "platform": devices[0].platform,
        "kind": devices[0].device_kind,
        "count": len(devices),
        "processes": jax.process_count(),
    }


def _jax_settings() -> dict[str, Any]:
    import jax

    return {name: _plain(getattr(jax.config, name, None)) for name in _JAX_SETTINGS}


def _plain(value: Any) -> Any:
    value = value.value if isinstance(value, enum.Enum) else value
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _compilation_cache() -> str | None:
    """The folder of compiled programs, or None where none is used."""
    import jax

    told = [
        getattr(jax.config, f"jax_{name}")
        for name in ("enable_compilation_cache", "compilation_cache_dir")
    ]
    return str(told[1]) if all(told) else None


def processor() -> tuple[str, str]:
    """The CPU's model and its instruction sets, as Linux tells them; "" where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor(), ""
    told = dict(line.partition(":")[::2] for line in reversed(lines))  # the first core's last
    told = {name.strip(): value.strip() for name, value in told.items()}
    features = told.get("flags", told.get("Features", ""))
    return told.get("model name", platform.processor()), features


def _package_folder() -> Path:
    return Path(__file__).resolve().parent.parent


def _source_digest() -> str:
    """SHA-256 of the package's own code: an edited engine is another engine."""
    folder, digest = _package_folder(), hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        # Presentation cannot reach a trial's bits.
        if not {"reporting", "report"} & set(path.relative_to(folder).parts):
            digest.update(
                str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0"
            )
    return digest.hexdigest()


def _git() -> dict[str, Any] | None:
    """Revision of the checkout that holds the package, and whether it was edited; or None."""
    root = _package_folder().parent
    if not (root / ".git").exists():
        return None

    def ask(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return result.stdout.strip()

    try:
        return {"revision": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
