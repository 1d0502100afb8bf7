"""Experiments as commands: environment, exit statuses, interruption, help, and the list of them."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from convergence import command, flags
from convergence.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
PRESETS: flags.Presets = {"smoke": {"steps": 10}}


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("JAX_PLATFORMS", "XLA_FLAGS"):
        monkeypatch.setenv(name, "x")  # so that it is restored
        monkeypatch.delenv(name)
    return monkeypatch


def test_environment_for_jax(clean_environment: pytest.MonkeyPatch) -> None:
    """Protects the choice of platform, and the user's own settings where none is made."""
    command.set_environment("auto")
    assert "JAX_PLATFORMS" not in os.environ
    command.set_environment("cpu")
    assert os.environ["JAX_PLATFORMS"] == "cpu"
    command.set_environment("gpu")
    assert os.environ["JAX_PLATFORMS"] == "cuda,cpu"
    assert "XLA_FLAGS" not in os.environ


def test_a_missing_platform_is_told() -> None:
    """Protects from a silent fall back to the CPU where an accelerator was asked for."""
    command.check_platform("cpu")
    command.check_platform("auto")
    with pytest.raises(UserError, match="--platform: JAX finds no tpu here"):
        command.check_platform("tpu")


SCRIPT = '''
"""Does the thing work?

Cost: nothing.
"""
import errno, sys, time
from convergence import flags
from convergence.errors import UserError
from convergence.reporting.files import StorageError
PRESETS = {"smoke": {"steps": 10}}
def main(options):
    how = options.extra["how"]
    if how == "mistake":
        raise UserError("has no rows.", "data_path")
    if how == "storage":
        raise StorageError(options.workdir / "x", OSError(errno.ENOSPC, "No space left on device"))
    if how == "full":
        open("/dev/full", "w").write("x" * 100_000)
    if how == "bug":
        raise RuntimeError("ours")
    if how == "hang":
        if options.steps_begun:
            options.workdir.mkdir(parents=True)
            (options.workdir / "manifest.json").write_text("{}")
        print("ready", flush=True)
        time.sleep(30)
    print("jax" in sys.modules, options.setting.train.steps)
if __name__ == "__main__":
    flags.launch(main, name="exp", presets=PRESETS, default_preset="smoke",
                 extra={"how": ("", "what happens")})
'''.replace("options.steps_begun", "options.setting.train.steps > 1")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "exp.py"
    path.write_text(SCRIPT.lstrip())
    return path


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=script.parent,
        check=False,
    )


def test_a_command_that_works(script: Path) -> None:
    """Protects the start: main gets its options, JAX is not imported before, status 0."""
    done = run(script, "--steps=4")
    assert (done.returncode, done.stdout, done.stderr) == (0, "False 4\n", "")


