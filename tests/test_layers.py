"""The package's map: what may import what, and what may be called where."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*(ROOT / "convergence").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])
LONGEST_FILE, LONGEST_FUNCTION = 350, 70

# Lowest first; a part imports from lower levels and from itself. Every file must be on the map.
LEVELS = (
    ("errors",),
    ("names", "threefry", "ratefile"),
    ("fields",),
    ("spec",),
    ("randomness", "userfile", "sources", "packing"),
    ("data", "models", "weights", "losses", "optimizers", "schedules", "metrics"),
    ("plan", "training"),
    ("analysis",),
    ("history", "watch", "pairs"),
    ("reporting",),
    ("events", "saving"),
    ("saved", "study", "live"),
    ("distribute", "results"),
    ("challenges", "prediction", "replay", "chance", "tuning"),
    ("rounding",),
    ("appraisal", "overview", "wording", "cache_entries", "verification", "difference", "logs"),
    ("comparison", "judged"),
    ("report",),
    ("command", "compilation_cache"),
    ("flags",),
    ("laboratory",),
    ("confirmation",),
    ("branching", "initial"),
    ("five", "finder", "luck", "scheduling"),
)
HEIGHT = {part: level for level, parts in enumerate(LEVELS) for part in parts}
# Parts that may import less than their height allows.
ONLY = {
    "analysis": {"errors", "analysis"},
    "reporting": {"errors", "spec", "names", "analysis", "reporting"},
}
NO_JAX = (
    "analysis",
    "reporting",
    "wording",
    "logs",
    "judged",
    "report",
    "fields",
    "spec",
    "names",
    "errors",
    "flags",
    "command",
)
HEAVY = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "sklearn",
    "polars",
    "matplotlib",
    "tensorboard",
    "orbax",
    "jinja2",
)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def part(path: Path) -> str:
    """Which part of the package a file belongs to: its folder's or its own name."""
    inside = path.relative_to(ROOT / "convergence").parts
    return inside[0].removesuffix(".py")


def imported(path: Path, top_level_only: bool = False) -> Iterator[tuple[str, int]]:
    """Absolute names of the modules (or attributes) a file imports, with their lines."""
    module = tree(path)
    runtime = [node for node in module.body if not _type_checking(node)]
    nodes = runtime if top_level_only else [n for top in runtime for n in ast.walk(top)]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


PACKAGE = [path for path in SOURCES if "convergence" in path.relative_to(ROOT).parts]
MAPPED = [path for path in PACKAGE if path != ROOT / "convergence" / "__init__.py"]


def breaches(path: Path) -> list[str]:
    """Imports of a file of the package that point up, or to where it may not look."""
    own, found = part(path), []
    for name, line in imported(path):
        words = name.split(".")
        if words[0] == "experiments" or words[0] == "scripts":
            found.append(f"{ids(path)}:{line} imports {name}")
        if words[0] != "convergence" or words[1] == "__version__":
            continue
        other = words[1]
        higher = HEIGHT.get(other, 99) > HEIGHT[own]
        if higher or (own in ONLY and other not in ONLY[own]):
            found.append(f"{ids(path)}:{line} imports {name}")
    return found


@pytest.mark.parametrize("path", MAPPED, ids=ids)
def test_imports_point_down(path: Path) -> None:
    """Protects the layers: a low part that knew a high one could not be used or tested alone."""
    assert part(path) in HEIGHT, f"{part(path)} is not on the map of layers in this test"
    assert breaches(path) == []


