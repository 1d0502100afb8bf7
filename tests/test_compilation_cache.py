"""Programs kept on disk: where, when not, whose; and that the same bits come of them."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from pathlib import Path

import jax
import pytest
from helpers import commands
from helpers.commands import SMALL, Ended, differing, finish, manifest, start

from convergence import compilation_cache
from convergence.errors import UserError
from convergence.reporting import provenance

SETTINGS = (
    "jax_enable_compilation_cache",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


class Session:
    """A process that has not imported JAX, as far as `enable` can see."""

    def __init__(self, patch: pytest.MonkeyPatch, home: Path) -> None:
        self.said: list[str] = []
        for name in SETTINGS:
            patch.setenv(name.upper(), "")  # so that it is restored
            patch.delenv(name.upper())
        patch.delitem(compilation_cache.sys.modules, "jax")
        patch.setenv("XDG_CACHE_HOME", str(home))
        self.root = home / "convergence-lab"

    def enable(self, choice: str = "auto") -> Path | None:
        self.said.clear()
        return compilation_cache.enable(choice, self.said.append)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    return Session(monkeypatch, tmp_path / "cache")


def test_programs_are_kept_in_a_folder_of_the_users_own(session: Session) -> None:
    """Protects the promise of where programs are, that it is said, and that none else is let in."""
    folder = session.enable()
    assert folder is not None
    assert folder.parent == session.root
    assert folder.name.startswith("xla-")
    assert len(session.said) == 1
    assert str(folder) in session.said[0]
    assert "--compilation_cache=none" in session.said[0]
    for path in (folder, session.root):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folder)
    assert os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "0"


def test_it_is_said_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects later starts from chatter, and from taking our own choice for the user's."""
    first = session.enable()
    assert session.enable() == first  # inherited, as by a process that this one starts
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    assert session.enable() == first
    assert session.said == []


@pytest.mark.parametrize("choice", ["none", ""])
def test_it_can_be_turned_off(
    choice: str, session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Protects --compilation_cache=none, also against a folder in the environment."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    assert session.enable(choice) is None
    assert os.environ["JAX_ENABLE_COMPILATION_CACHE"] == "false"
    assert not session.root.exists()


def test_the_users_own_settings_are_left_alone(
    session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Protects a folder and a refusal set in JAX's way; and a named folder wins over both."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "x-cache").write_bytes(b"damaged")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(own))
    assert session.enable() == own
    assert (own / "x-cache").exists()
    assert "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "0")
    assert session.enable() is None
    named = session.enable(str(tmp_path / "named"))
    assert named is not None
    assert named.parent == tmp_path / "named"
    assert os.environ["JAX_ENABLE_COMPILATION_CACHE"] == "true"


def test_a_folder_for_each_machine_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from running a program that was compiled for another processor or by another XLA."""
    root = Path("root")
    seen = {compilation_cache.folder_in(root), compilation_cache.folder_in(root)}
    assert len(seen) == 1
    changes = {
        "processor": lambda: ("another", "sse2"),
        "usable_cores": lambda: 77,
        "thread_settings": lambda: {"NPROC": "1"},
    }
    for name, told in changes.items():
        with monkeypatch.context() as patch:
            patch.setattr(provenance, name, told)
            seen.add(compilation_cache.folder_in(root))
    monkeypatch.setattr(compilation_cache.metadata, "version", lambda name: "99")
    seen.add(compilation_cache.folder_in(root))
    assert len(seen) == 5


def test_a_named_folder_that_cannot_be_used_is_refused(session: Session, tmp_path: Path) -> None:
    """Protects the user's choice: what was asked for and cannot be had is told, with the flag."""
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="--compilation_cache: cannot keep compiled programs"):
            session.enable(str(bad))


def test_without_a_usable_folder_all_is_compiled(
    session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Protects a study from a home that cannot be written: one line is said, and it goes on."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert session.enable() is None
    assert len(session.said) == 1
    assert "compiled programs are not kept" in session.said[0]
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "fine"))
    for name in ("access", "geteuid"):
        with monkeypatch.context() as patch:
            # Root may write anywhere, so that the system's answer is stood in for.
            answer = {"access": lambda *a: False, "geteuid": lambda: os.getuid() + 1}[name]
            patch.setattr(os, name, answer)
            assert session.enable() is None
            assert len(session.said) == 1
    with monkeypatch.context() as patch:
        full = shutil.disk_usage(tmp_path)._replace(free=1)
        patch.setattr(shutil, "disk_usage", lambda path: full)
        assert session.enable() is None
        assert "full" in session.said[0]
    monkeypatch.setattr(Path, "home", lambda: 1 / 0)
    assert session.enable() is not None  # no home is needed where XDG_CACHE_HOME is set


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_may_write_is_not_used(
    mode: int, session: Session, tmp_path: Path
) -> None:
    """Protects from other users' programs: who can write to the folder could have them run."""
    folder = session.enable()
    assert folder is not None
    del os.environ["JAX_COMPILATION_CACHE_DIR"]
    for path in (folder, session.root):
        path.chmod(mode)
        assert session.enable() is None
        assert f"other users may write to {path}" in session.said[0]
        path.chmod(0o700)
    folder.chmod(0o1777)  # others cannot rename what is in it, but add to it
    assert session.enable() is None
    folder.chmod(0o700)
    session.root.chmod(0o1777)  # as /tmp: others cannot rename what is ours
    assert session.enable() == folder
    moved = tmp_path / "moved"
    folder.rename(moved)
    folder.symlink_to(moved)
    del os.environ["JAX_COMPILATION_CACHE_DIR"]
    assert session.enable() is None


