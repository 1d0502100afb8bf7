"""What a user of the experiment on randomness asks for: its own flags, read and checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from convergence import names
from convergence.chance.design import DOSES, PARTS, Design, design
from convergence.errors import UserError, unknown_name
from convergence.flags import Options
from convergence.sources import effective

EXTRA = {
    "parts": (",".join(PARTS), f"which questions are asked, of {', '.join(PARTS)}"),
    "settings": (4, "draws of all other sources under which each source is varied"),
    "crossed": (8, "orders by which initialisations are crossed (0: not at all)"),
    "rates": ("", "learning rates of the twins, separated by commas (empty: around your own)"),
    "grids": (1, "groups of seeds, each a replicate grid of rates"),
    "doses": (",".join(map(str, DOSES)), "shares of spoiled targets, separated by commas"),
}


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The experiment's own flags.

    Attributes:
        parts: which of `PARTS` are asked.
        settings, crossed, rates, doses: as `design` takes them.
        grids: groups of seeds.
    """

    parts: tuple[str, ...]
    settings: int
    crossed: int
    rates: tuple[float, ...]
    doses: tuple[float, ...]
    grids: int

    def design(self, options: Options, task: str) -> Design:
        """The arms that answer what is asked."""
        return design(
            options.setting,
            task,
            options.run.vary,
            parts=self.parts,
            settings=self.settings,
            crossed=self.crossed,
            rates=self.rates,
            doses=self.doses,
        )


def _numbers(text: str, flag: str, low: float, high: float) -> tuple[float, ...]:
    found = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        try:
            value = float(item)
        except ValueError as error:
            raise UserError(f"{item!r} is not a number.", flag) from error
        if not (math.isfinite(value) and low <= value <= high):
            bounds = f"between {low:g} and {high:g}" if math.isfinite(high) else "above 0"
            raise UserError(f"{item} is out of range; must be {bounds}.", flag)
        found.append(value)
    return tuple(sorted(set(found)))


def _checked_seeds(options: Options, grids: int) -> None:
    seeds = options.run.num_seeds
    if seeds < 2:
        raise UserError("must be at least 2 here: one seed says nothing about spread.", "num_seeds")
    if grids < 1:
        raise UserError(f"{grids} is out of range; must be at least 1.", "grids")
    if grids > 1 and seeds < 2 * grids:
        raise UserError(
            f"{grids} grids share {seeds} seeds out among them and need two each; give --num_seeds="
            f"{2 * grids} or more.",
            "grids",
        )


def _checked_vary(options: Options, parts: Sequence[str]) -> None:
    """A seed must stand for something wherever seeds are compared."""
    if set(parts) == {"sources"} or effective(options.setting, options.run.vary):
        return
    given = ",".join(options.run.vary) or "nothing"
    raise UserError(
        f"{given}: seeds that share every other source are copies here; name one that has an"
        " effect (init, order or split; dropout with --dropout).",
        "vary",
    )


def _checked_counts(options: Options, parts: Sequence[str]) -> None:
    settings, crossed = options.extra["settings"], options.extra["crossed"]
    if settings < 1:
        raise UserError(f"{settings} is out of range; must be at least 1.", "settings")
    if crossed < 0 or crossed == 1:
        raise UserError(
            f"{crossed} is no crossing; give at least 2 orders, or 0 for none.", "crossed"
        )
    if {"twins", "seeds"} & set(parts) and options.setting.train.learning_rate == 0:
        raise UserError("must be above 0 here: rates around it are compared.", "learning_rate")


def read(options: Options) -> Wanted:
    """The experiment's own flags.

    Raises:
        UserError: one of them, or the number of seeds or what varies, makes no sense here.
    """
    extra = options.extra
    parts = tuple(dict.fromkeys(filter(None, (p.strip() for p in extra["parts"].split(",")))))
    for part in parts:
        if part not in PARTS:
            raise unknown_name(part, PARTS, "parts", "part")
    if not parts:
        raise UserError(f"is empty; name some of {', '.join(PARTS)}.", "parts")
    _checked_seeds(options, extra["grids"])
    _checked_counts(options, parts)
    _checked_vary(options, parts)
    doses = _numbers(extra["doses"], "doses", 0.0, 1.0)
    if "consistency" in parts and len(doses) < 2:
        raise UserError("a slope needs at least two different doses, such as 0,0.2.", "doses")
    least = float.fromhex("0x1p-126")  # a rate below is 0 in float32
    return Wanted(
        parts=tuple(part for part in PARTS if part in parts),
        settings=extra["settings"],
        crossed=extra["crossed"],
        rates=_numbers(extra["rates"], "rates", least, math.inf),
        doses=doses,
        grids=extra["grids"],
    )


def with_lanes(options: Options, wanted: Wanted) -> Options:
    """The options with lanes enough for a whole seed: a trial and its twin run in one block.

    Raises:
        UserError: the user gave too few.
    """
    needed = len(wanted.design(options, names.TASKS[0]).arms)
    run = options.run
    if "twins" not in wanted.parts or run.lanes >= needed:
        return options
    needed += needed % 2
    if "lanes" in options.explicit:
        raise UserError(
            f"{run.lanes} are too few: a trial and its twin run in one block, which takes a lane"
            f" for each arm; give {needed}, or fewer rates or --parts.",
            "lanes",
        )
    return dataclasses.replace(options, run=dataclasses.replace(run, lanes=needed))
