"""The arms of the experiment on randomness."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from convergence import names
from convergence.sources import effective
from convergence.spec import Arm, Setting

PARTS = ("sources", "twins", "consistency", "seeds")
SETTINGS = 4  # draws of all other sources under which a source is varied
CROSSED = 8  # orders by which initialisations are crossed
TOGETHER = "all sources vary"
ROUNDING, FIRST = "rounding", "order, first epoch"
SPOILING = {"classification": "label_noise", "regression": "outliers"}
DOSES = (0.0, 0.1, 0.2, 0.4)
RATE_FACTORS = (0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0)
NEIGHBOUR = 1.1  # times the rate: another setting, close by, for pairs that share their seeds


@dataclasses.dataclass(frozen=True)
class Design:
    """Arms by what they are for; all share seeds, so that they are paired.

    Attributes:
        alone: source → arms in which it alone varies, one for each draw of all others.
        crossed: arms in which the initialisation varies, one for each order; nothing else does.
        together: the arm in which all sources vary; None where no source is asked for.
        rates: learning rate → arm, and its twin with one bit flipped; ascending, the setting's own
            among them.
        doses: share of spoiled targets → arm, ascending.
        own: the setting as it is, with what a seed stands for varying, and a neighbour; None where
            it is not asked how many seeds are needed.
        field: what is spoiled, a field of the data's spec.
    """

    alone: dict[str, tuple[Arm, ...]]
    crossed: tuple[Arm, ...]
    together: Arm | None
    rates: dict[float, tuple[Arm, Arm]]
    doses: dict[float, Arm]
    own: tuple[Arm, Arm] | None
    field: str

    @property
    def arms(self) -> tuple[Arm, ...]:
        """All arms, each once; a trial and its twin side by side."""
        told = [arm for arms in self.rates.values() for arm in arms]
        told += [*(self.own or ()), *([self.together] if self.together else [])]
        told += [*self.crossed, *self.doses.values()]
        told += [arm for arms in self.alone.values() for arm in arms]
        return tuple({arm.name: arm for arm in told}.values())


def asked(setting: Setting) -> tuple[str, ...]:
    """The sources that move a trial of this setting, a rounding error and the first epoch's order.

    The spoiling of targets is one where they are spoiled.
    """
    return (*effective(setting, names.SOURCES), ROUNDING, FIRST)


def _alone(source: str, draw: int) -> Arm:
    name = f"only {source}, others {draw}"
    if source == ROUNDING:
        return Arm.of(name, ("rounding",), twin=True).drawn(draw)
    if source == FIRST:
        arm = Arm.of(name, ("order",)).drawn(draw)
        return dataclasses.replace(arm, order_epochs=1, draws=(*arm.draws, ("order", draw)))
    return Arm.of(name, (source,)).drawn(draw)


def _at(rate: float, vary: tuple[str, ...], twin: bool = False) -> Arm:
    """The setting at a rate; where a bit is flipped, each seed flips one of its own."""
    vary = tuple(dict.fromkeys((*vary, ROUNDING)))
    name = f"rate {rate:.6g}" + (", one bit flipped" if twin else "")
    return Arm.of(name, vary, twin, learning_rate=rate)


def design(
    setting: Setting,
    task: str,
    vary: tuple[str, ...],
    *,
    parts: Sequence[str] = PARTS,
    settings: int = SETTINGS,
    crossed: int = CROSSED,
    rates: Sequence[float] = (),
    doses: Sequence[float] = DOSES,
) -> Design:
    """The arms around a setting.

    Args:
        task: ``classification`` or ``regression``.
        vary: the sources that a seed stands for in this study (``--vary``), for rates and doses.
        parts: which of `PARTS` are asked.
        settings: draws of all others under which each source is varied.
        crossed: orders by which initialisations are crossed.
        rates: learning rates of the twins (default: multiples of the setting's own, which is
            always among them).
        doses: shares of spoiled targets.
    """
    own, field = setting.train.learning_rate, SPOILING[task]
    told = sorted({own, *(rates or (factor * own for factor in RATE_FACTORS))})
    sources = asked(setting) if "sources" in parts else ()
    return Design(
        alone={
            source: tuple(_alone(source, draw) for draw in range(1, settings + 1))
            for source in sources
        },
        crossed=tuple(
            dataclasses.replace(Arm.of(f"init varies, order {k}", ("init",)), draws=(("order", k),))
            for k in range(1, crossed + 1 if sources else 1)
        ),
        together=Arm.of(TOGETHER, effective(setting, names.SOURCES)) if sources else None,
        rates={rate: (_at(rate, vary), _at(rate, vary, True)) for rate in told}
        if "twins" in parts
        else {},
        doses={
            dose: Arm(f"{field} {dose:.6g}", ((field, dose),), vary)
            for dose in sorted({*doses})
            if "consistency" in parts
        },
        own=(_at(own, vary), _at(NEIGHBOUR * own, vary)) if "seeds" in parts else None,
        field=field,
    )
