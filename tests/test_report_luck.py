"""What a report shows of luck: tables and figures of a study of randomness, from its summary."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from helpers.luck import LUCK
from helpers.made import Made

from convergence.report import luck, page
from convergence.reporting import figures, records
from convergence.reporting.figures import Drawn

TABLES = {"sources", "crossed", "twins", "doses", "seeds"}
FIGURES = {"sources", "twins", "forgiving", "consistency"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Made(more=LUCK).write(tmp_path_factory.mktemp("luck") / "study")


@pytest.fixture(scope="module")
def drawn(study: Path) -> dict[str, Drawn]:
    return {one.name: one for one in figures.draw(records.read(study)) if one.name in FIGURES}


@pytest.fixture(scope="module")
def tables(study: Path) -> dict[str, Any]:
    made = luck.all_made(records.read(study))
    return {name: (headers, rows, note) for name, _, headers, rows, note in made}


def test_every_figure_is_drawn(drawn: dict[str, Drawn]) -> None:
    """Protects the face of the experiment: each figure, as XML with its words as text."""
    assert set(drawn) == FIGURES
    for one in drawn.values():
        for svg in one.svgs():
            assert any(e.tag.endswith("text") for e in ElementTree.fromstring(svg).iter())
        assert one.png().startswith(b"\x89PNG")


def test_sentences_say_what_the_summary_says(drawn: dict[str, Drawn]) -> None:
    """Protects the sentences: the strongest single source, the threshold, the fastest rate."""
    assert "‘init’ moves the result most: standard deviation 0.02" in drawn["sources"].sentence
    assert "All that vary together: 0.024" in drawn["sources"].sentence
    assert "would make 0.0157" in drawn["sources"].sentence
    twins = drawn["twins"].sentence
    assert "neither grows nor dies at the setting's own rate (0.001)" in twins
    assert "From a rate of 0.005 [0.0040, 0.0070] on" in twins
    assert "fastest at 0.004" in drawn["forgiving"].sentence
    assert "from 0.02 at dose 0 to 0.05 at 0.4" in drawn["consistency"].sentence


@pytest.mark.parametrize(
    ("rate", "words"), [(0.0, "At every rate"), ("inf", "At no rate"), (None, "")]
)
def test_a_threshold_off_the_grid(rate: Any, words: str, tmp_path: Path) -> None:
    """Protects from an invented threshold: one beyond the grid is told as that."""
    told = copy.deepcopy(LUCK)
    told["twins"]["threshold"]["rate"] = rate
    made = figures.draw(records.read(Made(more=told).write(tmp_path / "s")))
    (found,) = (one for one in made if one.name == "forgiving")
    assert "From a rate" not in found.sentence
    assert words in found.sentence
    assert found.png().startswith(b"\x89PNG")


def test_an_envelope_is_drawn_with_the_twins(tmp_path: Path) -> None:
    """Protects the comparison of one rounding error with repeated ones: it has its own line."""
    told = copy.deepcopy(LUCK)
    steps = told["twins"]["steps"]
    line = [1e-8 * (1 + step) for step in steps]
    told["twins"]["envelope"] = {"rate": 0.001, "steps": steps} | dict.fromkeys(
        ("low", "median", "high"), line
    )
    made = figures.draw(records.read(Made(more=told).write(tmp_path / "s")))
    (found,) = (one for one in made if one.name == "twins")
    (legend,) = (panel.legend for panel in found.panels)
    assert [entry.label for entry in legend if entry.series is None] == [
        "rounding at every step, rate 0.001"
    ]
    assert found.svgs()[0].startswith("<svg")


def test_more_rates_than_styles(tmp_path: Path) -> None:
    """Protects the legend: at most as many rates as can be told apart, the setting's own in it."""
    told = copy.deepcopy(LUCK)
    one = told["twins"]["rates"][0]
    told["twins"]["rates"] = [one | {"rate": 0.001 * k} for k in range(1, 12)]
    told["twins"]["own"] = 0.002
    made = figures.draw(records.read(Made(more=told).write(tmp_path / "s")))
    (found,) = (drawn for drawn in made if drawn.name == "twins")
    labels = [entry.label for entry in found.panels[0].legend]
    assert len(labels) <= 5
    assert "rate 0.002" in labels
    assert labels[0] == "rate 0.001"
    assert labels[-1] == "rate 0.011"


def test_tables(tables: dict[str, Any]) -> None:
    """Protects the tables: estimates of shares are shown within 0 and 1, counts above the cap."""
    assert set(tables) == TABLES
    headers, rows, note = tables["sources"]
    assert all(len(row) == len(headers) for row in rows)
    assert rows[0][3:5] == ("60 %", "100 %")
    assert rows[1][3] == "0 %"
    assert rows[2][3:5] == ("–", "–")
    assert "Init, order: each of them alone does as much." in note
    assert tables["crossed"][1][1] == ("order", "0 % [0, 20]", "50 % [10, 90]")
    assert tables["seeds"][1][0][2] == "365 [190, >10000]"
    assert tables["twins"][1][0][2] == "2/8"
    assert all(len(row) == len(tables["twins"][0]) for row in tables["twins"][1])
    assert tables["doses"][1][1][3].endswith("∞]")


def test_they_are_in_the_page(study: Path) -> None:
    """Protects the way from summary to page: every table and figure is there."""
    text = page.write(study).read_text("utf-8")
    for name in TABLES:
        assert f'<table id="{name}"' in text
        assert (study / "tables" / f"{name}.tex").is_file()
    for name in FIGURES:
        assert f'id="figure-{name}"' in text


@pytest.mark.parametrize("name", ["sources", "twins", "consistency", "seeds_needed", "crossed"])
@pytest.mark.parametrize("junk", [5, [5], {"rates": 5, "doses": [1, 2], "steps": "x"}, "text"])
def test_a_summary_that_says_something_else(name: str, junk: Any, tmp_path: Path) -> None:
    """Protects the report of a damaged study: it is drawn without the summary, and says so."""
    folder = Made(more=LUCK | {name: junk}).write(tmp_path / "s")
    assert "summary.json cannot be used" in page.write(folder).read_text("utf-8")
