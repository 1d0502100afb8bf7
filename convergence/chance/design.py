"""The arms of the experiment on randomness."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from convergence import names
from convergence.data import Dataset
from convergence.sources import effective
from convergence.spec import Arm, Setting

SETTINGS = 4  # draws of all other sources under which a source is varied
CROSSED = 8  # orders by which initialisations are crossed
TOGETHER = "all sources vary"
ROUNDING, FIRST = "rounding", "order, first epoch"
SPOILING = {"classification": "label_noise", "regression": "outliers"}
DOSES = (0.0, 0.1, 0.2, 0.4)
RATE_FACTORS = (0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0)


@dataclasses.dataclass(frozen=True)
class Design:
    """Arms by what they are for; all share seeds, so that they are paired.

    Attributes:
        alone: source → arms in which it alone varies, one for each draw of all others.
        crossed: arms in which the initialisation varies, one for each order; nothing else does.
        together: the arm in which all sources vary.
        rates: learning rate → arm, and its twin with one bit flipped.
        doses: share of spoiled targets → arm.
    """

    alone: dict[str, tuple[Arm, ...]]
    crossed: tuple[Arm, ...]
    together: Arm
    rates: dict[float, tuple[Arm, Arm]]
    doses: dict[float, Arm]

    @property
    def arms(self) -> tuple[Arm, ...]:
        """All arms, each once."""
        told = [self.together, *self.crossed, *self.doses.values()]
        told += [arm for arms in (*self.alone.values(), *self.rates.values()) for arm in arms]
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


def design(
    setting: Setting,
    dataset: Dataset,
    vary: tuple[str, ...],
    *,
    settings: int = SETTINGS,
    crossed: int = CROSSED,
    rates: Sequence[float] = (),
    doses: Sequence[float] = DOSES,
) -> Design:
    """The arms around a setting.

    Args:
        vary: the sources that a seed stands for in this study (``--vary``), for rates and doses.
        settings: draws of all others under which each source is varied.
        crossed: orders by which initialisations are crossed.
        rates: learning rates of the twins (default: multiples of the setting's own).
        doses: shares of spoiled targets.
    """
    told = rates or tuple(factor * setting.train.learning_rate for factor in RATE_FACTORS)
    field = SPOILING[dataset.task]
    moving = effective(setting, names.SOURCES)
    pairs = {
        rate: (
            Arm.of(f"rate {rate:.3g}", vary, learning_rate=rate),
            Arm.of(f"rate {rate:.3g}, one bit flipped", vary, True, learning_rate=rate),
        )
        for rate in told
    }
    return Design(
        alone={
            source: tuple(_alone(source, draw) for draw in range(1, settings + 1))
            for source in asked(setting)
        },
        crossed=tuple(
            dataclasses.replace(Arm.of(f"init varies, order {k}", ("init",)), draws=(("order", k),))
            for k in range(1, crossed + 1)
        ),
        together=Arm.of(TOGETHER, moving),
        rates=pairs,
        doses={dose: Arm(f"{field} {dose:.3g}", ((field, dose),), vary) for dose in doses},
    )
