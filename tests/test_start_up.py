"""scripts/start_up.py: its clock adds up, and the second start compiles nothing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def start_up() -> ModuleType:
    told = importlib.util.spec_from_file_location("start_up", ROOT / "scripts" / "start_up.py")
    assert told is not None
    assert told.loader is not None
    module = importlib.util.module_from_spec(told)
    told.loader.exec_module(module)
    return module


def test_phases_add_up(start_up: ModuleType) -> None:
    """Protects the table from counting a phase within a phase twice."""
    clock = start_up.Clock()
    began = time.perf_counter()
    with clock.phase("outer"):
        time.sleep(0.01)
        with clock.phase("inner"):
            time.sleep(0.02)
    took = time.perf_counter() - began
    assert clock.phases["inner"] >= 0.02
    assert sum(clock.phases.values()) == pytest.approx(took, abs=0.005)


def test_events_within_events_count_once(
    start_up: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the rows of tracing and lowering: a function traced within another has its own."""
    clock, now = start_up.Clock(), [0.0]
    monkeypatch.setattr(start_up.time, "perf_counter", lambda: now[0])
    trace, lower = "/jax/core/compile/jaxpr_trace_duration", "/x/jaxpr_to_mlir_module_duration"
    for at, event, seconds in ((3, trace, 1), (5, trace, 1), (10, lower, 9), (12, trace, 2)):
        now[0] = float(at)
        clock.listen(event, float(seconds), fun_name="f")
    clock.listen("/jax/something_else", 5.0)
    assert clock.phases == {"  of it tracing": 4.0, "  of it lowering": 7.0}


def test_the_table_tells_every_phase(start_up: ModuleType) -> None:
    """Protects the columns: a phase that one way alone has is told for it alone."""
    text = start_up.table({"none": {"a": 1.234, "b": 2.0}, "kept": {"a": 0.5}})
    assert [line.split() for line in text.splitlines()] == [
        ["seconds", "none", "kept"],
        ["a", "1.23", "0.50"],
        ["b", "2.00", "–"],
    ]


@pytest.mark.slow
def test_a_second_start_is_quick() -> None:
    """Protects the promise of the start: --help within 1.5 s, the second smoke study within 6 s."""
    command = [sys.executable, str(ROOT / "scripts" / "start_up.py"), "--rounds=3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    helps = [float(line[0]) for line in lines if line[-1:] == ["--help"]]
    assert helps
    assert max(helps) < 1.5
    whole = next(line for line in lines if line[:3] == ["WHOLE", "PROCESS,", "wall"])
    assert float(whole[-1]) < 6.0
    assert float(whole[-1]) < float(whole[3])
