"""Runs 4,096 trials of an MLP on digits in one call, and tells what it took.

    python scale.py MODE [WORKDIR]

Modes: ``whole`` (in memory), ``killed`` (SIGKILL to itself halfway through the blocks), ``resumed``
(what is left), ``blocks`` (processor times of a lone trial, of a full block, and of one in which
half the trials diverge). Prints JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import sys
import time
from typing import Any

from convergence import data, spec
from convergence.reporting.workdir import Workdir
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Machine, Study, resolve
from convergence.training.blocks import BlockRun
from convergence.training.course import Course, Segment

TRIALS, STEPS = 4096, 20


def study(trials: int, steps: int, arms: tuple[Arm, ...] = (Arm("base"),)) -> StudySpec:
    """MLP 64-128-128-10, Adam 1e-3, batches of 64, blocks of 64."""
    train = TrainSpec(steps=steps, batch_size=64, learning_rate=1e-3)
    setting = Setting(DataSpec(), ModelSpec(hidden=(128, 128)), train)
    run = RunSpec(num_seeds=trials // len(arms), lanes=64, fingerprint_every=10)
    told = StudySpec("scale", "Does it fit?", setting, run, arms)
    return resolve(spec.validate(told), data.load(setting.data))


def run_all(mode: str, folder: str) -> dict[str, Any]:
    """All trials in one call; a digest of their fingerprints and the process's peak memory."""
    laid, dataset = study(TRIALS, STEPS), data.load(DataSpec())
    workdir = None
    if folder:
        about = {"data_digest": dataset.digest}
        resume = mode == "resumed"
        workdir = Workdir.prepare(folder, spec.to_json(laid), about, resume=resume, command=["x"])

    def told(done: int, total: int, diverged: int) -> None:
        if mode == "killed" and 2 * done > total:
            os.kill(os.getpid(), signal.SIGKILL)

    started = time.monotonic(), time.process_time()
    history = Study(laid, dataset, Machine.here(), workdir=workdir, progress=told).run()
    arrays = b"".join(history.arrays[name].tobytes() for name in sorted(history.arrays))
    return {
        "fingerprints": len(set(history.fingerprints.tolist())),
        "digest": hashlib.sha256(arrays).hexdigest(),
        "accuracy": float(history.final("accuracy").mean()),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "seconds": time.monotonic() - started[0],
        "processor_seconds": time.process_time() - started[1],
    }


def block_seconds(repeats: int = 3, steps: int = 1000) -> dict[str, float]:
    """Least processor seconds of training one trial, 64, and 64 of which half diverge at step 10.

    The steps' own cost, with no evaluation in between.
    """
    dataset = data.load(DataSpec())
    bad = Arm.of("bad", schedule="0:1,9:1e38")
    whole = study(64, steps, (Arm("base"), Arm.of("same", learning_rate=2e-3)))
    half = study(64, steps, (Arm("base"), bad))
    populations: dict[Any, Any] = {}
    found: dict[str, list[float]] = {}
    for _ in range(repeats + 1):  # the first time everything is compiled
        for name, laid, count in (("lone", whole, 1), ("full", whole, 64), ("half", half, 64)):
            runner = Study(laid, dataset, Machine.here(), populations=populations)
            (group,) = runner.plan.groups
            population = runner.population(group)
            lanes = runner.plan.lanes(group, group.trials[:count])
            block = BlockRun(
                population, lanes, runner.shared(population), runner.cadence, runner.want
            )
            state = population.initialise(block.block, block.shared)
            start = time.process_time()
            whole_run = Segment(0, steps, evaluates=False, saves=False)
            list(Course(population, block.block, block.shared).run(state, [whole_run]))
            found.setdefault(name, []).append(time.process_time() - start)
    return {name: min(times[1:]) for name, times in found.items()}


if __name__ == "__main__":
    mode, folder = sys.argv[1], "".join(sys.argv[2:])
    print(json.dumps(block_seconds() if mode == "blocks" else run_all(mode, folder)))
