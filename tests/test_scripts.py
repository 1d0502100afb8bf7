"""The two commands: they set up once, say so, notice what is half-made, and work from anywhere."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted([*(ROOT / "scripts").glob("*.sh"), ROOT / ".ci" / "run"])


def ids(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", SCRIPTS, ids=ids)
def test_scripts_parse_and_fail_early(path: Path) -> None:
    """Protects the commands from syntax errors and from going on after a failed step."""
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert "set -euo pipefail" in path.read_text()


def test_scripts_bear_no_module_names() -> None:
    """Protects what runs in scripts/: its folder is first on the path and must hide no module."""
    for path in (ROOT / "scripts").glob("*.py"):
        assert path.stem not in sys.stdlib_module_names


def test_the_lock_is_hashed_and_names_no_index() -> None:
    """Protects repeatability: every pin has a hash, and no address of an index is fixed."""
    lock = (ROOT / "requirements.lock").read_text()
    pins = [line for line in lock.splitlines() if line[:1].isalnum()]
    assert all("==" in pin and pin.endswith("\\") for pin in pins)
    assert lock.count("--hash=sha256:") >= len(pins)
    assert "://" not in lock
    assert "-index" not in lock


def fake(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{body}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


class Checkout:
    """A copy of the scripts with an empty lock; its Python notes the calls of venv and pip."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "the project"
        self.bin = folder / "bin"
        self.log = folder / "calls.log"
        self.pip = folder / "pip.sh"
        (self.root / "scripts").mkdir(parents=True)
        for path in (ROOT / "scripts").glob("*.sh"):
            shutil.copy(path, self.root / "scripts")
        shutil.copytree(ROOT / ".ci", self.root / ".ci")
        self.lock = self.root / "requirements.lock"
        self.lock.write_text("# nothing\n")
        # The venv's pip is a module of ours that runs pip.sh.
        module = folder / "pip.py"
        module.write_text(
            "import subprocess, sys\n"
            f"sys.exit(subprocess.call([{str(self.pip)!r}, *sys.argv[1:]]))\n"
        )
        fake(
            self.bin / "python3",
            f"""if [ "$1 $2" = "-m venv" ]; then
  echo "venv" >>"{self.log}"
  {sys.executable} -m venv --without-pip "${{@:3}}" || exit
  cp "{module}" "${{@: -1}}"/lib/python*/site-packages
else
  exec {sys.executable} "$@"
fi
""",
        )

    def run(
        self, script: str = "scripts/setup.sh", pip: str = "exit 0", cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        fake(self.pip, f'echo "pip $*" >>"{self.log}"\n{pip}\n')
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE", "PYTHON"))},
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "PYTHONPATH": "/nonexistent",
        }
        return subprocess.run(
            ["bash", str(self.root / script)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=cwd or self.root.parent,
            check=False,
        )

    def calls(self) -> list[str]:
        """What was asked of venv and pip since the last look."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line.split()[0] for line in lines]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_set_up_once(checkout: Checkout) -> None:
    """Protects the second call: no venv, no pip, no network, and next to no time."""
    first = checkout.run()
    assert first.returncode == 0, first.stderr
    assert checkout.calls() == ["venv", "pip"]
    assert "making .venv" in first.stderr
    assert "installing the packages" in first.stderr
    began = time.perf_counter()
    second = checkout.run(cwd=Path("/"))
    assert time.perf_counter() - began < 3
    assert second.returncode == 0
    assert "reusing .venv" in second.stderr
    assert checkout.calls() == []
    stamp = (checkout.root / ".venv" / ".requirements.sha256").read_text().strip()
    assert stamp == hashlib.sha256(checkout.lock.read_bytes()).hexdigest()


def test_pip_is_asked_for_hashes(checkout: Checkout) -> None:
    """Protects the user's machine: packages are installed by their hashes, and none is built."""
    checkout.run()
    line = checkout.log.read_text().splitlines()[-1]
    assert "--require-hashes" in line
    assert "--only-binary=:all:" in line
    assert line.endswith("requirements.lock")


def test_the_checkout_is_importable_and_may_move(checkout: Checkout) -> None:
    """Protects `python -m experiments…`: the project is on the path, after a move as well."""
    checkout.run()
    for name in ("the project", "moved"):
        root = checkout.root.parent / name
        if not root.exists():
            checkout.root.rename(root)
            checkout.root = root
            moved = checkout.run()
            assert moved.returncode == 0, moved.stderr
        (root / "probe_module.py").write_text("")
        command = [str(root / ".venv" / "bin" / "python"), "-c", "import probe_module"]
        subprocess.run(command, cwd="/", check=True)


def test_a_half_made_environment_is_made_again(checkout: Checkout) -> None:
    """Protects from an interrupted installation: it is noticed, and nothing of it is kept."""
    failed = checkout.run(pip="exit 1")
    assert failed.returncode == 1
    assert "needs the network" in failed.stderr
    assert not (checkout.root / ".venv" / ".requirements.sha256").exists()
    killed = checkout.run(pip="kill -9 $PPID")
    assert killed.returncode != 0
    litter = checkout.root / ".venv" / "litter"
    litter.touch()
    checkout.calls()
    again = checkout.run()
    assert again.returncode == 0, again.stderr
    assert "half-made or broken" in again.stderr
    assert checkout.calls() == ["venv", "pip"]
    assert not litter.exists()


def test_broken_interpreter_and_changed_lock(checkout: Checkout) -> None:
    """Protects upgrades: a venv whose Python is gone is remade, a changed lock installed again."""
    checkout.run()
    checkout.calls()
    checkout.lock.write_text("# something\n")
    changed = checkout.run(pip="exit 1")
    assert "has changed" in changed.stderr
    assert changed.returncode == 1
    assert checkout.calls() == ["pip"]
    assert checkout.run().returncode == 0
    (checkout.root / ".venv" / "bin" / "python").unlink()
    checkout.calls()
    assert "half-made or broken" in checkout.run().stderr
    assert checkout.calls() == ["venv", "pip"]


def test_no_usable_python_is_told(checkout: Checkout) -> None:
    """Protects newcomers: it is said which Pythons were found and what each of them lacks."""
    fake(checkout.bin / "python3", "echo 'is 3.9, too old'\n")
    fake(checkout.bin / "python3.13", "exit 1\n")
    for name in ("python3.12", "python3.11"):
        fake(checkout.bin / name, f"echo 'has no venv or pip: install {name}-venv'\n")
    done = checkout.run()
    assert done.returncode == 1
    assert "Python 3.11 or later with venv and pip is needed" in done.stderr
    assert "python3 is 3.9, too old" in done.stderr
    assert "python3.13 does not run" in done.stderr
    assert "install python3.11-venv" in done.stderr
    assert not (checkout.root / ".venv").exists()


def test_demo_runs_the_main_job(checkout: Checkout) -> None:
    """Protects the demo: set up, then the main job, with further flags passed on."""
    checkout.run()
    package = checkout.root / "experiments"
    package.mkdir()
    (package / "five_challenges.py").write_text(
        "import os, sys\nprint(os.getcwd(), sys.argv[1:])\n"
    )
    script = checkout.root / "scripts" / "demo.sh"
    done = subprocess.run(
        ["bash", str(script), "--dataset=wine"], cwd="/", capture_output=True, text=True, check=True
    )
    flags = ["--preset=quick", "--workdir=runs/demo", "--overwrite", "--dataset=wine"]
    assert done.stdout == f"{checkout.root} {flags}\n"


FAKE_TOOL = """import os, sys
print("{name}", *sys.argv[1:])
if "{name}" == "coverage" and sys.argv[1] == "run":
    print("3 passed in 1.00s")
sys.exit(int(os.environ.get("FAIL") == "{name}" + " " + (sys.argv + [""])[1]))
"""


@pytest.fixture
def tools(checkout: Checkout) -> Checkout:
    """A set-up checkout whose ruff, mypy and coverage only say what they were asked."""
    checkout.run()
    (packages,) = (checkout.root / ".venv" / "lib").glob("*/site-packages")
    for name in ("ruff", "mypy", "coverage"):
        (packages / f"{name}.py").write_text(FAKE_TOOL.format(name=name))
    return checkout


def run_tests(
    tools: Checkout, *arguments: str, fail: str = "", script: str = "scripts/test.sh"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(tools.root / script), *arguments],
        cwd="/",
        capture_output=True,
        text=True,
        env={**os.environ, "FAIL": fail},
        check=False,
    )


