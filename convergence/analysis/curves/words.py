"""Numbers in the sentences of a judgement."""

from __future__ import annotations


def number(value: float) -> str:
    """Three significant digits; from 10,000 on whole, as long as that is short.

    >>> number(0.12345), number(12345.6), number(1e90)
    ('0.123', '12,346', '1e+90')
    """
    value += 0.0  # a negated zero is zero
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.3g}"


def step(value: float) -> str:
    """A step: whole, unless there are steps between whole ones.

    >>> step(1056.7), step(0.25)
    ('1,057', '0.25')
    """
    return f"{value:,.0f}" if 10 <= abs(value) < 1e12 else f"{value:.3g}"
