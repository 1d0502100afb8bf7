"""Which sources of randomness a setting has, and which of them move its trials at all."""

from __future__ import annotations

from convergence import names
from convergence.spec import Setting

_SPOILING = ("label_noise", "outliers", "input_noise", "duplicates", "imbalance")


def sources(setting: Setting) -> tuple[str, ...]:
    """The sources that move a trial of this setting by themselves, in a fixed order."""
    return ("init", "order", *(["dropout"] if setting.model.dropout else []), "split")


def effective(setting: Setting, vary: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the varied sources that make one replica of this setting differ from another.

    Nothing is augmented yet, and rounding moves twins alone; dropout needs a rate (a user's own
    model may have one inside), corruption something to spoil.
    """
    moving = set(sources(setting))
    if setting.model.model not in names.MODELS:
        moving.add("dropout")
    if any(setting.get(name) for name in _SPOILING):
        moving.add("corrupt")
    return tuple(source for source in vary if source in moving)
