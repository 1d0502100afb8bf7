"""The command line: flags generated from the spec's fields, the same for every experiment.

The only file that knows absl.flags. An experiment ends with::

    if __name__ == "__main__":
        flags.launch(main, name="train", presets=PRESETS, default_preset="quick")
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import flags as absl_flags

from convergence import command, spec
from convergence.errors import UserError, unknown_name

Presets = Mapping[str, Mapping[str, Any]]
Extra = Mapping[str, tuple[Any, ...]]  # name: (default, help) or (default, help, choices)
_GROUPS = {"data": "data", "model": "model", "train": "training", "run": "run"}
_CACHE_HELP = (
    "folder that keeps compiled programs for the next start (auto: convergence-lab in"
    " $XDG_CACHE_HOME or ~/.cache, unless JAX_COMPILATION_CACHE_DIR is set; none: keep none)"
)
# name: (default, help); what belongs to a command, not to the study.
_SWITCHES: dict[str, tuple[Any, str]] = {
    "workdir": ("", "folder of the results (default: runs/NAME)"),
    "overwrite": (False, "replace the study that is in the workdir"),
    "resume": (False, "continue the unfinished study in the workdir"),
    "allow_drift": (False, "resume even if versions or hardware changed"),
    "tensorboard": (True, "write TensorBoard event files"),
    "tensorboard_trials": (0, "so many first trials get a TensorBoard run of their own"),
    "platform": ("auto", f"where to run ({', '.join(command.PLATFORMS)})"),
    "workers": (0, "trials that run at once on CPU (0: one for each usable core)"),
    "compilation_cache": ("auto", _CACHE_HELP),
    "dry_run": (False, "tell trials, memory and estimated time; train nothing"),
}
MOST_RUNS = 500  # of single trials
_NOT_REPEATED = ("workdir", "overwrite", "resume", "allow_drift", "compilation_cache", "dry_run")


@dataclasses.dataclass(frozen=True)
class Options:
    """What the user asked for.

    Attributes:
        name: the experiment's.
        setting: the base setting, presets applied and validated.
        run: seeds, sources and cadences, validated.
        explicit: names of the flags that were given.
        extra: the experiment's own flags, by name.
        preset: "" where none applies.
        tensorboard_trials: so many first trials get a TensorBoard run of their own.
        workers: threads that train on CPU; 0 for one for each usable core.
        compilation_cache: as `compilation_cache.enable` takes it.
    """

    name: str
    setting: spec.Setting
    run: spec.RunSpec
    workdir: Path
    overwrite: bool = False
    resume: bool = False
    allow_drift: bool = False
    tensorboard: bool = True
    tensorboard_trials: int = 0
    platform: str = "auto"
    workers: int = 0
    compilation_cache: str = "auto"
    preset: str = ""
    dry_run: bool = False
    explicit: frozenset[str] = frozenset()
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def flagfile_text(self) -> str:
        """flags.txt: a flag a line, which repeats the study with --flagfile=…"""
        values: dict[str, Any] = {"preset": self.preset} if self.preset else {}
        for part in (self.setting.data, self.setting.model, self.setting.train, self.run):
            values |= {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
        if self.setting.train.epochs:
            del values["steps"]  # the two exclude each other
        values |= dict(self.extra)
        values |= {
            name: getattr(self, name)
            for name, (default, _) in _SWITCHES.items()
            if name not in _NOT_REPEATED and getattr(self, name) != default
        }
        return "".join(f"--{name}={_written(value)}\n" for name, value in values.items())


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


class _Parser(absl_flags.ArgumentParser):  # type: ignore[type-arg]
    """Reads one value (or a comma-separated tuple) of a kind; UserError where it is none."""

    def __init__(self, name: str, kind: type, many: bool) -> None:
        super().__init__()
        self._name, self._kind, self._many = name, kind, many

    def parse(self, argument: Any) -> Any:
        if not isinstance(argument, str):
            return argument  # the default
        if not self._many:
            return self._one(argument)
        return tuple(self._one(item.strip()) for item in argument.split(",") if item.strip())

    def _one(self, text: str) -> Any:
        try:
            return self._kind(text)
        except ValueError as error:
            what = {int: "a whole number", float: "a number"}[self._kind]
            raise UserError(f"{text!r} is not {what}.", self._name) from error


def _define_one(
    flag_values: absl_flags.FlagValues, name: str, default: Any, help: str, item: type | None = None
) -> None:
    if isinstance(default, bool):
        absl_flags.DEFINE_boolean(name, default, help, flag_values=flag_values)
        return
    many = isinstance(default, tuple)
    kind = item or (type(default[0]) if many and default else type(default))
    parser = _Parser(name, kind, many)
    absl_flags.DEFINE(parser, name, default, help, flag_values=flag_values, serializer=None)


def _item_type(field: dataclasses.Field[Any]) -> type | None:
    """The type of a tuple's items, from the annotation (an empty default has none to look at)."""
    match = re.match(r"tuple\[(int|float|str)", str(field.type))
    return {"int": int, "float": float, "str": str}[match.group(1)] if match else None


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    assert field.default_factory is not dataclasses.MISSING
    return field.default_factory()


