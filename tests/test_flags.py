"""The command line: flags from the spec, presets, flags.txt, and mistakes told in a sentence."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from absl import flags as absl_flags

from convergence import command, flags, spec
from convergence.errors import UserError

PRESETS: flags.Presets = {
    "smoke": {"steps": 10, "num_seeds": 2, "hidden": (8,), "mode": "fast"},
    "quick": {"epochs": 3},
}
EXTRA: flags.Extra = {
    "mode": ("slow", "how", ("slow", "fast")),
    "share": (0.5, "a number"),
    "test": (False, "a switch"),
}


def options(*arguments: str, default_preset: str = "") -> flags.Options:
    return flags.from_arguments(arguments, "exp", PRESETS, default_preset, EXTRA)


def test_defaults_are_the_specs() -> None:
    """Protects the one definition: without flags, an experiment gets the spec's defaults."""
    found = options()
    assert found.setting == spec.Setting()
    assert found.run == spec.RunSpec()
    assert found.workdir == Path("runs/exp")
    assert (found.tensorboard, found.platform, found.workers) == (True, "auto", 0)
    assert (found.preset, found.explicit) == ("", frozenset())
    assert found.extra == {"mode": "slow", "share": 0.5, "test": False}


def other_value(field: dataclasses.Field[Any], default: Any) -> Any:
    """A valid value that is not the default."""
    choices = field.metadata.get("choices")
    if choices and isinstance(default, tuple):
        return (choices[0],)
    if choices:
        return next(c for c in choices if c not in (default, "file"))
    if isinstance(default, bool):
        return not default
    if isinstance(default, int | float):
        high = field.metadata.get("high", 10**6)
        step = 1 if isinstance(default, int) else 0.125
        return default + step if default + step <= high else default - step
    return (3, 4) if isinstance(default, tuple) else None


FIELDS = [
    (part, field, other_value(field, flags._default(field)))
    for part, cls in spec.PARTS.items()
    for field in dataclasses.fields(cls)
]


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [item for item in FIELDS if item[2] is not None],
    ids=lambda item: getattr(item, "name", ""),
)
def test_every_field_has_its_flag(part: str, field: Any, value: Any) -> None:
    """Protects the promise that every field can be set: as a flag, by its type, and back."""
    given = options(f"--{field.name}={flags._written(value)}")
    owner = given.run if part == "run" else getattr(given.setting, part)
    assert getattr(owner, field.name) == value
    assert type(getattr(owner, field.name)) is type(value)
    assert given.explicit == {field.name}
    again = options(*given.flagfile_text().splitlines())
    assert (again.setting, again.run) == (given.setting, given.run)


def test_file_flags() -> None:
    """Protects --dataset=file: its three paths arrive as they were written."""
    found = options("--dataset=file", "--data_path=a b/ü.csv", "--target=y=1", "--test_path=t")
    assert found.setting.data.data_path == "a b/ü.csv"
    assert found.setting.data.target == "y=1"


def test_flagfile_repeats_the_study(tmp_path: Path) -> None:
    """Protects flags.txt: it repeats the study, and only the study."""
    given = options(
        *("--preset=quick", "--steps=7", "--vary=init", "--hidden=", "--twin", "--share=.25"),
        *("--workdir=elsewhere", "--overwrite", "--dry_run", "--notensorboard", "--test"),
    )
    path = tmp_path / "flags.txt"
    path.write_text(given.flagfile_text())
    again = options(f"--flagfile={path}")
    assert (again.setting, again.run, again.extra) == (given.setting, given.run, given.extra)
    assert (again.preset, again.tensorboard) == ("quick", False)
    assert (again.workdir, again.overwrite, again.dry_run) == (Path("runs/exp"), False, False)
    for name in ("workdir", "overwrite", "resume", "dry_run", "workers"):
        assert f"--{name}" not in given.flagfile_text()
    # Lengths told in epochs come back as epochs, and a flag beside the file overrides it.
    epochs = options("--epochs=4")
    path.write_text(epochs.flagfile_text())
    assert options(f"--flagfile={path}", "--seed=5").setting == epochs.setting


