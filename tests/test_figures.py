"""The figures: drawn for whatever there is, the same each time, in colours that can be told."""

from __future__ import annotations

import doctest
import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers.made import HOSTILE, MORE, Made

from convergence.reporting import figures, latex, records
from convergence.reporting.figures import (
    DARK,
    LIGHT,
    SENTINELS,
    Drawn,
    Palette,
    axes,
    drawing,
    rows,
)
from convergence.reporting.figures.groups import groups, loss_scale
from convergence.reporting.figures.palette import DASHES, MARKERS, MOST_SERIES
from convergence.reporting.records import Records

ALL = {"differences", "finals", "metric", "loss", "rates_compared", "rate", "halvings", "spread"}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Records:
    return records.read(Made(more=MORE).write(tmp_path_factory.mktemp("made") / "study"))


@pytest.fixture(scope="module")
def drawn(usual: Records) -> dict[str, Drawn]:
    return {figure.name: figure for figure in figures.draw(usual)}


@pytest.mark.parametrize("module", [drawing, axes, latex])
def test_examples_in_docstrings(module: object) -> None:
    """Protects the documentation: its examples must be what the code does."""
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_all_figures_are_drawn(drawn: dict[str, Drawn]) -> None:
    """Protects the list of figures: each has a title, a sentence and at least one panel."""
    assert set(drawn) == ALL
    for figure in drawn.values():
        assert figure.title
        assert figure.sentence.endswith(".")
        assert figure.panels


@pytest.mark.parametrize("name", sorted(ALL))
def test_svg(name: str, drawn: dict[str, Drawn]) -> None:
    """Protects the page: XML with text as text, every colour a variable, equal when repeated."""
    made = drawn[name].svgs()
    assert made == drawn[name].svgs()
    ids: list[str] = []
    for svg in made:
        root = ElementTree.fromstring(svg)
        ids += [element.get("id") or "" for element in root.iter() if element.get("id")]
        assert "viewBox" in root.attrib
        assert "width" not in root.attrib
        assert any(element.tag.endswith("text") for element in root.iter())
        assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {"#000000"}, (
            "a colour that is no variable"
        )
        named = {f"var(--{key})" for key in LIGHT.named()}
        assert set(re.findall(r"var\([^)]*\)", svg)) <= named
        assert "<metadata" not in svg
    assert len(ids) == len(set(ids))
    assert all(one.startswith(name) for one in ids)


@pytest.mark.parametrize("name", ["differences", "loss"])
def test_png(name: str, drawn: dict[str, Drawn]) -> None:
    """Protects TensorBoard: a picture of all panels, equal when repeated."""
    first = drawn[name].png()
    assert first.startswith(b"\x89PNG")
    assert first == drawn[name].png()


def test_numbers_in_sentences(drawn: dict[str, Drawn], usual: Records) -> None:
    """Protects the sentences: they say what the data say."""
    verdicts = figures.verdicts_of(usual)
    held = sum(v.decision == "holds" for v in verdicts)
    assert f"Of {len(verdicts)} claims {held} hold" in drawn["differences"].sentence
    loss = usual.curves["loss_mean"][usual.rows["base"]]
    last = float(np.median(loss[:, -2:].mean(axis=1)))
    assert f"ends at {last:.3f}"[:13] in drawn["loss"].sentence
    assert "after 200 steps" in drawn["loss"].sentence
    assert "from 0.001 to 0.004" in drawn["rate"].sentence
    assert "too low (0.001)" in drawn["rates_compared"].sentence
    assert "init varies" in drawn["spread"].sentence


@pytest.mark.parametrize(
    ("made", "absent"),
    [
        (Made(arms=("base",), claims=False), {"differences", "broken"}),
        (Made(arms=("base",), seeds=1, claims=False), {"differences", "finals", "halvings"}),
        (Made(curves=False), {"loss", "metric", "rate", "halvings"}),
        (Made(trials=False, summary=False), ALL),
        (Made(seeds=0, summary=False, curves=False), ALL),
    ],
)
def test_only_what_there_are_data_for(made: Made, absent: set[str], tmp_path: Path) -> None:
    """Protects from empty figures: what has no data is left out, the rest is drawn."""
    found = {
        figure.name: figure for figure in figures.draw(records.read(made.write(tmp_path / "s")))
    }
    assert not absent & set(found)
    for figure in found.values():
        assert all(svg.startswith("<svg") for svg in figure.svgs())