def test_a_breach_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the test itself: an import that points up must be reported."""
    source = "def f():\n    from convergence.study import Study\n    import experiments.train\n"
    monkeypatch.setattr("test_layers.tree", lambda path: ast.parse(source))
    for inside in ("reporting/tables.py", "analysis/verdict.py", "losses.py"):
        assert len(breaches(ROOT / "convergence" / inside)) == 2


def test_no_module_cycles() -> None:
    """Protects importability: modules of one part must not import each other in a ring."""
    names = {_module(path): path for path in PACKAGE}
    graph = {
        module: {
            target
            for name, _ in imported(path)
            for target in (name, name.rpartition(".")[0])
            if target in names and target != module and not module.startswith(target + ".")
        }
        for module, path in names.items()
    }
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " → ".join([*way, module])
        if module not in done:
            for target in sorted(graph[module]):
                visit(target, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def _module(path: Path) -> str:
    words = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


@pytest.mark.parametrize("path", MAPPED, ids=ids)
def test_host_side_knows_no_jax(path: Path) -> None:
    """Protects analysis and reporting from JAX, and --help from a slow start.

    Only provenance may look at JAX, and only inside a function.
    """
    if part(path) not in NO_JAX:
        return
    lazily = path.name == "provenance.py" or path.name == "command.py"
    heavy = {
        name.split(".")[0]
        for name, _ in imported(path, top_level_only=lazily)
        if name.split(".")[0] in ("jax", "jaxlib", "flax", "optax")
    }
    assert not heavy
    assert not [n for n, _ in imported(path, top_level_only=True) if n.split(".")[0] in HEAVY]


def _calls(path: Path) -> Iterator[tuple[str, int]]:
    """Dotted names of what a file calls, with its own import aliases resolved."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            aliases |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom):
            aliases |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            first, *rest = ast.unparse(node.func).split(".")
            name = ".".join([aliases.get(first, first), *rest])
            safe = any(ast.unparse(k) == "allow_pickle=False" for k in node.keywords)
            yield f"{name}(safely)" if safe else name, node.lineno


def offenders(path: Path) -> list[str]:
    """Calls and imports that only one file (or none) may make."""
    name, found = path.name, []
    inside = path.is_relative_to(ROOT / "convergence")
    for call, line in _calls(path):
        root_key = call in ("jax.random.key", "jax.random.PRNGKey") and name != "randomness.py"
        settings = call == "jax.config.update" and inside and name != "compilation_cache.py"
        runs_text = call in ("eval", "exec", "compile", "__import__") and name != "userfile.py"
        pickles = call in ("numpy.load", "np.load", "joblib.load") and inside
        if root_key or settings or runs_text or pickles:
            found.append(f"{ids(path)}:{line} calls {call}")
    for target, line in imported(path):
        words = target.split(".")
        absl = target.startswith("absl.flags") and path != ROOT / "convergence" / "flags.py"
        if absl or words[0] in ("pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"):
            found.append(f"{ids(path)}:{line} imports {target}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_only_where_allowed(path: Path) -> None:
    """Protects four promises: one file defines flags, one creates root keys, importing changes no
    JAX setting (compilation_cache.py does when it is called), and nothing that a user's file says
    is unpickled or run (userfile.py excepted)."""
    assert offenders(path) == []


@pytest.mark.parametrize(
    "source",
    [
        "import jax\njax.random.key(0)",
        "from jax import random as r\nr.PRNGKey(0)",
        "import jax\njax.config.update('jax_enable_x64', True)",
        "eval('1')",
        "import pickle",
        "from absl import flags",
        "import numpy as np\nnp.load('x')",
    ],
)
def test_an_offence_is_seen(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the test itself: each forbidden thing must be reported."""
    monkeypatch.setattr("test_layers.tree", lambda path: ast.parse(source))
    assert len(offenders(ROOT / "convergence" / "study.py")) == 1


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_small_files_and_functions(path: Path) -> None:
    """Protects readability: one idea a file, one thing a function."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    long = [
        f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_no_mutable_module_state(path: Path) -> None:
    """Protects repeatability: a module-level list, dict or set that is changed would be state."""
    assigned = {
        target.id
        for node in tree(path).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    changing = ("append", "add", "update", "extend", "insert", "pop", "clear", "setdefault")
    for node in ast.walk(tree(path)):
        assert not isinstance(node, ast.Global), f"{ids(path)}:{node.lineno} uses global"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            changed = isinstance(owner, ast.Name) and owner.id in assigned
            assert not (changed and node.func.attr in changing), f"{ids(path)}:{node.lineno}"
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
                    assert target.value.id not in assigned, f"{ids(path)}:{node.lineno}"
