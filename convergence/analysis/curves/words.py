"""Numbers in the sentences of a judgement."""

from __future__ import annotations


def number(value: float) -> str:
    """Three significant digits; large steps whole.

    >>> number(0.12345), number(12345.6)
    ('0.123', '12,346')
    """
    return f"{value:.3g}" if abs(value) < 1e4 else f"{value:,.0f}"
