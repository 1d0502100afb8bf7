"""What a user of the experiment on initial weights asks for: its own flags, read and checked."""

from __future__ import annotations

import dataclasses
import math

from convergence import names
from convergence.errors import UserError, unknown_name
from convergence.flags import Options
from convergence.initial import design as designs
from convergence.initial.design import Design, design
from convergence.sources import effective

_LISTED = ", ".join(designs.PARTS)
EXTRA = {
    "parts": (",".join(designs.PARTS), f"which questions are asked, of {_LISTED}"),
    "inits": (
        ",".join(designs.INITS),
        "initialisers; normal*0.05 has standard deviation .05; or path/to/file.py:function",
    ),
    "activations": (",".join(designs.ACTIVATIONS), "non-linearities, separated by commas"),
    "scales": (",".join(f"{x:g}" for x in designs.SCALES), "the grid's factors of --init_scale"),
    "rates": (",".join(f"{x:g}" for x in designs.RATES), "the grid's factors of --learning_rate"),
    "depths": (",".join(map(str, designs.DEPTHS)), "hidden layers of the arms of depth"),
    "width": (designs.WIDTH, "units of each hidden layer of the arms of depth"),
    "reach": (0.9, "share of the default's descent that steps are counted to"),
    "probed": (4, "seeds of an arm whose layers are looked at"),
}
DEEPEST, WIDEST = 200, 8192
LEAST = float.fromhex("0x1p-126")  # what is below is 0 in float32


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The experiment's own flags, as `design` takes them.

    Attributes:
        reach: share of the default's descent.
        probed: seeds of an arm whose layers are looked at.
    """

    parts: tuple[str, ...]
    inits: tuple[str, ...]
    activations: tuple[str, ...]
    scales: tuple[float, ...]
    rates: tuple[float, ...]
    depths: tuple[int, ...]
    width: int
    reach: float
    probed: int

    def without(self, init: str) -> Wanted:
        """The same but for an initialiser that was not asked for by name."""
        kept = tuple(one for one in self.inits if designs.parsed(one)[0] != init)
        return dataclasses.replace(self, inits=kept)

    def design(self, options: Options, output_bias: bool = True) -> Design:
        """The arms that answer what is asked."""
        return design(
            options.setting,
            parts=self.parts,
            inits=self.inits,
            activations=self.activations,
            scales=self.scales,
            rates=self.rates,
            depths=self.depths,
            width=self.width,
            orders="order" in effective(options.setting, ("order",)),
            output_bias=output_bias,
        )


def _items(text: str) -> list[str]:
    return list(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))


def _numbers(text: str, flag: str) -> tuple[float, ...]:
    found = []
    for item in _items(text):
        try:
            value = float(item)
        except ValueError as error:
            raise UserError(f"{item!r} is not a number.", flag) from error
        if not (math.isfinite(value) and value >= LEAST):
            raise UserError(f"{item} is out of range; must be above 0.", flag)
        found.append(value)
    return tuple(sorted(set(found)))


def _wholes(text: str, flag: str, most: int) -> tuple[int, ...]:
    found = []
    for item in _items(text):
        if not item.isdecimal() or not 1 <= int(item) <= most:
            raise UserError(f"{item!r} is not a whole number between 1 and {most}.", flag)
        found.append(int(item))
    return tuple(sorted(set(found)))


def _inits(text: str) -> tuple[str, ...]:
    for item in _items(text):
        try:
            name, factor = designs.parsed(item)
        except ValueError as error:
            raise UserError(f"{item!r}: what follows the star is not a number.", "inits") from error
        if not (math.isfinite(factor) and factor >= 0):
            raise UserError(f"{item!r}: a factor is at least 0.", "inits")
        if ":" not in name and name not in names.INITIALISERS:
            raise unknown_name(name, names.INITIALISERS, "inits", "initialiser")
    return tuple(_items(text))


def _checked(options: Options, parts: tuple[str, ...]) -> None:
    if options.run.num_seeds < 2:
        raise UserError("must be at least 2 here: seeds are what is compared.", "num_seeds")
    for name in ("learning_rate", "init_scale"):
        if options.setting.get(name) == 0:
            raise UserError("must be above 0 here: the comparisons multiply it.", name)
    if not effective(options.setting, options.run.vary):
        raise UserError(
            "must name a source that has an effect here: seeds that share all of them are copies.",
            "vary",
        )
    if not 0 < options.extra["reach"] < 1:
        told = f"{options.extra['reach']:g} is out of range; must lie between 0 and 1."
        raise UserError(told, "reach")
    for name, most in (("probed", 64), ("width", WIDEST)):
        if not 1 <= options.extra[name] <= most:
            raise UserError(
                f"{options.extra[name]} is out of range; must be between 1 and {most}.", name
            )


def read(options: Options) -> Wanted:
    """The experiment's own flags.

    Raises:
        UserError: one of them, or the setting that they multiply, makes no sense here.
    """
    extra = options.extra
    parts = tuple(_items(extra["parts"]))
    for part in parts:
        if part not in designs.PARTS:
            raise unknown_name(part, designs.PARTS, "parts", "part")
    if not parts:
        raise UserError(f"is empty; name some of {_LISTED}.", "parts")
    for one in _items(extra["activations"]):
        if one not in names.ACTIVATIONS:
            raise unknown_name(one, names.ACTIVATIONS, "activations", "activation")
    _checked(options, parts)
    return Wanted(
        parts=tuple(part for part in designs.PARTS if part in parts),
        inits=_inits(extra["inits"]),
        activations=tuple(_items(extra["activations"])),
        scales=_numbers(extra["scales"], "scales"),
        rates=_numbers(extra["rates"], "rates"),
        depths=_wholes(extra["depths"], "depths", DEEPEST),
        width=extra["width"],
        reach=extra["reach"],
        probed=extra["probed"],
    )
