"""What is said of a claim's trials where they are few or diverged, in the words of what is paired.

Most claims hold a treatment's trial against the control's of the same seed. A distance is taken
between two trials, a trial and its twin or two seeds of one arm, and held against the margin: there
is no treatment that diverges, but a pair of which one or both do.
"""

from __future__ import annotations

from typing import Literal

Unit = Literal["seed", "pair of twins", "pair of seeds"]
SIGNS = ("diverges", "control diverges", "one of a pair diverges")  # reasons of the exact test


def counted(count: int, unit: str) -> str:
    """A count with its noun: "1 seed", "2 arms", "3 pairs of twins"."""
    first, _, rest = unit.partition(" ")
    return f"{count} {first}{'s' * (count != 1)}{' ' * bool(rest)}{rest}"


def none_there(unit: Unit) -> str:
    """Why nothing can be asked: there is not one unit."""
    return (
        "one seed has no other to pair with" if unit == "pair of seeds" else "there are no trials"
    )


def one_there(unit: Unit) -> str:
    """Why one unit decides nothing."""
    return f"one {unit if unit == 'pair of seeds' else 'seed'} cannot tell"


def too_few(unit: Unit, finished: int) -> str:
    """Why nothing is decided where fewer than two pairs finished."""
    some = "no" if finished == 0 else "only one"
    return (
        f"{some} pair of trials finished in both arms"
        if unit == "seed"
        else f"{some} {unit} finished"
    )


def by_divergences(unit: Unit, reason: str) -> str:
    """The reason of a decision by the exact test of discordant pairs."""
    return reason if unit == "seed" else "one of a pair diverges"


def diverged(unit: Unit, units: int, treatment: int, control: int, finished: int) -> str:
    """What a reader must know of trials that diverged.

    Args:
        units: how many there are.
        treatment, control: units of which the treatment, the control diverged; of a distance,
            those of which both trials did, and those of which any did.
        finished: units of which both trials finished.
    """
    if unit == "seed":
        who = f"the treatment diverged in {treatment}, the control in {control}"
        left = f"{finished} pairs"
    else:
        who = f"one trial diverged in {control - treatment}, both in {treatment}"
        left = f"{finished}"
    return f"of {counted(units, unit)} {who}: effect and interval speak of the {left} that finished"


def contradicted(unit: Unit, decision: str, units: int, treatment: int, control: int) -> str:
    """Why the interval's decision does not stand: divergences point the other way."""
    if unit == "seed":
        more = "treatment" if treatment > control else "control"
        return (
            f"the interval says {decision}, but the {more} diverges more often: treatment "
            f"{treatment}, control {control} of {units}"
        )
    apart = control - treatment
    return (
        f"the interval says {decision}, but of {counted(units, unit)} one trial alone diverged in"
        f" {apart}"
    )
