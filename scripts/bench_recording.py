"""The benchmark's parts on what recording and twins cost, of W1: pairs, in wall and in CPU time."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import bench_measure as measure
import numpy as np
from bench_bare import BarePopulation, GuardedPopulation
from bench_parts import interval, show
from bench_workloads import WORKLOADS, Workload
from bench_workloads import study as study_of

from convergence.data import Dataset
from convergence.study import Machine, Study
from convergence.training.population import Population

HEADERS = ("run", "ms a trial", "CPU ms", "time against it", "CPU time")


def programs(
    workload: Workload, dataset: Dataset, trials: int, kind: type[Population]
) -> dict[Any, Any]:
    """Populations of a kind in the place of the engine's own (to be given to `measure.engine`)."""
    machine = Machine.here()
    runner = Study(study_of(workload, dataset, trials), dataset, machine)
    lanes = runner.plan.study.run.lanes
    return {
        (group.key, lanes, machine): kind(group.program, lanes, machine.workers, machine.mode)
        for group in runner.plan.groups
    }


def compared(
    costs: Mapping[str, np.ndarray], base: str, trials: int, title: str
) -> dict[str, dict[str, Any]]:
    """Each run against the base within pairs; prints the table, gives its figures.

    Args:
        costs: run → float64[2, rounds] seconds: wall, CPU.
        base: the run that is the unit.
    """
    told: dict[str, dict[str, Any]] = {}
    rows: list[tuple[Any, ...]] = []
    for name, spent in costs.items():
        wall, cpu = (measure.ratio(spent[place], costs[base][place]) for place in (0, 1))
        told[name] = {
            "seconds": spent[0].tolist(),
            "cpu_seconds": spent[1].tolist(),
            "wall": wall,
            "cpu": cpu,
        }
        each = [f"{1e3 * float(np.median(spent[place])) / trials:.1f}" for place in (0, 1)]
        ratios = ("1", "1") if name == base else (interval(wall), interval(cpu))
        rows.append((name, *each, *ratios))
    show(title, rows, HEADERS)
    return told


def _w1(flags: argparse.Namespace) -> tuple[Workload, Dataset, int]:
    workload = WORKLOADS["W1"]()
    workload = workload.shortened(flags.steps) if flags.steps else workload
    return workload, workload.load(), flags.trials or 64


def recording(flags: argparse.Namespace) -> dict[str, Any]:
    """W1 with all that is recorded, against W1 with nothing of it; evaluations are in both.

    Fingerprints, chain, sketches and curves are what is compared; both write their blocks, final
    params and predictions to a folder. Between them a program that records nothing, but watches
    the gradient norm for divergence as the engine does.
    """
    workload, dataset, trials = _w1(flags)
    engine = functools.partial(measure.engine, workload, dataset, trials)
    runs: dict[str, measure.Run] = {
        "nothing": engine(programs(workload, dataset, trials, BarePopulation), every=0),
        "norm watched": engine(programs(workload, dataset, trials, GuardedPopulation), every=0),
        "everything": engine({}),
    }
    for run in runs.values():
        run()  # compiles
    title = f"{workload.title}; {trials} trials of {workload.steps:,}: what recording costs"
    return compared(measure.interleaved_spent(runs, flags.pairs), "nothing", trials, title)


def twins(flags: argparse.Namespace) -> dict[str, Any]:
    """W1 with a twin beside each trial, against W1 without."""
    workload, dataset, trials = _w1(flags)
    base = study_of(workload, dataset, trials).arms[0]
    twin = dataclasses.replace(base, name=f"{base.name} twin", twin=True)
    runs: dict[str, measure.Run] = {
        "without twins": measure.engine(workload, dataset, trials, {}),
        "with": measure.engine(workload, dataset, trials, {}, arms=(base, twin)),
    }
    for run in runs.values():
        run()
    title = f"{workload.title}; {trials} trials of {workload.steps:,}: what their twins cost"
    return compared(measure.interleaved_spent(runs, flags.pairs), "without twins", trials, title)
