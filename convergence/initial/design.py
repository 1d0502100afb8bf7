"""The arms of the experiment on initial weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from convergence import names
from convergence.spec import Arm, Setting

DEFAULT = "default"  # as the main job names it
PARTS = ("initialisers", "bias", "activations", "grid", "depth", "layers", "surface", "barrier")
# name, or name*factor: the factor is of the setting's own scale.
INITS = (
    "zeros",
    "constant*0.05",
    "normal*0.01",
    "normal*0.05",
    "normal",
    "uniform*0.1",
    "lecun_normal",
    "lecun_uniform",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "orthogonal",
    "lsuv",
)
ACTIVATIONS = ("relu", "tanh", "sigmoid")
PAIRED = ("glorot_normal", "he_normal")  # beside the setting's own, by activation and by depth
SCALES = (0.01, 0.1, 1.0, 3.0, 10.0)
RATES = (0.01, 0.1, 1.0, 10.0, 100.0)
DEPTHS, WIDTH = (2, 10, 30), 64
BIG, SMALL = 10.0, 0.1  # scales that claims are about
NO_BIAS, PRIOR = "bias=none", "bias=prior"
SAME_START = "same start, other orders"
NO_HIDDEN = ("linear",)  # of the zoo


@dataclasses.dataclass(frozen=True)
class Design:
    """Arms by what they are for; all share seeds, so that they are paired. The default is first.

    Attributes:
        inits: of the table of initialisers.
        biases: of the output bias, and without any.
        activations: non-linearity → arms, one an initialiser, the setting's own first.
        grid: (factor of the initial scale, factor of the rate) → arm; both axes hold 1.
        depths: hidden layers → arms, one an initialiser, the setting's own first.
        start: the arm whose seeds share their start, or None.
        parts: what is asked.
    """

    inits: tuple[Arm, ...]
    biases: tuple[Arm, ...]
    activations: dict[str, tuple[Arm, ...]]
    grid: dict[tuple[float, float], Arm]
    depths: dict[int, tuple[Arm, ...]]
    start: Arm | None
    parts: tuple[str, ...]

    @property
    def arms(self) -> tuple[Arm, ...]:
        """All arms, each once."""
        told = [Arm(DEFAULT), *self.inits, *self.biases]
        told += [arm for arms in self.activations.values() for arm in arms]
        told += self.grid.values()
        told += [arm for arms in self.depths.values() for arm in arms]
        told += [self.start] if self.start else []
        return tuple({arm.name: arm for arm in told}.values())


def parsed(init: str) -> tuple[str, float]:
    """An initialiser's name and its factor: ``normal*0.05`` is ("normal", .05).

    Raises:
        ValueError: what follows the star is no number.
    """
    name, star, factor = init.rpartition("*")
    return (name, float(factor)) if star else (init, 1.0)


def _init_arm(setting: Setting, init: str) -> Arm:
    name, factor = parsed(init)
    scale = factor * setting.model.init_scale
    return Arm.of(f"init={init}", init=name, init_scale=scale)


def _is_default(setting: Setting, arm: Arm) -> bool:
    return all(setting.get(name) == value for name, value in arm.changes)


def _effect(setting: Setting, arm: Arm) -> tuple[tuple[str, Any], ...]:
    """What an arm changes in truth."""
    return tuple((name, value) for name, value in arm.changes if setting.get(name) != value)


def _inits(setting: Setting, inits: Sequence[str]) -> tuple[Arm, ...]:
    named = [_init_arm(setting, init) for init in inits]
    scale = setting.model.init_scale
    named += [Arm.of(scaled(factor), init_scale=factor * scale) for factor in (BIG, SMALL)]
    return tuple(arm for arm in named if not _is_default(setting, arm))


def scaled(factor: float) -> str:
    """The name of the arm whose start is so many times the default's."""
    return f"start x{factor:g}"


def _biases(setting: Setting, output_bias: bool) -> tuple[Arm, ...]:
    own, found = setting.model.bias, []
    if own != "prior" and output_bias:
        found.append(Arm.of(PRIOR, bias="prior"))
    if own != "zero":
        found.append(Arm.of("bias=zero", bias="zero"))
    if own != "none" and setting.model.model in names.MODELS:
        found.append(Arm.of(NO_BIAS, bias="none"))
    return tuple(found)


def _paired(setting: Setting, name: str, changes: dict[str, Any]) -> tuple[Arm, ...]:
    """Arms with these changes: the setting's own initialiser, and others to hold against it."""
    inits = [init for init in PAIRED if init != setting.model.init]
    arms = [Arm.of(name, **changes)]
    arms += [Arm.of(f"{name}, {init}", init=init, **changes) for init in inits]
    return tuple(Arm(DEFAULT) if _is_default(setting, arm) else arm for arm in arms)


def cell(scale: float, rate: float) -> str:
    """The name of a grid's arm."""
    return f"scale x{scale:g}, rate x{rate:g}"


def _grid(
    setting: Setting, scales: Sequence[float], rates: Sequence[float]
) -> dict[tuple[float, float], Arm]:
    scale, rate, found = setting.model.init_scale, setting.train.learning_rate, {}
    for s in sorted({1.0, *scales}):
        for r in sorted({1.0, *rates}):
            arm = Arm.of(cell(s, r), init_scale=s * scale, learning_rate=r * rate)
            found[s, r] = Arm(DEFAULT) if _is_default(setting, arm) else arm
    return found


def design(
    setting: Setting,
    *,
    parts: Sequence[str] = PARTS,
    inits: Sequence[str] = INITS,
    activations: Sequence[str] = ACTIVATIONS,
    scales: Sequence[float] = SCALES,
    rates: Sequence[float] = RATES,
    depths: Sequence[int] = DEPTHS,
    width: int = WIDTH,
    orders: bool = True,
    output_bias: bool = True,
) -> Design:
    """The arms around a setting.

    Args:
        parts: which of `PARTS` are asked.
        inits: of the table, as `parsed` reads them.
        activations: non-linearities, where the model has any to change.
        scales, rates: factors of the setting's own initial scale and learning rate.
        depths: hidden layers of `width` units each; of an mlp.
        orders: the order of the data can vary by itself.
        output_bias: the model has an output bias that can be set.
    """
    model = setting.model.model
    plain = model in names.MODELS and model not in NO_HIDDEN
    shaped = plain and model != "gru" and "activations" in parts
    told = [setting.model.activation, *activations]
    named = _inits(setting, inits) if "initialisers" in parts else ()
    known = {_effect(setting, arm): arm for arm in reversed(named)}

    def once(arm: Arm) -> Arm:
        """The arm that does the same already, where there is one."""
        return known.get(_effect(setting, arm), arm)

    return Design(
        inits=named,
        biases=_biases(setting, output_bias) if "bias" in parts else (),
        activations={
            one: tuple(map(once, _paired(setting, f"activation={one}", {"activation": one})))
            for one in dict.fromkeys(told if shaped else ())
        },
        grid={key: once(arm) for key, arm in _grid(setting, scales, rates).items()}
        if "grid" in parts
        else {},
        depths={
            depth: _paired(setting, f"depth {depth}", {"hidden": (width,) * depth})
            for depth in sorted(set(depths) if model == "mlp" and "depth" in parts else ())
        },
        start=Arm.of(SAME_START, ("order",)) if "barrier" in parts and orders else None,
        parts=tuple(parts),
    )
