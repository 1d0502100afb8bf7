"""Colours and line styles of the figures: told apart without colour, too.

The hues are Okabe and Ito's (2008), each darkened or lightened until it stands out against its
paper by at least 3 : 1 (tested). In a report they are CSS variables, so that one drawing serves
light and dark screens and print; `SENTINELS` stand for them while matplotlib draws.
"""

from __future__ import annotations

import dataclasses

Dash = tuple[float, tuple[float, ...]]
SOLID: Dash = (0, ())
# One style a colour of `Palette.series`: who cannot tell the colours can tell the dashes.
DASHES: tuple[Dash, ...] = (
    SOLID,
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
)
MARKERS = ("o", "s", "^", "D", "v")
MOST_SERIES = len(DASHES)


@dataclasses.dataclass(frozen=True)
class Palette:
    """Colours by their use, as #rrggbb.

    Attributes:
        ink: text and the reference arm.
        muted: secondary text, axes.
        grid: lines behind the data.
        paper: the background.
        area: a shaded region, such as the margin.
        series: arms under comparison, in their order.
        holds, fails, undecided: verdicts.
    """

    ink: str
    muted: str
    grid: str
    paper: str
    area: str
    series: tuple[str, ...]
    holds: str
    fails: str
    undecided: str

    def named(self) -> dict[str, str]:
        """Every colour by the name of its CSS variable."""
        plain = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "series"
        }
        return plain | {f"series-{k + 1}": colour for k, colour in enumerate(self.series)}


LIGHT = Palette(
    ink="#1a1d21",
    muted="#555b63",
    grid="#e3e5e8",
    paper="#ffffff",
    area="#eceef1",
    series=("#0072b2", "#d55e00", "#007d5a", "#a63f86", "#6b4f00"),
    holds="#0072b2",
    fails="#b53a00",
    undecided="#5d636b",
)
DARK = Palette(
    ink="#e8eaed",
    muted="#a9b0b8",
    grid="#31363d",
    paper="#15181c",
    area="#272c33",
    series=("#56b4e9", "#ff8f4d", "#2fcf9f", "#ee9bd0", "#e6c644"),
    holds="#56b4e9",
    fails="#ff8f4d",
    undecided="#a9b0b8",
)
SENTINELS = Palette(
    ink="#0a0b01",
    muted="#0a0b02",
    grid="#0a0b03",
    paper="#0a0b04",
    area="#0a0b05",
    series=("#0a0b11", "#0a0b12", "#0a0b13", "#0a0b14", "#0a0b15"),
    holds="#0a0b21",
    fails="#0a0b22",
    undecided="#0a0b23",
)
