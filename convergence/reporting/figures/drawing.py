"""From panels to pictures: SVG for the report, PNG for TensorBoard.

A figure is one idea in one or more panels. A panel is narrow enough for a phone; the report sets as
many side by side as fit, a PNG up to three. matplotlib draws, without pyplot and without state.
"""

from __future__ import annotations

import dataclasses
import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from convergence.reporting import tables
from convergence.reporting.figures.palette import LIGHT, SENTINELS, SOLID, Dash, Palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 3.7  # inches of a panel: on a phone its text is shown at about 10 pixels
LEFT, RIGHT, BOTTOM = 0.48, 0.12, 0.4  # margins of the axes; the left one only with tick labels
TITLE, SUBTITLE, ENTRY = 0.2, 0.17, 0.165  # heights of a panel's heading and of a legend's line
MOST_COLUMNS = 3  # of a PNG
PNG_DPI = 110
LABEL = 46  # characters of a name that fit into a legend's line
_RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "convergence",
    "font.family": "sans-serif",
    "font.size": 8.0,
    "text.usetex": False,
    "text.parse_math": False,  # a name with dollar signs is a name
    "axes.linewidth": 0.6,
    "axes.unicode_minus": False,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "lines.linewidth": 1.4,
    "path.simplify": True,
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A line of a panel's legend: a series' index, or None for the reference in ink."""

    label: str
    series: int | None = None
    dash: Dash = SOLID


@dataclasses.dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: what it shows, in a few words.
        paint: draws the data into axes that are given their size, with the palette's colours.
        subtitle: the quantity on the y axis.
        legend: below the axes.
        height: of the axes, in inches.
        ticks: whether the y axis has tick labels (and needs room for them).
    """

    title: str
    paint: Callable[[Axes, Palette], None]
    subtitle: str = ""
    legend: tuple[Entry, ...] = ()
    height: float = 1.9
    ticks: bool = True

    @property
    def above(self) -> float:
        """Inches of the heading."""
        return TITLE * bool(self.title) + SUBTITLE * bool(self.subtitle) + 0.06

    @property
    def full(self) -> float:
        """Inches of the whole panel."""
        return self.above + self.height + BOTTOM + ENTRY * len(self.legend)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A figure, drawn when it is asked for.

    Attributes:
        name: for files, tags and ids: lower case, plain.
        title: a few words.
        sentence: what the figure shows of these data, in one or two sentences.
        panels: at least one.
        note: how to read it.
    """

    name: str
    title: str
    sentence: str
    panels: tuple[Panel, ...]
    note: str = ""

    def svgs(self) -> list[str]:
        """One SVG a panel, to be set into a page of `palette` variables; equal for equal data."""
        return [_svg(panel, f"{self.name}-{k}") for k, panel in enumerate(self.panels)]

    def png(self, palette: Palette = LIGHT) -> bytes:
        """All panels in one picture, with the figure's title."""
        columns = min(MOST_COLUMNS, len(self.panels))
        rows = [self.panels[k : k + columns] for k in range(0, len(self.panels), columns)]
        heights = [max(panel.full for panel in row) for row in rows]
        head = 0.35
        size = (columns * WIDTH, sum(heights) + head)
        with _style():
            figure = _figure(size, palette)
            _text(figure, 0.08, size[1] - 0.24, tables.clean(self.title), palette.ink, 10, True)
            top = size[1] - head
            for row, height in zip(rows, heights):
                for k, panel in enumerate(row):
                    _place(figure, panel, k * WIDTH, top, palette)
                top -= height
            stream = io.BytesIO()
            figure.savefig(stream, format="png", dpi=PNG_DPI, metadata={"Software": None})
        return stream.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context(_RC):
        warnings.simplefilter("ignore")  # glyphs that its own font lacks; a browser has others
        yield


def _figure(size: tuple[float, float], palette: Palette) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, facecolor=palette.paper)
    FigureCanvasAgg(figure)
    return figure


