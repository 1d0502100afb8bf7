"""Where a start's time goes: the phases of `experiments.train`, with and without kept programs.

Each round starts the experiment as a user does, compiling all (`--compilation_cache=none`), filling
an empty folder of compiled programs, and finding them there; each of the three once more with a
clock at its phases. The three are interleaved, and the medians over the rounds are told.

    python scripts/start_up.py --rounds=5 [--preset=smoke …]      (more flags go to the experiment)
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

BEGAN = time.time()
ROOT = Path(__file__).resolve().parent.parent
WAYS = ("none", "filling", "kept")
EXPERIMENT = "train"
INSIDE = {  # JAX's own events, as rows below the training's
    "jaxpr_trace_duration": "  of it tracing",
    "jaxpr_to_mlir_module_duration": "  of it lowering",
    "backend_compile_duration": "  of it compiling or reading back",
}
PHASES = (  # as the table tells them
    "interpreter",
    "import flags and the experiment",
    "open the folder of programs",
    "import numpy",
    "import jax",
    "import flax and optax",
    "import scipy.special",
    "import the rest",
    "load the data",
    "lay out the study",
    "provenance",
    "train and score",
    *INSIDE.values(),
    "statistics",
    "write results and event files",
    "all else",
)
Times = dict[str, float]


class Clock:
    """Seconds by phase: of a phase within another one, only its own."""

    def __init__(self) -> None:
        self.phases: Times = {}
        self._open: list[float] = []  # of each open phase: seconds that inner ones took
        self._events: dict[int, list[tuple[float, float]]] = {}
        self._lock = threading.Lock()

    def add(self, name: str, seconds: float) -> None:
        """Adds to a phase."""
        self.phases[name] = self.phases.get(name, 0.0) + seconds

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What happens meanwhile, in this thread, is of this phase."""
        start = time.perf_counter()
        self._open.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - start
            self.add(name, took - self._open.pop())
            if self._open:
                self._open[-1] += took

    def wrap(self, owner: Any, name: str, phase: str) -> None:
        """Makes a function a phase."""
        inner = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.phase(phase):
                return inner(*args, **kwargs)

        setattr(owner, name, timed)

    def listen(self, event: str, duration_secs: float, **about: Any) -> None:
        """Takes an event of JAX's that has just ended; what lay within it counts for itself."""
        name = INSIDE.get(event.rpartition("/")[2])
        if name is None:
            return
        start, own = time.perf_counter() - duration_secs, duration_secs
        with self._lock:
            before = self._events.setdefault(threading.get_ident(), [])
            while before and before[-1][0] >= start:
                own -= before.pop()[1]
            before.append((start, duration_secs))
            self.add(name, max(own, 0.0))


def child(arguments: Sequence[str]) -> None:
    """Runs the experiment with a clock and writes the phases to the file that is named first."""
    told, begun, *rest = arguments
    clock = Clock()
    for name in PHASES:
        clock.add(name, 0.0)
    clock.add("interpreter", BEGAN - float(begun))
    with clock.phase("import flags and the experiment"):
        from convergence import compilation_cache, flags
        from experiments import train
    clock.wrap(compilation_cache, "enable", "open the folder of programs")
    main = _timed_main(clock, train.main)
    try:
        flags.launch(
            main,
            name=EXPERIMENT,
            presets=train.PRESETS,
            default_preset="quick",
            extra=train.EXTRA,
            arguments=rest,
        )
    finally:
        Path(told).write_text(json.dumps({"phases": clock.phases, "ended": time.time()}))


