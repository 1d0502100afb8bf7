"""The benchmark: this engine, with all its recording on, beside what it can be held against.

Side by side in one run, in interleaved pairs: the engine; a plain hand-written JAX program of the
same work (`plain_program.py`: mapped trials on every core, no recording), which is the limit; the
usual Flax loop (a jitted step called from Python); PyTorch and Keras where they are installed.

    python scripts/bench.py                         # everything; about an hour on two cores
    python scripts/bench.py --parts=steady --workloads=W1 --pairs=15 --json=bench.json

Parts: ``steady`` (seconds a trial once compiled), ``whole`` (fresh processes: from the call to the
returned history, compilation included), ``schedules`` (many schedules against one), ``scale``
(cost a trial against their number), ``widths`` (lanes side by side against throughput: for GPU and
TPU), ``recording`` (W1 against W1 with nothing written down), ``twins`` (W1 with and without them).
Ratios are medians of pairs, with exact 95 % intervals; machines are noisy, so nothing else should
run beside.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

PARTS = ("steady", "whole", "schedules", "scale", "widths", "recording", "twins")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default="steady,whole,schedules,scale", help=",".join(PARTS))
    parser.add_argument("--workloads", default="W1,W2,W3,W4", help="which of W1, W2, W3, W4")
    parser.add_argument("--pairs", type=int, default=15, help="interleaved pairs of each")
    parser.add_argument("--trials", type=int, default=0, help="0: each workload's own number")
    parser.add_argument(
        "--steps", type=int, default=0, help="of a trial, in most parts (0: their own)"
    )
    parser.add_argument("--largest", type=int, default=16384, help="trials of part scale")
    parser.add_argument("--widths", default="1,4,16,64,256,1024", help="lanes of part widths")
    parser.add_argument("--loops", default="flax,torch,keras", help="loops to run, if installed")
    parser.add_argument("--json", default="", help="also write all figures to this file")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    for name, known in (("parts", PARTS), ("workloads", ("W1", "W2", "W3", "W4"))):
        for part in getattr(flags, name).split(","):
            if part not in known:
                parser.error(f"--{name}: {part!r} is none of {', '.join(known)}")
    if flags.pairs < 1:
        parser.error("--pairs must be at least 1")
    return flags


def main() -> None:
    """Runs the parts that were asked for, prints a table for each, and writes the JSON."""
    flags = arguments()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # For the plain program: one device a core. The engine's workers share the first.
    forced = f"--xla_force_host_platform_device_count={cores}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {forced}".strip()
    import bench_measure
    import bench_parts
    import bench_recording

    if flags.child:
        bench_measure.child_main(flags.child, flags.workloads, flags.trials)
        return
    machine = bench_parts.machine()
    print(machine["text"])
    told: dict[str, Any] = {"machine": machine, "command": sys.argv}
    for part in flags.parts.split(","):
        module = bench_recording if part in ("recording", "twins") else bench_parts
        told[part] = getattr(module, part)(flags)
        if flags.json:
            Path(flags.json).write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