def test_hostile_names(tmp_path: Path) -> None:
    """Protects the drawings: a name is text, never markup or mathematics, and breaks nothing."""
    made = Made(arms=("base", *HOSTILE), diverged=3, more=MORE)
    for figure in figures.draw(records.read(made.write(tmp_path / "study"))):
        for svg in figure.svgs():
            root = ElementTree.fromstring(svg)
            tags = {element.tag.rpartition("}")[2] for element in root.iter()}
            assert tags <= {"svg", "g", "path", "text", "tspan", "defs", "use", "clipPath", "rect",
                            "style"}, tags  # fmt: skip
            assert not any(key.startswith("on") for e in root.iter() for key in e.attrib)
        figure.png()
    assert "broken" in {figure.name for figure in figures.draw(records.read(tmp_path / "study"))}


@pytest.mark.parametrize("count", [1, 2, 6, 7, 13, 40])
def test_groups_hold_every_arm_once(count: int, tmp_path: Path) -> None:
    """Protects the panels: every arm in one of them, few enough to be told apart."""
    names = ("base", *(f"arm {k}" for k in range(count - 1)))
    told = records.read(Made(arms=names, curves=False, seeds=1).write(tmp_path / "study"))
    for scale in (None, loss_scale):
        found = groups(told, scale) if scale else groups(told)
        assert [arm for group in found for arm in group.arms] == list(names[1:])
        assert all(len(group.arms) <= MOST_SERIES for group in found)
        assert all(group.reference == "base" for group in found)


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_contrast(palette: Palette) -> None:
    """Protects legibility: text AA (4.5 : 1) on paper and area, lines at least 3 : 1."""
    for text in (palette.ink, palette.muted, palette.holds, palette.fails, palette.undecided):
        assert contrast(text, palette.paper) >= 4.5
    for text in (palette.ink, palette.muted):
        assert contrast(text, palette.area) >= 4.5
    for line in palette.series:
        assert contrast(line, palette.paper) >= 3.0


# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB.
DEFICIENCIES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def lab(colour: str, matrix: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as seen through a deficiency."""
    parts = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    seen = np.clip(matrix @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = xyz @ seen / np.array([0.9505, 1.0, 1.089])
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("palette", [LIGHT, DARK])
@pytest.mark.parametrize("name", ["none", *DEFICIENCIES])
def test_colour_blind_safe(palette: Palette, name: str) -> None:
    """Protects colour-blind readers: verdicts differ in colour, series not in colour alone."""
    matrix = np.array(DEFICIENCIES.get(name, np.eye(3)))
    seen = [lab(colour, matrix) for colour in (palette.holds, palette.fails)]
    assert np.linalg.norm(seen[0] - seen[1]) > 20
    series = [lab(colour, matrix) for colour in (*palette.series, palette.ink)]
    for (i, one), (j, other) in itertools.combinations(enumerate(series), 2):
        assert np.linalg.norm(one - other) > 10, (i, j)
    assert len(set(DASHES)) == len(set(MARKERS)) == len(palette.series) == MOST_SERIES


def test_palettes_have_the_same_names() -> None:
    """Protects the sentinels: each stands for one variable that both themes define."""
    assert list(LIGHT.named()) == list(DARK.named()) == list(SENTINELS.named())
    assert len(set(SENTINELS.named().values())) == len(SENTINELS.named())


def test_every_rate_is_on_its_axis(tmp_path: Path) -> None:
    """Protects the figure of rates from panels that look empty: no arm lies below its axis."""
    from matplotlib.figure import Figure

    arms = [f"rate {k}" for k in range(30)]  # each doubles the rate of the one before
    found = records.read(Made(arms=arms, seeds=2).write(tmp_path / "study"))
    (figure,) = (one for one in figures.draw(found) if one.name == "rate")
    assert len(figure.panels) > 3
    for panel in figure.panels:
        frame = Figure().add_subplot()
        panel.paint(frame, LIGHT)
        low, high = frame.get_ylim()
        lines = [np.asarray(line.get_ydata(), float) for line in frame.get_lines()]
        drawn = [values for values in lines if len(values) > 2]
        assert drawn
        assert all(low < values.max() <= high for values in drawn)


@pytest.mark.parametrize("told", ["2 of 6 diverged", "no interval: " + "of so few seeds " * 3])
def test_what_is_told_of_an_estimate_stands_clear_of_it(told: str) -> None:
    """Protects reading: a word on an estimate is at its label's height, and not over the label."""
    import matplotlib.pyplot as plt

    row = rows.Row("an arm's name", 1.0, 0.5, 1.5, [0.9, 1.1], text=told)
    axes = plt.figure().add_subplot()
    rows.rows_panel("", [row], "accuracy").paint(axes, LIGHT)
    marks = {float(y) for line in axes.lines for y in np.atleast_1d(line.get_ydata())}
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    plt.close()
    assert len(marks) == 1
    assert min(marks) - heights[told] >= rows.LINE / 2
    fits = len(told) < 40
    assert (heights[told] == heights["an arm's name"]) == fits
