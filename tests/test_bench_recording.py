"""The benchmark's program without recording: it trains the same trials, and records nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = str(Path(__file__).resolve().parent.parent / "scripts")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["BarePopulation", "GuardedPopulation"])
def test_the_bare_program_does_the_same_work(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the cost of recording from being that of other training: scores agree."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import bench_bare
    import bench_measure
    import bench_recording
    import bench_workloads

    assert sys.modules["bench_bare"].__file__ == f"{SCRIPTS}/bench_bare.py"
    workload = bench_workloads.WORKLOADS["W1"]().shortened(60)
    dataset = workload.load()
    programs = bench_recording.programs(workload, dataset, 2, getattr(bench_bare, kind))
    bare = bench_measure.engine(workload, dataset, 2, programs, every=0)()
    whole = bench_measure.engine(workload, dataset, 2, {})()
    assert len(programs) == 1  # the bare ones were used
    for name in ("predictions", "eval/validation/cross_entropy", "steps_done", "first_bad"):
        np.testing.assert_allclose(bare.arrays[name], whole.arrays[name], rtol=1e-3, atol=1e-3)
    assert not bare.arrays["fingerprint"].any()
    chain = bare.arrays["chain"]  # of one line of zeros a segment: it knows nothing of the steps
    assert chain[0].tolist() == chain[1].tolist()
    assert whole.arrays["fingerprint"].all()
    same = bare.arrays["predictions"].tobytes() == whole.arrays["predictions"].tobytes()
    print(f"{kind}: the same bits: {same}")
