"""How the benchmark measures: runs of the engine and of what it is held against, in pairs."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[], Any]


def spent(run: Run) -> tuple[float, float]:
    """Seconds that a call takes, and CPU seconds of all of the process' threads meanwhile."""
    start, busy = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - busy


def timed(run: Run) -> float:
    """Seconds that a call takes."""
    return spent(run)[0]


def interleaved_spent(runs: Mapping[str, Run], rounds: int) -> dict[str, np.ndarray]:
    """Each run's seconds and CPU seconds by name, float64[2, rounds].

    Each round begins with another of them. CPU seconds hardly move when other processes run
    beside, as seconds do; they do not tell how well the cores were used.
    """
    names = list(runs)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for round in range(rounds):
        turn = round % len(names)
        for name in [*names[turn:], *names[:turn]]:
            seconds[name].append(spent(runs[name]))
    return {name: np.array(values).T for name, values in seconds.items()}


def interleaved(runs: Mapping[str, Run], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each run by name, float64[rounds]; each round begins with another of them."""
    return {name: both[0] for name, both in interleaved_spent(runs, rounds).items()}


def median_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """Median and its exact 95 % interval from order statistics (no shape is assumed).

    The interval is infinite below six values: none of them reaches the confidence.
    """
    from scipy import stats

    sample = np.asarray(values, np.float64)
    if len(sample) < 6:
        return float(np.median(sample)), -np.inf, np.inf
    test = stats.quantile_test(sample, q=float(np.median(sample)), p=0.5)
    interval = test.confidence_interval(confidence_level=0.95)
    return float(np.median(sample)), float(interval.low), float(interval.high)


def ratio(above: np.ndarray, below: np.ndarray) -> dict[str, float]:
    """Median of the pairs' ratios with its interval."""
    middle, low, high = median_interval(above / below)
    return {"ratio": middle, "low": low, "high": high, "pairs": len(above)}


def engine(
    workload: Any,
    dataset: Any,
    trials: int,
    populations: dict[Any, Any] | None = None,
    machine: Any = None,
    lanes: int = 64,
    arms: Sequence[Any] = (),
    every: int | None = None,
) -> Run:
    """A run of the engine with all of its recording, blocks and checkpoints written to a folder.

    Args:
        populations: compiled programs to use and to add to; None compiles anew at each call.
        arms: instead of the workload's one.
        every: steps between fingerprints, where it is not the usual number; 0 for none.
    """
    from bench_workloads import study as study_of

    from convergence import spec
    from convergence.reporting import provenance
    from convergence.reporting.workdir import Workdir
    from convergence.study import Study

    study = study_of(workload, dataset, trials, lanes)
    if arms:
        study = spec.validate(dataclasses.replace(study, arms=tuple(arms)))
    if every is not None:
        run_spec = dataclasses.replace(study.run, fingerprint_every=every)
        study = spec.validate(dataclasses.replace(study, run=run_spec))
    known = provenance.collect(dataset.digest, {})

    def run() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            workdir = Workdir.prepare(Path(folder, "run"), spec.to_json(study), known)
            with workdir:
                history = Study(
                    study, dataset, machine, workdir=workdir, populations=populations
                ).run()
                workdir.mark("finished")
        return history

    return run


def plain(workload: Any, dataset: Any, trials: int) -> Run:
    """A run of the plain program."""
    import jax
    import plain_program
    from bench_workloads import training_rows

    train = plain_program.population(*training_rows(workload, dataset), workload.recipe)
    keys = jax.random.split(
        jax.random.key(0), -(-trials // len(jax.devices())) * len(jax.devices())
    )
    return lambda: jax.block_until_ready(train(keys))


def peak_flops(size: int = 2048, rounds: int = 15) -> float:
    """FLOP/s of a large float32 matrix product on all cores (or the accelerator), the best."""
    import jax

    draw = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(draw))
    seconds = [timed(lambda: jax.block_until_ready(product(draw))) for _ in range(rounds)]
    return 2 * size**3 / min(seconds)


def child_main(which: str, name: str, trials: int) -> None:
    """In a fresh process: one whole run and one steady run of one program; JSON on stdout."""
    start = time.perf_counter()
    from bench_workloads import WORKLOADS

    import convergence.study  # noqa: F401

    imported = time.perf_counter()
    workload = WORKLOADS[name]()
    dataset = workload.load()
    loaded = time.perf_counter()
    run = (
        plain(workload, dataset, trials)
        if which == "plain"
        else engine(workload, dataset, trials, {})
    )
    prepared = time.perf_counter()
    whole = timed(run)
    steady = timed(run)
    told = {
        "import": imported - start,
        "data": loaded - imported,
        "prepare": prepared - loaded,
        "whole": whole,
        "steady": steady,
        "compile": whole - steady,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(told))


def in_child(which: str, name: str, trials: int) -> dict[str, float]:
    """What `child_main` tells, run in a process of its own without a compilation cache."""
    script = Path(__file__).with_name("bench.py")
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, str(script), f"--child={which}", f"--workloads={name}"]
    done = subprocess.run(
        [*command, f"--trials={trials}"], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