def _text(
    figure: Figure, x: float, y: float, text: str, colour: str, size: float = 8, bold: bool = False
) -> None:
    """Text at a place in inches from the lower left."""
    width, height = figure.get_size_inches()
    weight = "bold" if bold else "normal"
    figure.text(x / width, y / height, text, color=colour, fontsize=size, fontweight=weight)


def _place(figure: Figure, panel: Panel, left: float, top: float, palette: Palette) -> None:
    """Draws a panel with its upper left corner at a place in inches from the lower left."""
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    y = top
    if panel.title:
        y -= TITLE
        _text(figure, left + 0.08, y + 0.05, short(panel.title, 44), palette.ink, 8.5, True)
    if panel.subtitle:
        y -= SUBTITLE
        _text(figure, left + 0.08, y + 0.05, short(panel.subtitle, 60), palette.muted, 7.5)
    margin = LEFT if panel.ticks else RIGHT
    bottom = top - panel.above - panel.height
    axes = figure.add_axes(
        (
            (left + margin) / width,
            bottom / height,
            (WIDTH - margin - RIGHT) / width,
            panel.height / height,
        ),
        facecolor=palette.paper,
    )
    _dress(axes, palette)
    panel.paint(axes, palette)
    for k, entry in enumerate(panel.legend):
        y = bottom - BOTTOM - ENTRY * (k + 0.35)
        colour = palette.ink if entry.series is None else palette.series[entry.series]
        x = left + margin
        figure.add_artist(
            Line2D(
                [x / width, (x + 0.3) / width],
                [(y + 0.035) / height] * 2,
                color=colour,
                linestyle=entry.dash,
            )
        )
        _text(figure, x + 0.38, y, short(entry.label, LABEL), palette.ink, 7.5)


def _dress(axes: Axes, palette: Palette) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(palette.muted)
    axes.tick_params(colors=palette.muted, labelcolor=palette.muted, labelsize=7.5)
    axes.grid(True, color=palette.grid, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(palette.muted)


def short(text: str, most: int) -> str:
    """The text without control characters; where it is too long, without its middle.

    >>> short("abcdefghij", 7)
    'abcd…ij'
    """
    text = tables.clean(text)
    if len(text) <= most:
        return text
    tail = (most - 1) // 3
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


_VARIABLES = {colour: f"var(--{name})" for name, colour in SENTINELS.named().items()}
_SENTINEL = re.compile("|".join(_VARIABLES))
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'(?:url\(#|href="#)([^")]*)')
_LONG_NUMBER = re.compile(r"(-?\d+\.\d)\d+")
_TAG = re.compile(r"<[^>]*>")
_PATH = re.compile(r' d="[^"]*"')


def _svg(panel: Panel, name: str) -> str:
    with _style():
        figure = _figure((WIDTH, panel.full), SENTINELS)
        figure.patch.set_visible(False)
        _place(figure, panel, 0.0, panel.full, SENTINELS)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return inline(stream.getvalue(), name)


def inline(svg: str, name: str) -> str:
    """An SVG document of matplotlib's as an element to set into a page.

    Sentinel colours become CSS variables; ids that nothing refers to go, the others are prefixed
    with the name, so that many drawings can stand in one page; paths are rounded to a tenth of a
    point; width and height are left to the page.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    head, rest = body.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    body = f'<svg xmlns="http://www.w3.org/2000/svg" {box.group() if box else ""}>{rest}'
    body = body.replace("xlink:href", "href")
    used = set(_REFERENCE.findall(body))

    def fixed(match: re.Match[str]) -> str:
        tag = _PATH.sub(
            lambda m: _LONG_NUMBER.sub(r"\1", m.group()).replace("\n", ""), match.group()
        )
        tag = _ID.sub(lambda m: f' id="{name}-{m.group(1)}"' if m.group(1) in used else "", tag)
        tag = _REFERENCE.sub(lambda m: m.group().replace("#", f"#{name}-", 1), tag)
        return _SENTINEL.sub(lambda m: _VARIABLES[m.group()], tag)

    body = _TAG.sub(fixed, body)  # never in text, which may say anything
    return re.sub(r">\s+<", "><", body).strip()