def test_a_preset_fills_only_what_was_not_given() -> None:
    """Protects the user's word: an explicit flag wins over a preset, even at its default value."""
    found = options("--preset=smoke", "--num_seeds=8", "--mode=slow")
    assert found.setting.train.steps == 10
    assert found.setting.model.hidden == (8,)
    assert found.run.num_seeds == 8
    assert found.extra["mode"] == "slow"
    assert options(default_preset="smoke").extra["mode"] == "fast"
    assert options("--preset=", default_preset="smoke").setting == spec.Setting()
    assert options("--preset=quick").setting.train.epochs == 3
    assert options("--preset=quick", "--steps=9").setting.train.epochs == 0
    assert options("--preset=smoke", "--epochs=2").setting.train.epochs == 2
    with pytest.raises(KeyError, match="no flag"):
        flags.from_arguments([], "exp", {"bad": {"stpes": 1}}, "bad")


MISTAKES = [
    ("--stpes=3", r"unknown flag --stpes; did you mean --steps"),
    ("--qqqqqq", r"unknown flag --qqqqqq; --help lists all flags"),
    ("--steps=x", r"--steps: 'x' is not a whole number"),
    ("--steps=1.5", r"--steps: '1.5' is not a whole number"),
    ("--learning_rate=fast", r"--learning_rate: 'fast' is not a number"),
    ("--learning_rate=nan", r"--learning_rate: must be a finite number"),
    ("--hidden=8,x", r"--hidden: 'x' is not a whole number"),
    ("--twin=maybe", r"--twin: 'maybe' is neither true nor false"),
    ("--notwin=3", r"--notwin=3 does not take an argument"),
    ("--steps", r"--steps: needs a value"),
    ("--steps=-1", r"--steps: -1 is out of range; must be at least 0"),
    ("--num_seeds=0", r"--num_seeds: 0 is out of range"),
    ("--dropout=1.5", r"--dropout: 1.5 is out of range; must be between 0.0 and 0.99"),
    ("--schedule=cosin", r"--schedule: unknown schedule 'cosin'; did you mean 'cosine'"),
    ("--optimizer=adamm", r"--optimizer: unknown optimizer 'adamm'; did you mean 'adam'"),
    ("--vary=init,ordre", r"--vary: unknown vary 'ordre'; did you mean 'order'"),
    ("--dataset=file", r"--data_path: is empty"),
    ("--data_path=x.csv", r"--data_path: is only read with --dataset=file"),
    ("--preset=big", r"--preset: unknown preset 'big'"),
    ("--platform=xpu", r"--platform: unknown platform 'xpu'"),
    ("--workers=-1", r"--workers: -1 is out of range"),
    (
        "--tensorboard_trials=501",
        r"--tensorboard_trials: 501 is out of range; .* between 0 and 500",
    ),
    ("--tensorboard_trials=-1", r"--tensorboard_trials: -1 is out of range"),
    ("--tensorboard_trials=x", r"--tensorboard_trials: 'x' is not a whole number"),
    (
        "--tensorboard_trials=5 --notensorboard",
        r"--tensorboard_trials: writes event files, which --notensorboard forbids",
    ),
    ("--mode=odd", r"--mode: unknown mode 'odd'"),
    ("--share=half", r"--share: 'half' is not a number"),
    ("--flagfile=/none", r"--flagfile: cannot read it: No such file or directory: '/none'"),
    ("steps=3", r"unexpected argument 'steps=3'; flags are written --name=value"),
    ("--steps=3 --epochs=4", r"--steps: excludes --epochs"),
]


@pytest.mark.parametrize(("line", "told"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_mistakes_are_told_in_a_sentence(line: str, told: str) -> None:
    """Protects users from usage dumps: each mistake names its flag and what would be right."""
    with pytest.raises(UserError, match=told) as caught:
        options(*line.split())
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_nothing_global_is_touched() -> None:
    """Protects several experiments in one process: flags live on their own FlagValues."""
    before = set(absl_flags.FLAGS)
    options("--steps=3")
    assert set(absl_flags.FLAGS) == before


def test_help_is_grouped_and_narrow() -> None:
    """Protects the help page: every flag, under its group, in 80 columns."""
    values = absl_flags.FlagValues()
    pages = flags.define(values, "exp", PRESETS, "smoke", EXTRA)
    page = command.help_page("Does it work?\n\nYes.", pages)
    assert page.startswith("Does it work?\n\nYes.\n")
    assert max(map(len, page.splitlines())) <= 80
    order = [
        page.index(f"\n{g}:\n") for g in ("this experiment", "data", "model", "training", "run")
    ]
    assert order == sorted(order)
    assert len(pages) == len(set(values)) - 1  # --help itself is not listed
    for name in set(values) - {"help"}:
        assert f"  --{name}=" in page
