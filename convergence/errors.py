"""The two kinds of failure a user meets: their own mistake, and nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user's, told in one or two sentences that name what would be right.

    Experiments and scripts print the message without a traceback and exit with status 2.

    Args:
        message: which value is wrong and what would be right; no flag dashes.
        field: the spec field (and so the flag) the message is about, or "".
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field

    @property
    def sentence(self) -> str:
        """The message without the flag: for a note, or for a program that has no such flag."""
        return super().__str__()

    def __str__(self) -> str:
        return f"--{self.field}: {self.sentence}" if self.field else self.sentence


def unknown_name(value: str, valid: Iterable[str], field: str, what: str = "name") -> UserError:
    """The error for a choice that does not exist, offering the nearest valid names.

    >>> str(unknown_name("cosin", ["cosine", "linear"], "schedule", "schedule"))
    "--schedule: unknown schedule 'cosin'; did you mean 'cosine'? Valid: cosine, linear."
    """
    names = sorted(valid)
    near = difflib.get_close_matches(value, names, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    return UserError(f"unknown {what} {value!r}{hint} Valid: {', '.join(names)}.", field)