def test_test_command(tools: Checkout) -> None:
    """Protects the gate: lint, types, tests and coverage in order, pytest's line at the end."""
    for script in ("scripts/test.sh", ".ci/run"):
        done = run_tests(tools, script=script)
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stdout.splitlines() if line and not line.startswith("==")]
        assert lines == [
            "ruff check .",
            "ruff format --check .",
            "mypy",
            "coverage erase",
            "coverage run -m pytest -n 2 --durations=10 --color=no",
            "3 passed in 1.00s",
            "coverage combine --quiet",
            "coverage report --skip-covered --fail-under=90",
            "3 passed in 1.00s",
            "all passed",
        ]


def test_test_command_passes_arguments_on(tools: Checkout) -> None:
    """Protects --all and single tests: pytest gets them, and a part's coverage is not judged."""
    done = run_tests(tools, "--all", "-k", "two words")
    assert (
        "coverage run -m pytest -n 2 --durations=10 --color=no --slow -k two words\n" in done.stdout
    )
    assert "fail-under" not in done.stdout
    assert "--slow\n" in run_tests(tools, "--all").stdout
    assert "fail-under" in run_tests(tools, "--all").stdout


@pytest.mark.parametrize(
    "fail", ["ruff check", "ruff format", "mypy ", "coverage run", "coverage report"]
)
def test_test_command_fails(tools: Checkout, fail: str) -> None:
    """Protects the gate: each step that fails makes the command fail."""
    assert run_tests(tools, fail=fail).returncode != 0