def define(
    flag_values: absl_flags.FlagValues,
    name: str,
    presets: Presets | None = None,
    default_preset: str = "",
    extra: Extra | None = None,
) -> list[command.FlagHelp]:
    """Defines every flag on ``flag_values``; returns what the help page says of them.

    Args:
        name: the experiment's, for the default of --workdir.
        presets: values by field name, for each preset's name.
        default_preset: the preset that applies where none is asked for, or "".
        extra: the experiment's own flags: name → (default, help[, choices]).
    """
    pages = []

    def add(group: str, flag: str, default: Any, help: str, item: type | None = None) -> None:
        _define_one(flag_values, flag, default, help, item)
        pages.append(command.FlagHelp(group, flag, _written(default), help))

    for flag, (default, help, *choices) in (extra or {}).items():
        listed = f" ({', '.join(map(str, choices[0]))})" if choices else ""
        add("this experiment", flag, default, help + listed)
    for part, cls in spec.PARTS.items():
        for field in dataclasses.fields(cls):
            names = field.metadata.get("choices")
            help = field.metadata["help"] + (f" ({', '.join(names)})" if names else "")
            add(_GROUPS[part], field.name, _default(field), help, _item_type(field))
    if presets:
        add("output", "preset", default_preset, f"size of the study ({', '.join(presets)})")
    for flag, (default, help) in _SWITCHES.items():
        add("output", flag, default, help.replace("NAME", name))
    absl_flags.DEFINE_boolean("help", False, "show this help", flag_values=flag_values)
    return pages


def parse(flag_values: absl_flags.FlagValues, arguments: Sequence[str]) -> None:
    """Parses a command line (without the program's name); raises UserError, in one sentence."""
    try:
        rest = flag_values(["experiment", *arguments])
    except absl_flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(flag_values), n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(f'--{name}' for name in near)}? " if near else ""
        raise UserError(
            f"unknown flag --{error.flagname}; {hint}--help lists all flags."
        ) from error
    except (absl_flags.Error, ValueError) as error:
        raise _retold(error) from error
    if rest[1:]:
        raise UserError(f"unexpected argument {rest[1]!r}; flags are written --name=value.")


def _retold(error: Exception) -> UserError:
    """absl's own message about a value as ours."""
    boolean = re.match(r"flag --(\w+)=(.*?): .*[Bb]oolean", str(error), re.DOTALL)
    if boolean:
        return UserError(f"{boolean[2]!r} is neither true nor false.", boolean[1])
    missing = re.match(r"Missing value for flag --?(\w+)", str(error))
    if missing:
        return UserError("needs a value: write it after =.", missing[1])
    flagfile = re.match(r"ERROR:: Unable to open flagfile: \[Errno \d+\] (.*)", str(error))
    if flagfile:
        return UserError(f"cannot read it: {flagfile[1]}.", "flagfile")
    return UserError(str(error).splitlines()[0].rstrip(".") + ".")