def test_jax_is_told_where_it_is_there_already(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects scripts that import JAX first: its settings change, not the environment alone."""
    monkeypatch.setitem(compilation_cache.sys.modules, "jax", jax)
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    try:
        jax.config.update("jax_enable_compilation_cache", True)
        folder = session.enable()
        assert jax.config.jax_compilation_cache_dir == str(folder)
        assert jax.config.jax_persistent_cache_min_compile_time_secs == 0.0
        assert jax.config.jax_persistent_cache_min_entry_size_bytes == -1
        assert provenance.collect("")["compilation_cache"] == str(folder)
        session.enable("none")
        assert not jax.config.jax_enable_compilation_cache
        assert provenance.collect("")["compilation_cache"] is None
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        commands.compilation_cache.reset_cache()


# The system ends the process in the midst of the first file that grows beyond the limit: a program
# (a new workdir's reserve has 65,536 bytes).
KILLED = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (66_000, 66_000))
"""
HITS = """
import atexit, jax
counts = {"cache_hits": 0, "cache_misses": 0}
def listen(event, **about):
    name = event.rpartition("/")[2]
    if name in counts: counts[name] += 1
jax.monitoring.register_event_listener(listen)
atexit.register(lambda: print(f"hits {counts['cache_hits']} misses {counts['cache_misses']}"))
"""
LAUNCH = """
import sys
from convergence import flags
from experiments import train
flags.launch(train.main, name="train", presets=train.PRESETS, default_preset="quick",
             extra=train.EXTRA)
"""
QUIET = {"JAX_COMPILATION_CACHE_DIR": "", "JAX_ENABLE_COMPILATION_CACHE": "true"}


def trained(programs: str, workdir: Path, before: str = HITS) -> Ended:
    """A small study in a process of its own."""
    flags = [
        *SMALL,
        "--model=linear",
        f"--workdir={workdir}",
        f"--compilation_cache={programs}",
        "--notensorboard",
    ]
    process = start(["-c", before + LAUNCH, *flags], Path(programs), **QUIET)
    return finish(process)


def test_a_program_read_back_gives_the_same_bits(tmp_path: Path) -> None:
    """Protects the promise of kept programs, and of a start after a kill in the midst of one.

    The first process dies while it writes a program, the second says so and compiles what is
    missing, the third compiles nothing: and both end in the same bits.
    """
    programs = str(tmp_path / "programs")
    assert trained(programs, tmp_path / "killed", KILLED).status == -signal.SIGXFSZ
    second = trained(programs, tmp_path / "second")
    assert second.status == 0, second.err
    assert "note: 1 entry of the compilation cache was damaged and dropped" in second.err
    third = trained(programs, tmp_path / "third")
    assert "misses 0" in third.out.splitlines()[-1]
    assert "hits 0" not in third.out
    assert "note: " not in third.err
    assert "Error reading" not in second.err + third.err
    assert differing(tmp_path / "second", tmp_path / "third") == []
    told = manifest(tmp_path / "third")["provenance"]["compilation_cache"]
    assert Path(told).parent == Path(programs)
    assert "compilation_cache" not in (tmp_path / "third" / "flags.txt").read_text()


@pytest.mark.slow
def test_without_kept_programs_the_bits_are_the_same(tmp_path: Path) -> None:
    """Protects the bits contract from the cache: off, filling and kept agree."""
    for name, programs in (("off", "none"), ("filling", "a"), ("kept", "a")):
        told = programs if programs == "none" else str(tmp_path / programs)
        ended = trained(told, tmp_path / name)
        assert ended.status == 0, ended.err
    assert differing(tmp_path / "off", tmp_path / "filling") == []
    assert differing(tmp_path / "off", tmp_path / "kept") == []