def _timed_main(clock: Clock, main: Callable[[Any], None]) -> Callable[[Any], None]:
    """The experiment's main, its imports made one by one before it runs."""

    def timed(options: Any) -> None:
        with clock.phase("import numpy"):
            import numpy  # noqa: F401
        with clock.phase("import jax"):
            import jax
        jax.monitoring.register_event_duration_secs_listener(clock.listen)
        with clock.phase("import flax and optax"):
            import flax.linen  # noqa: F401
            import optax  # noqa: F401
        with clock.phase("import scipy.special"):
            import scipy.special  # noqa: F401
        with clock.phase("import the rest"):
            from convergence import laboratory, results, study, wording  # noqa: F401
        clock.wrap(laboratory.data, "load", "load the data")
        clock.wrap(study.Plan, "__init__", "lay out the study")
        clock.wrap(laboratory.provenance, "collect", "provenance")
        clock.wrap(study.Study, "run", "train and score")
        clock.wrap(results, "write", "write results and event files")
        clock.wrap(laboratory, "arm_table", "statistics")
        with clock.phase("all else"):
            main(options)

    timed.__module__ = main.__module__
    return timed


def run(command: Sequence[str]) -> tuple[float, float]:
    """Wall and processor seconds of a command that must succeed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"):
        environment.pop(name, None)
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    wall, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    used = after.children_user - before.children_user
    return wall, used + after.children_system - before.children_system


def one_round(folder: Path, number: int, flags: Sequence[str]) -> dict[str, Times]:
    """One round's times by way: whole, processor, and the phases."""
    found: dict[str, Times] = {}
    for way in WAYS:
        kept = "none" if way == "none" else str(folder / f"programs-{number}")
        clocked = "none" if way == "none" else str(folder / f"clocked-{number}")
        output = [f"--workdir={folder / 'study'}", "--overwrite", *flags]
        plain = [sys.executable, "-m", f"experiments.{EXPERIMENT}", *output]
        wall, used = run([*plain, f"--compilation_cache={kept}"])
        told = folder / "phases.json"
        began = time.time()
        script = [sys.executable, str(Path(__file__)), "--child", str(told), str(began)]
        run([*script, *output, f"--compilation_cache={clocked}"])
        ended = time.time()
        clock = json.loads(told.read_text())
        phases = clock["phases"] | {"exit": ended - clock["ended"]}
        found[way] = {"WHOLE PROCESS, wall": wall, "WHOLE PROCESS, processor": used} | phases
    return found


def measure(rounds: int, flags: Sequence[str] = ("--preset=smoke",)) -> dict[str, Times]:
    """Median seconds by way (`WAYS`) and phase over some rounds; the whole process among them.

    Args:
        rounds: at least 1.
        flags: of experiments.train.
    """
    with tempfile.TemporaryDirectory() as folder:
        all_rounds = [one_round(Path(folder), k, flags) for k in range(rounds)]
    return {
        way: {
            phase: median(told[way].get(phase, 0.0) for told in all_rounds)
            for phase in dict.fromkeys(name for told in all_rounds for name in told[way])
        }
        for way in WAYS
    }


def help_times(rounds: int) -> Times:
    """Median seconds that each experiment's --help takes."""
    folder = ROOT / "experiments"
    paths = sorted([*folder.glob("*.py"), *folder.glob("*/*.py")])
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in paths
        if not path.stem.startswith("_")
    ]
    told: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            told[name].append(run([sys.executable, "-m", name, "--help"])[0])
    return {f"python -m {name} --help": median(seconds) for name, seconds in told.items()}


def table(times: dict[str, Times]) -> str:
    """Phases as rows, ways as columns, in seconds."""
    phases = dict.fromkeys(phase for told in times.values() for phase in told)
    lines = [f"{'seconds':36}" + "".join(f"{way:>10}" for way in times)]
    for phase in phases:
        cells = (told.get(phase) for told in times.values())
        lines.append(f"{phase:36}" + "".join(f"{s:10.2f}" if s else f"{'–':>10}" for s in cells))
    return "\n".join(lines)


def main() -> None:
    """Prints the tables."""
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5, help="how often each start is made")
    known, flags = parser.parse_known_args()
    if known.rounds < 1:
        parser.error("--rounds must be at least 1")
    for name, seconds in help_times(known.rounds).items():
        print(f"{seconds:6.2f} s  {name}")
    print()
    print(table(measure(known.rounds, flags or ["--preset=smoke"])))
    print("none: nothing kept; filling: an empty folder; kept: the second start.")
    print("of it: JAX's own times in training and in laying out, summed over threads.")


if __name__ == "__main__":
    main()