def read(
    flag_values: absl_flags.FlagValues,
    name: str,
    presets: Presets | None = None,
    default_preset: str = "",
    extra: Extra | None = None,
) -> Options:
    """The options of parsed flags; a preset fills only what the user did not give.

    Args: as `define`.

    Raises:
        UserError: naming the flag, for a value that is out of range, unknown, or contradictory.
    """
    presets, extra = presets or {}, extra or {}
    given = frozenset(flag for flag in flag_values if flag_values[flag].present)
    preset: str = (flag_values["preset"].value or "") if presets else ""
    if preset and preset not in presets:
        raise unknown_name(preset, presets, "preset", "preset")
    values: dict[str, Any] = {flag: flag_values[flag].value for flag in flag_values}
    filled = command.preset_values(presets, preset, list(values))
    values |= {flag: value for flag, value in filled.items() if flag not in given}
    _settle_length(values, given)
    if "learning_rate" not in given:
        values["learning_rate"] = command.usual_rate(values)
    parts = {
        part: cls(**{field.name: values[field.name] for field in dataclasses.fields(cls)})
        for part, cls in spec.PARTS.items()
    }
    run = parts.pop("run")
    setting = spec.Setting(**parts)
    spec.validate(spec.StudySpec(name, setting=setting, run=run))
    for flag, (_, _, *choices) in extra.items():
        if choices and values[flag] not in choices[0]:
            raise unknown_name(str(values[flag]), map(str, choices[0]), flag, flag)
    if values["platform"] not in command.PLATFORMS:
        raise unknown_name(values["platform"], command.PLATFORMS, "platform", "platform")
    if values["workers"] < 0:
        raise UserError(f"{values['workers']} is out of range; must be at least 0.", "workers")
    _check_runs(values["tensorboard_trials"], values["tensorboard"])
    switches = {flag: values[flag] for flag in _SWITCHES if flag != "workdir"}
    return Options(
        name=name,
        setting=setting,
        run=run,
        workdir=Path(values["workdir"] or f"runs/{name}"),
        preset=preset,
        explicit=given,
        extra={flag: values[flag] for flag in extra},
        **switches,
    )


def _check_runs(trials: int, tensorboard: bool) -> None:
    """Raises UserError where more runs of single trials are asked for than TensorBoard can show."""
    if not 0 <= trials <= MOST_RUNS:
        raise UserError(
            f"{trials} is out of range; must be between 0 and {MOST_RUNS}: TensorBoard leaves"
            " more runs unselected.",
            "tensorboard_trials",
        )
    if trials and not tensorboard:
        raise UserError("writes event files, which --notensorboard forbids.", "tensorboard_trials")


def _settle_length(values: dict[str, Any], given: frozenset[str]) -> None:
    """--steps and --epochs exclude each other; the one that was given drops the preset's other."""
    if values["epochs"] and {"steps", "epochs"} <= given:
        raise UserError("excludes --epochs; give one of them.", "steps")
    if "steps" in given:
        values["epochs"] = 0


def from_arguments(
    arguments: Sequence[str],
    name: str,
    presets: Presets | None = None,
    default_preset: str = "",
    extra: Extra | None = None,
) -> Options:
    """The options of a command line, on flags of its own (nothing global is touched).

    Args: ``arguments`` without the program's name; the others as `define`.

    Raises:
        UserError: as `parse` and `read`.
    """
    flag_values = absl_flags.FlagValues()
    define(flag_values, name, presets, default_preset, extra)
    parse(flag_values, arguments)
    return read(flag_values, name, presets, default_preset, extra)


def launch(
    main: Callable[[Options], Any],
    *,
    name: str,
    presets: Presets | None = None,
    default_preset: str = "",
    extra: Extra | None = None,
    arguments: Sequence[str] | None = None,
) -> NoReturn:
    """Runs an experiment as a command and exits: 0 done, 2 the user's mistake, 1 ours, 130 Ctrl-C.

    JAX is not imported before ``main`` runs, so that --help and mistakes are answered at once.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if {"--help", "-help", "-h", "--helpfull", "--helpshort"} & set(arguments):
        page = define(absl_flags.FlagValues(), name, presets, default_preset, extra)
        print(command.help_page(sys.modules[main.__module__].__doc__ or "", page))
        sys.exit(command.DONE)
    try:
        options = from_arguments(arguments, name, presets, default_preset, extra)
    except UserError as error:
        command.say(f"{name}: {error}")
        sys.exit(command.MISTAKE)
    command.set_environment(options.platform)
    command.spare_the_collector()

    def run() -> None:
        command.check_platform(options.platform)
        if not options.dry_run:
            from convergence import compilation_cache

            compilation_cache.enable(options.compilation_cache, command.say)
        main(options)

    sys.exit(command.guarded(run, name, options.workdir, arguments))