def test_help_answers_at_once(script: Path) -> None:
    """Protects --help: the docstring and the flags, without JAX, in about a second."""
    began = time.perf_counter()
    done = run(script, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Does the thing work?\n")
    assert "--learning_rate=0.001" in done.stdout
    assert time.perf_counter() - began < 5  # usually a fifth of a second; machines are shared


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--stpes=3"], 2, "exp: unknown flag --stpes; did you mean --steps"),
        (["--steps=x"], 2, "exp: --steps: 'x' is not a whole number."),
        (["--how=mistake"], 2, "exp: --data_path: has no rows."),
        (["--how=storage"], 1, "exp: cannot write runs/exp/x: No space left on device."),
        (["--how=full"], 1, "exp: No space left on device."),
    ],
)
def test_exit_status_without_traceback(
    script: Path, arguments: list[str], status: int, told: str
) -> None:
    """Protects the contract of exit statuses: 2 for the user's mistakes, 1 for a full disk."""
    done = run(script, *arguments)
    assert done.returncode == status
    assert done.stderr.startswith(told)
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_our_own_faults_show_a_traceback(script: Path) -> None:
    """Protects bug reports: a fault of ours is told with its traceback, and status 1."""
    done = run(script, "--how=bug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "RuntimeError: ours" in done.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("begun", [True, False])
def test_interrupted(script: Path, sent: signal.Signals, begun: bool) -> None:
    """Protects an interrupted study: status 130 and the command that continues it, no traceback."""
    arguments = ["--how=hang", "--workdir=my runs", f"--steps={2 if begun else 1}", "--overwrite"]
    with subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=script.parent,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(sent)
        _, told = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in told
    steps = "--how=hang '--workdir=my runs' --steps=2 --resume"
    assert (f"continue with: python {script} {steps}" in told) == begun
    assert ("before it began" in told) != begun


def test_status_in_process(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects `guarded`, whose every ending must be one status and one told line."""
    handler = signal.getsignal(signal.SIGTERM)

    def ends(error: BaseException | None, folder: Path | None = tmp_path) -> int:
        def main() -> None:
            if error is not None:
                raise error

        return command.guarded(main, "exp", folder, ["--steps=1"])

    try:
        assert ends(None) == 0
        assert ends(UserError("wrong.", "steps")) == 2
        assert ends(OSError(28, "No space left", "x")) == 1
        assert ends(KeyboardInterrupt()) == 130
        (tmp_path / "manifest.json").touch()
        assert ends(KeyboardInterrupt()) == 130
        told = capsys.readouterr().err
        assert told.startswith("exp: --steps: wrong.\nexp: No space left (x).\n")
        assert "interrupted before it began" in told
        assert "--steps=1 --resume" in told
        assert ends(UserError("there is no study.", "workdir")) == 2
        assert ends(UserError("there is no study.", "workdir"), None) == 2  # has no such flag
        told = capsys.readouterr().err
        assert told == "exp: --workdir: there is no study.\nexp: there is no study.\n"
        assert ends(ZeroDivisionError()) == 1
        assert "Traceback" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            command._interrupt()
    finally:
        signal.signal(signal.SIGTERM, handler)


def test_launch_in_process(
    capsys: pytest.CaptureFixture[str], clean_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Protects `launch`: help, mistakes and success each end with their status."""
    handler = signal.getsignal(signal.SIGTERM)
    seen: list[flags.Options] = []

    def main(given: flags.Options) -> None:
        seen.append(given)

    try:
        for arguments, status in ((["--help"], 0), (["--steps=x"], 2), (["--steps=3"], 0)):
            with pytest.raises(SystemExit) as caught:
                flags.launch(main, name="exp", presets=PRESETS, arguments=arguments)
            assert caught.value.code == status
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert [options.setting.train.steps for options in seen] == [3]
    assert "--steps: 'x'" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_fault(script: Path) -> None:
    """Protects pipes such as `… | head -1` from a traceback."""
    text = script.read_text().replace('print("jax"', 'print("x\\n" * 100_000); print("jax"')
    script.write_text(text)
    line = f"{sys.executable} {script} | head -1; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout == "x\n"
    assert done.returncode == 1
    assert done.stderr == ""


def experiments() -> list[str]:
    """Modules of all experiments."""
    folder = ROOT / "experiments"
    paths = [*folder.glob("*.py"), *folder.glob("*/*.py")]
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in paths
        if not path.stem.startswith("_")
    )


def test_experiments_start_without_jax() -> None:
    """Protects --help and mistakes from a slow start: importing an experiment imports no JAX."""
    program = textwrap.dedent(
        """
        import importlib, sys
        for name in sys.argv[1:]:
            importlib.import_module(name)
            heavy = {"jax", "flax", "sklearn", "scipy", "polars", "matplotlib"} & set(sys.modules)
            assert not heavy, (name, heavy)
        """
    )
    command_line = [sys.executable, "-c", program, *experiments()]
    done = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_engine_imports_what_it_needs() -> None:
    """Protects every start: what only some studies need is imported by those.

    scikit-learn and scipy.stats cost half a second each, polars and TensorBoard are for the end.
    """
    program = textwrap.dedent(
        """
        import sys
        from convergence import data, laboratory, spec, wording
        data.load(spec.DataSpec())
        late = ("sklearn", "scipy.stats", "polars", "tensorboard", "matplotlib")
        print([name for name in late if name in sys.modules])
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_collector_is_spared() -> None:
    """Protects a start's tenth: the collector looks seldom; where it looks less, that stays."""
    before = gc.get_threshold()
    try:
        command.spare_the_collector()
        assert gc.get_threshold()[0] >= 50_000
        gc.set_threshold(10**6, 5, 5)
        command.spare_the_collector()
        assert gc.get_threshold() == (10**6, 5, 5)
    finally:
        gc.set_threshold(*before)
        atexit.unregister(gc.freeze)


def test_the_list_of_experiments() -> None:
    """Protects `python -m experiments`: each one with its question and its cost, in 80 columns."""
    done = subprocess.run(
        [sys.executable, "-m", "experiments"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    for module in experiments():
        at = lines.index(module.removeprefix("experiments."))
        told = " ".join(line.strip() for line in lines[at + 1 : at + 8])
        assert "?" in told, f"{module} asks no question"
        assert "Cost:" in told, f"{module} tells no cost"
    assert max(map(len, lines)) <= 80
