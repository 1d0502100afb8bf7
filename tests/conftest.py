"""What every test shares: JAX on two forced CPU devices, with key reuse an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# The user's folder of compiled programs is left alone; tests that share programs have their own.
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import jax
import pytest
from hypothesis import settings

# The same examples at every run: a change is judged by what it did, not by the draw.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where runs of experiments and their compiled programs are shared."""
    from helpers import commands  # only where it is used: it imports the whole package

    with commands.programs_kept(tmp_path_factory.getbasetemp()):
        yield tmp_path_factory.getbasetemp()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="slow: run with --slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Saves a worker's coverage now: on a busy machine it is ended before it would do so itself."""
    coverage = sys.modules.get("coverage")
    if coverage is not None and hasattr(session.config, "workerinput"):
        measured = coverage.Coverage.current()
        if measured is not None:
            measured.stop()
            measured.save()
