"""What may change bits is collected, and only that counts as drift."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from convergence.reporting import provenance


@pytest.fixture(scope="module")
def now() -> dict[str, Any]:
    return provenance.collect("abc")


def test_collects_what_is_promised(now: dict[str, Any]) -> None:
    """Protects repeatability: versions, device, settings and data are on record, as plain JSON."""
    assert json.loads(json.dumps(now)) == now
    for name in ("python", "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "convergence"):
        assert now["versions"][name][0].isdigit(), name
    assert now["device"]["platform"] == "cpu"
    assert now["device"]["count"] >= 1
    assert now["cpu"]["usable"] == len(now["cpu"]["affinity"]) or not now["cpu"]["affinity"]
    assert now["jax"]["jax_threefry_partitionable"] in (True, False)
    assert now["data_digest"] == "abc"


def test_settings_are_plain_values(now: dict[str, Any]) -> None:
    """Protects the message on drift: a setting is told by its value, not as a Python object."""
    told = now["jax"]["jax_numpy_dtype_promotion"]
    assert type(told) is str
    assert told in ("standard", "strict")
    for value in now["jax"].values():
        assert value is None or type(value) in (bool, int, str)


def changed(now: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    other = copy.deepcopy(now)
    *way, last = path.split(".")
    at = other
    for name in way:
        at = at[name]
    at[last] = value
    return other


@pytest.mark.parametrize(
    "path",
    [
        "versions.jax",
        "versions.jaxlib",
        "versions.python",
        "versions.numpy",
        "device.kind",
        "cpu.usable",
        "cpu.model",
        "jax.jax_threefry_partitionable",
        "data_digest",
        "source_digest",
    ],
)
def test_drift_is_seen(now: dict[str, Any], path: str) -> None:
    """Protects the bits contract: a resume under any of these changes must be refused."""
    assert provenance.drift(now, changed(now, path, "other")) == [
        (path, provenance._comparable(path, now), "other")
    ]


def test_what_changes_no_bit_is_no_drift(now: dict[str, Any]) -> None:
    """Protects resuming: host devices, which cores, and git do not matter."""
    assert provenance.drift(now, now) == []
    more = changed(now, "device.count", 99)
    flags = f"{now['xla_flags']} --xla_force_host_platform_device_count=99"
    more = changed(changed(more, "xla_flags", flags), "cpu.affinity", [7])
    assert provenance.drift(now, changed(more, "git", None)) == []
    gpu = changed(now, "device.platform", "gpu")
    assert provenance.drift(gpu, changed(gpu, "device.count", 99)) != []
    assert provenance.drift(now, changed(now, "xla_flags", "--xla_cpu_fast=1")) != []
    assert provenance.drift({}, now) != []  # an old manifest without the fields


def test_git_revision_and_dirt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the record of the code: its revision, whether it was edited, None outside git."""
    monkeypatch.setattr(provenance, "_package_folder", lambda: tmp_path / "package")
    assert provenance._git() is None
    (tmp_path / ".git").mkdir()
    assert provenance._git() is None  # no checkout that git knows
    (tmp_path / ".git").rmdir()
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    found = provenance._git()
    assert found is not None
    assert len(found["revision"]) == 40
    assert not found["dirty"]
    (tmp_path / "new").touch()
    assert provenance._git() == {**found, "dirty": True}


def test_presentation_is_no_drift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects resumption: an edited page changes no bit of a trial, an edited engine may."""
    monkeypatch.setattr(provenance, "_package_folder", lambda: tmp_path)
    for name in ("study.py", "report/page.py", "reporting/figures/lines.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1\n")
    first = provenance._source_digest()
    for name in ("report/page.py", "reporting/figures/lines.py"):
        (tmp_path / name).write_text("2\n")
        assert provenance._source_digest() == first
    (tmp_path / "study.py").write_text("2\n")
    assert provenance._source_digest() != first
