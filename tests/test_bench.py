"""The benchmark: what is compared must be the same work, and what is told was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("W1", "W2", "W3", "W4")


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    """The benchmark's modules, which are found as a script in their folder finds them."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import bench_loops
    import bench_measure
    import bench_parts
    import bench_workloads

    class Bench:
        loops, measure, parts, workloads = (
            bench_loops,
            bench_measure,
            bench_parts,
            bench_workloads,
        )

    yield Bench
    sys.path.remove(str(ROOT / "scripts"))


@pytest.mark.parametrize("name", NAMES)
def test_all_programs_train_the_same_network(bench: Any, name: str) -> None:
    """Protects the comparison: engine, plain program and Flax loop hold as many params."""
    workload = bench.workloads.WORKLOADS[name]()
    dataset = workload.load()
    study = bench.workloads.study(workload, dataset, 1)
    runner = bench.workloads.Study(study, dataset)
    model = runner.plan.groups[0].program.algorithm.model
    x, _ = bench.workloads.training_rows(workload, dataset)

    def count(tree: Any) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    engine = count(model.form(dataset.shape)[0])
    key = jax.random.key(0)
    assert count(jax.eval_shape(workload.net.init, key)) == engine
    linen = bench.loops._linen(workload)
    assert count(jax.eval_shape(linen.init, key, x[:1])["params"]) == engine
    given = jax.eval_shape(workload.net.apply, jax.eval_shape(workload.net.init, key), x[:64])
    assert given.shape == (64, dataset.outputs)


def test_the_same_rows_are_trained_on(bench: Any) -> None:
    """Protects the comparison: the plain program sees the engine's own rows, prepared alike."""
    workload = bench.workloads.WORKLOADS["W2"]()
    x, y = bench.workloads.training_rows(workload, workload.load())
    np.testing.assert_allclose(np.mean(x, axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(x, axis=0), 1, atol=1e-5)
    np.testing.assert_allclose([np.mean(y), np.std(y)], [0, 1], atol=1e-5)
    assert len(x) == len(y) == 1280  # of 2,000: a fifth for test, a fifth of the rest to validate


def test_flops_are_of_the_matrix_products(bench: Any) -> None:
    """Protects the share of the peak: products of a small net counted by hand."""
    # 3-5-2 on 7 rows: forward 15 + 10, weights 15 + 10, inputs of the second layer 10.
    assert bench.workloads._dense_flops(7, 3, 5, 2) == 2 * 7 * (25 + 25 + 10)


def test_rounds_take_turns(bench: Any) -> None:
    """Protects the ratios: each program begins as many rounds as the other."""
    order: list[str] = []
    runs = {name: (lambda name=name: order.append(name)) for name in "abc"}
    seconds = bench.measure.interleaved(runs, 4)
    assert "".join(order) == "abc" + "bca" + "cab" + "abc"
    assert {name: len(values) for name, values in seconds.items()} == dict.fromkeys("abc", 4)


def test_medians_have_their_coverage(bench: Any) -> None:
    """Protects the intervals: of skewed values, too, they hold the true median in 95 % or more."""
    draws = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        _, low, high = bench.measure.median_interval(draws.exponential(size=15))
        inside += low <= np.log(2) <= high
    assert inside >= 0.93 * 400
    assert bench.measure.median_interval([1.0, 2.0, 3.0]) == (2.0, -np.inf, np.inf)


def test_ratios_are_of_pairs(bench: Any) -> None:
    """Protects against drift: a machine that slows down moves both sides of each pair."""
    below = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    told = bench.measure.ratio(3 * below, below)
    assert (told["ratio"], told["low"], told["high"], told["pairs"]) == (3.0, 3.0, 3.0, 7)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
def test_every_program_runs(bench: Any, name: str) -> None:
    """Protects the scripts: two steps of each workload in each program that is installed."""
    workload = bench.workloads.WORKLOADS[name]().shortened(2)
    dataset = workload.load()
    x, y = bench.workloads.training_rows(workload, dataset)
    history = bench.measure.engine(workload, dataset, 2, {})()
    assert history.diverged.tolist() == [False, False]
    params = bench.measure.plain(workload, dataset, 2)()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    for loop in bench.loops.LOOPS:
        run = bench.loops.prepared(loop, workload, x, y)
        if run is not None:
            run(0)


SCRIPT = (sys.executable, str(ROOT / "scripts" / "bench.py"))


def test_a_wrong_part_is_told() -> None:
    """Protects against an hour spent on nothing: what is unknown is named before anything runs."""
    told = subprocess.run([*SCRIPT, "--parts=nothing"], capture_output=True, text=True)
    assert told.returncode == 2
    assert "--parts: 'nothing' is none of steady" in told.stderr


@pytest.mark.slow
def test_from_the_command_line(tmp_path: Path) -> None:
    """Protects the records: one short run prints its table and writes its figures."""
    path = tmp_path / "bench.json"
    short = ["--parts=widths", "--workloads=W1", "--widths=2", "--pairs=1", "--steps=2"]
    done = subprocess.run([*SCRIPT, *short, f"--json={path}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert found["widths"]["W1"]["best"] == 2
    assert found["machine"]["peak_flops"] > 0
    assert "W1: lanes side by side" in done.stdout


def test_both_clocks_are_read(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the figures: seconds are the clock's, CPU seconds those of the whole process."""
    now = {"perf_counter": 5.0, "process_time": 1.0}
    for clock in now:
        monkeypatch.setattr(bench.measure.time, clock, lambda clock=clock: now[clock])

    def run(seconds: float, busy: float) -> None:
        now["perf_counter"] += seconds
        now["process_time"] += busy

    runs = {"waits": lambda: run(2.0, 0.5), "works": lambda: run(3.0, 6.0)}
    spent = bench.measure.interleaved_spent(runs, 3)
    assert {name: both.tolist() for name, both in spent.items()} == {
        "waits": [[2.0] * 3, [0.5] * 3],
        "works": [[3.0] * 3, [6.0] * 3],
    }
