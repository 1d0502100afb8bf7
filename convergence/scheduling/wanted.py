"""What a user of the experiment on schedules asks for: its own flags, read and checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from convergence import names
from convergence.errors import UserError, unknown_name
from convergence.flags import Options
from convergence.scheduling import options as opt
from convergence.scheduling.design import Design
from convergence.spec import Setting
from convergence.tuning import grid

MOST_RATES = 40
PARTS = (*opt.PARTS, opt.BRANCH)
EXTRA = {
    "parts": ("schedules", f"what is done, of {', '.join(PARTS)}"),
    "schedules": ("", "schedules to compare, separated by ; (empty: all)"),
    "optimizers": ("", "optimisers to compare, separated by commas (empty: all)"),
    "reference": ("cosine", "the schedule that the others are held against"),
    "budgets": ("", "steps, separated by commas (empty: --steps, a quarter and four times that)"),
    "num_rates": (6, "rates tried for each arm, a factor 3 apart, around its centre"),
    "rates": ("", "learning rates tried for every arm, separated by commas, instead of those"),
    "extensions": (2, "how often all grids may be extended where some arm's best is at an end"),
    "tuning_seeds": (4, "seeds of the tuning, which the comparison does not use"),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The experiment's own flags.

    Attributes:
        parts: of `PARTS`.
        schedules, optimizers: what is compared.
        reference: the schedule that the others are held against.
        budgets: as the user gave them, ascending; empty for those around the own one.
        num_rates, rates, extensions, tuning_seeds: of the tuning.
    """

    parts: tuple[str, ...]
    schedules: tuple[str, ...]
    optimizers: tuple[str, ...]
    reference: str
    budgets: tuple[int, ...]
    num_rates: int
    rates: tuple[float, ...]
    extensions: int
    tuning_seeds: int

    def design(self, setting: Setting, steps: int) -> Design:
        """The arms that answer what is asked, for a setting that trains so many steps.

        Raises:
            UserError: a budget that warm-up uses up, or a rate that cannot be.
        """
        around = (max(1, steps // 4), steps, 4 * steps) if steps else ()
        budgets = tuple(sorted({*(self.budgets or around), steps}))
        warmup = setting.train.warmup
        if warmup and budgets[0] <= warmup:
            told = "" if self.budgets else f" (a quarter of {steps} steps)"
            raise UserError(
                f"a budget of {budgets[0]} steps{told} is used up by the {warmup} of --warmup;"
                f" name budgets above {warmup}.",
                "budgets",
            )
        schedules = opt.of_schedules(self.schedules, setting)
        optimizers = opt.of_optimizers(self.optimizers, setting, self.reference)
        design = Design(
            options=(
                *(schedules if "schedules" in self.parts else ()),
                *(optimizers if "optimizers" in self.parts else ()),
            ),
            budgets=budgets,
            own=steps,
            factors=grid.factors(self.num_rates),
            named=self.rates,
            reference=self.reference,
            optimizer=setting.train.optimizer,
            extensions=0 if self.rates else self.extensions,
        )
        for option in design.options:
            _checked_centre(design, option)
        return design


def _checked_centre(design: Design, option: opt.Option) -> None:
    try:
        design.rates(option, design.factors)
    except ValueError as error:
        raise UserError(
            f"{option.centre:g} is no centre for a grid of rates: {error}; name --rates.",
            "learning_rate",
        ) from None


def _listed(text: str, mark: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (part.strip() for part in text.split(mark)))))


def _whole(text: str, flag: str) -> int:
    try:
        value = int(text)
    except ValueError as error:
        raise UserError(f"{text!r} is not a whole number.", flag) from error
    if value < 1:
        raise UserError(f"{value} is out of range; must be at least 1.", flag)
    return value


def _rates(text: str) -> tuple[float, ...]:
    found = []
    for item in _listed(text, ","):
        try:
            value = float(item)
        except ValueError as error:
            raise UserError(f"{item!r} is not a number.", "rates") from error
        if not (math.isfinite(value) and value >= grid.LEAST):
            raise UserError(f"{item} is out of range; must be above 0.", "rates")
        found.append(value)
    return tuple(sorted(set(found)))


def _known(listed: Sequence[str], valid: Sequence[str], flag: str, what: str) -> None:
    for one in listed:
        # Whatever holds one of these marks is the user's own; what it says is read where it is
        # made into a vector.
        if one not in valid and not set(one) & set(":./"):
            raise unknown_name(one, valid, flag, what)


def _parts(text: str) -> tuple[str, ...]:
    found = _listed(text, ",")
    for one in found:
        if one not in PARTS:
            raise unknown_name(one, PARTS, "parts", "part")
    if not found:
        raise UserError(f"is empty; name some of {', '.join(PARTS)}.", "parts")
    return tuple(part for part in PARTS if part in found)


def read(options: Options) -> Wanted:
    """The experiment's own flags.

    Raises:
        UserError: one of them makes no sense here.
    """
    extra = options.extra
    schedules = _listed(extra["schedules"], ";")
    optimizers = _listed(extra["optimizers"], ",")
    if schedules == (opt.CONSTANT,):
        raise UserError("name at least one schedule other than constant.", "schedules")
    _known(schedules, names.SCHEDULES, "schedules", "schedule")
    for one in optimizers:
        if one not in names.OPTIMIZERS:
            raise unknown_name(one, names.OPTIMIZERS, "optimizers", "optimizer")
    reference = extra["reference"].strip()
    _known([reference], names.SCHEDULES, "reference", "schedule")
    if reference in ("", opt.CONSTANT):
        raise UserError(
            "constant is held against all others anyway; name a schedule that comes down.",
            "reference",
        )
    _checked_counts(options)
    needed = dict.fromkeys((opt.CONSTANT, reference))
    own = options.setting.train.optimizer
    return Wanted(
        parts=_parts(extra["parts"]),
        schedules=tuple(dict.fromkeys((*needed, *(schedules or names.SCHEDULES)))),
        optimizers=tuple(dict.fromkeys((own, *(optimizers or names.OPTIMIZERS)))),
        reference=reference,
        budgets=tuple(sorted({_whole(one, "budgets") for one in _listed(extra["budgets"], ",")})),
        num_rates=extra["num_rates"],
        rates=_rates(extra["rates"]),
        extensions=extra["extensions"],
        tuning_seeds=extra["tuning_seeds"],
    )


def _checked_counts(options: Options) -> None:
    extra = options.extra
    for flag, low, high in (
        ("num_rates", 1, MOST_RATES),
        ("extensions", 0, MOST_RATES),
        ("tuning_seeds", 1, 10_000),
    ):
        if not low <= extra[flag] <= high:
            raise UserError(
                f"{extra[flag]} is out of range; must be between {low} and {high}.", flag
            )
    if options.run.twin:
        raise UserError("has no part in this experiment; see experiments.randomness.", "twin")


def with_own_budget(options: Options, wanted: Wanted) -> Options:
    """The options with the middle one of the named budgets as the user's own, unless they said."""
    train = options.setting.train
    if not wanted.budgets or {"steps", "epochs"} & options.explicit:
        return options
    middle = wanted.budgets[len(wanted.budgets) // 2]
    train = dataclasses.replace(train, steps=middle, epochs=0)
    return dataclasses.replace(options, setting=dataclasses.replace(options.setting, train=train))
