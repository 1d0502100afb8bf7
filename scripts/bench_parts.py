"""The benchmark's parts: what is compared in each, its table, and its figures for --json."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import platform
from typing import Any

import bench_measure as measure
import jax
import numpy as np
from bench_loops import prepared
from bench_workloads import WORKLOADS, Workload, training_rows

from convergence import names, spec
from convergence.reporting import tables
from convergence.study import Machine

SMALL = 64  # steps of part scale's trials
WHOLE_TRIALS = 64
OWN_SCHEDULE = "0:0.1,100:1,200:0.01"


@functools.cache
def machine() -> dict[str, Any]:
    """What this runs on, and its rate of matrix products."""
    device = jax.devices()[0]
    peak = measure.peak_flops()
    text = (
        f"{platform.processor() or platform.machine()}, {len(jax.devices())} × {device.platform}"
        f" ({device.device_kind}), Python {platform.python_version()}, jax {jax.__version__};"
        f" matrix products {peak / 1e9:.0f} GFLOP/s"
    )
    return {"text": text, "peak_flops": peak, "platform": device.platform}


def interval(one: dict[str, float]) -> str:
    """A ratio with its interval, as text."""
    told = f"{one['ratio']:.3f}"
    return f"{told} [{one['low']:.3f}, {one['high']:.3f}]" if np.isfinite(one["low"]) else told


def show(title: str, rows: list[tuple[Any, ...]], headers: tuple[str, ...]) -> None:
    """Prints a table."""
    print(f"\n{title}\n{tables.text(rows, headers)}", flush=True)


def _chosen(flags: argparse.Namespace) -> list[Workload]:
    chosen = [WORKLOADS[name]() for name in flags.workloads.split(",")]
    return [one.shortened(flags.steps) if flags.steps else one for one in chosen]


def steady(flags: argparse.Namespace) -> dict[str, Any]:
    """Seconds a trial, once everything is compiled; ratios within pairs."""
    told, rows = {}, []
    peak = machine()["peak_flops"]
    for workload in _chosen(flags):
        dataset = workload.load()
        trials = flags.trials or workload.trials
        x, y = training_rows(workload, dataset)
        runs: dict[str, measure.Run] = {
            "plain": measure.plain(workload, dataset, trials),
            "engine": measure.engine(workload, dataset, trials, {}),
        }
        for name in flags.loops.split(","):
            loop = prepared(name, workload, x, y) if name else None
            if loop is not None:
                runs[name] = lambda loop=loop: loop(1)  # type: ignore[misc]
        for name in ("plain", "engine"):
            runs[name]()  # compiles
        seconds = measure.interleaved(runs, flags.pairs)
        each = {n: s / (trials if n in ("plain", "engine") else 1) for n, s in seconds.items()}
        one: dict[str, Any] = {"title": workload.title, "trials": trials, "steps": workload.steps}
        one["seconds_per_trial"] = {name: float(np.median(s)) for name, s in each.items()}
        one["all_seconds_per_trial"] = {name: s.tolist() for name, s in each.items()}
        one["share_of_peak"] = {
            name: workload.flops * workload.steps / value / peak
            for name, value in one["seconds_per_trial"].items()
        }
        one["engine/plain"] = measure.ratio(each["engine"], each["plain"])
        rows.append((workload.name, "plain", _ms(each["plain"]), "1", _share(one, "plain")))
        rows.append(
            (
                "",
                "engine",
                _ms(each["engine"]),
                interval(one["engine/plain"]),
                _share(one, "engine"),
            )
        )
        for name in (n for n in each if n not in ("plain", "engine")):
            one[f"{name}/engine"] = measure.ratio(each[name], each["engine"])
            factor = f"engine × {interval(one[f'{name}/engine'])}"
            rows.append(("", name, _ms(each[name]), factor, _share(one, name)))
        told[workload.name] = one
        show(f"{workload.name}: {workload.title}; {trials} trials", rows[-len(each) :], HEADERS)
    return told


HEADERS = ("workload", "program", "ms a trial", "against plain", "of matrix peak")


def _ms(seconds: np.ndarray) -> str:
    return f"{1e3 * float(np.median(seconds)):.1f}"


def _share(one: dict[str, Any], name: str) -> str:
    return f"{100 * one['share_of_peak'][name]:.0f} %"


def whole(flags: argparse.Namespace) -> dict[str, Any]:
    """Fresh processes: whole time, compile time, memory."""
    told = {}
    for name in flags.workloads.split(","):
        trials = flags.trials or (WHOLE_TRIALS if name == "W1" else WORKLOADS[name]().trials)
        found: dict[str, list[dict[str, float]]] = {"plain": [], "engine": []}
        for round in range(flags.pairs):
            for which in ("plain", "engine") if round % 2 else ("engine", "plain"):
                found[which].append(measure.in_child(which, name, trials))
        columns = {
            which: {key: np.array([one[key] for one in runs]) for key in runs[0]}
            for which, runs in found.items()
        }
        one: dict[str, Any] = {
            which: {key: float(np.median(values)) for key, values in table.items()}
            for which, table in columns.items()
        }
        one["trials"] = trials
        one["engine/plain"] = measure.ratio(columns["engine"]["whole"], columns["plain"]["whole"])
        told[name] = one
        keys = ("import", "data", "prepare", "whole", "compile", "steady", "peak_mib")
        rows = [(which, *(f"{one[which][k]:.2f}" for k in keys)) for which in columns]
        show(
            f"{name}, {trials} trials in a fresh process, seconds (peak in MiB);"
            f" whole time against plain {interval(one['engine/plain'])}",
            rows,
            ("program", *keys),
        )
    return told


def schedules(flags: argparse.Namespace) -> dict[str, Any]:
    """Fourteen schedules × 32 seeds in one program, against as many trials under one schedule.

    All that have a name, and one that a user writes.
    """
    workload = WORKLOADS["W1"]().shortened(300)
    dataset = workload.load()
    arms = [spec.Arm.of(name, schedule=name) for name in (*names.SCHEDULES, OWN_SCHEDULE)]
    seeds = flags.trials or 32
    many_programs: dict[Any, Any] = {}
    one_programs: dict[Any, Any] = {}
    runs = {
        "one": measure.engine(workload, dataset, seeds * len(arms), one_programs),
        "many": measure.engine(workload, dataset, seeds, many_programs, arms=arms),
    }
    for run in runs.values():
        run()
    seconds = measure.interleaved(runs, flags.pairs)
    told = measure.ratio(seconds["many"], seconds["one"])
    told |= {"schedules": len(arms), "seeds": seeds, "programs": len(many_programs)}
    show(
        f"{len(arms)} schedules × {seeds} seeds against {len(arms) * seeds} trials under one",
        [(f"{len(many_programs)}", interval(told))],
        ("programs", "time against one schedule"),
    )
    return told


def scale(flags: argparse.Namespace) -> dict[str, Any]:
    """Cost a trial of a small MLP against their number, each held against 256 beside it.

    In seconds and in CPU seconds, which are disturbed far less by what else the machine does.

    The 256 are run as often in a row as makes their time comparable: a second's run is noise.
    """
    workload = WORKLOADS["W1"]().shortened(SMALL)
    setting = workload.setting.changed({"hidden": (16,)})
    workload = dataclasses.replace(workload, setting=setting)
    dataset = workload.load()
    programs: dict[Any, Any] = {}
    few = measure.engine(workload, dataset, 256, programs)
    few()
    told: dict[str, Any] = {}
    rows, trials = [], 1024
    while trials <= flags.largest:
        many = measure.engine(workload, dataset, trials, programs)
        times = min(trials // 256, 16)

        def often(times: int = times) -> None:
            for _ in range(times):
                few()

        runs: dict[str, measure.Run] = {"few": often, "many": many}
        seconds = measure.interleaved_spent(runs, flags.pairs)
        a_trial = zip(seconds["many"] / trials, seconds["few"] / (256 * times))
        one, busy = (measure.ratio(above, below) for above, below in a_trial)
        each, cpu = 1e3 * np.median(seconds["many"], axis=1) / trials
        told[str(trials)] = one | {"ms": float(each), "cpu": busy | {"ms": float(cpu)}}
        rows.append((trials, f"{each:.2f}", interval(one), f"{cpu:.2f}", interval(busy)))
        trials *= 4
    show("Small MLP: cost a trial, each against 256 trials beside", rows, SCALE_HEADERS)
    return told


SCALE_HEADERS = ("trials", "ms a trial", "against 256", "CPU ms a trial", "against 256")


def widths(flags: argparse.Namespace) -> dict[str, Any]:
    """Throughput against the number of lanes side by side; on an accelerator, the best width."""
    told: dict[str, Any] = {}
    place = Machine(tuple(jax.local_devices()), "vmap")
    for workload in _chosen(flags):
        dataset = workload.load()
        runs, sizes = {}, [int(width) for width in flags.widths.split(",")]
        for width in sizes:
            trials = max(width, 2) * len(place.workers)
            runs[str(width)] = measure.engine(
                workload, dataset, trials, {}, place, lanes=max(width, 2)
            )
            runs[str(width)]()
        seconds = measure.interleaved(runs, flags.pairs)
        speed = {
            name: max(int(name), 2) * len(place.workers) / float(np.median(s))
            for name, s in seconds.items()
        }
        best = max(speed, key=lambda name: speed[name])
        told[workload.name] = {"trials_per_second": speed, "best": int(best)}
        rows = [(n, f"{v:.2f}", "best" if n == best else "") for n, v in speed.items()]
        show(f"{workload.name}: lanes side by side", rows, ("lanes", "trials a second", ""))
    return told
