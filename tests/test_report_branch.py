"""What a report shows of a branch test, from its summary: undecided and diverged ones, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers.made import Made

from convergence.analysis import branches as judged
from convergence.report import branch, page
from convergence.reporting import figures, records

STEPS = [0, 20, 40, 60]
POINTS = (("earlier", 10), ("later", 50), ("later", 60))


def told(scores: np.ndarray, own: np.ndarray) -> dict[str, Any]:
    """A summary's ``branch``, as `BranchTest.to_json` makes it."""
    claims = [
        judged.claim_of(*one, 60, metric="accuracy", margin=0.01, direction=1) for one in POINTS
    ]
    verdict = judged.judge_branches(claims, scores, own)
    ways = []
    for (kind, point), values in zip((("own", 30), *POINTS), (own, *scores)):
        finite = np.isfinite(values).all()
        low, middle, high = np.quantile(values, [0.1, 0.5, 0.9]) if finite else [None] * 3
        ends = {"low": low, "median": middle, "high": high}
        curve = {k: [None, 0.1, None if v is None else 0.9 * v, v] for k, v in ends.items()}
        name = judged.OWN if kind == "own" else judged.name_of(kind, point, 60)
        ways.append({"name": name, "kind": kind, "point": point, "start": min(point, 30)} | ends)
        ways[-1] |= {"diverged": 0 if finite else len(values), "curve": curve}
    known = {"metric": "accuracy", "margin": 0.01, "split": "validation rows", "warmup": 0}
    run = {"schedule": "drop", "steps": 60, "point": 30, "gradual": False, "seeds": len(own)}
    return known | run | {"verdict": verdict.to_json(), "eval_steps": STEPS, "ways": ways}


def scores(gains: tuple[float, ...], noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    own = 0.8 + 0.01 * rng.normal(size=8)
    return own + np.array(gains)[:, None] + noise * rng.normal(size=(len(gains), 8)), own


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ((-0.1, 0.05, 0.0), "The rate was lowered too early: held to 50, the run gains 0.05"),
        ((0.06, 0.0, -0.1), "The rate was held too long: lowered at 10, the run gains 0.0"),
        ((-0.1, -0.02, -0.05), "In time: no branch ends better by the margin of 0.01"),
        ((-0.1, 0.005, -0.05), "Undecided: not settled whether it ends better held to 50"),
        ((-0.1, -0.02, np.nan), "In time: no branch"),
    ],
)
def test_figure_and_table_tell_the_verdict(
    gains: tuple[float, ...], said: str, tmp_path: Path
) -> None:
    """Protects the face of the test: each verdict in words, each way a row and a mark."""
    study = Made(
        more={"branch": told(*scores(gains, 0.02 if "Undecided" in said else 0.003))}
    ).write(tmp_path / "study")
    found = records.read(study)
    (drawn,) = [one for one in figures.draw(found) if one.name == "branches"]
    assert drawn.sentence.startswith(said)
    assert len(drawn.panels) == 2
    for svg in drawn.svgs():
        assert any(e.tag.endswith("text") for e in ElementTree.fromstring(svg).iter())
    assert drawn.png().startswith(b"\x89PNG")
    ((_, title, headers, rows, note),) = branch.all_made(found)
    assert said.split(":")[0].removeprefix("The rate was ").lower() in title
    assert len(rows) == 1 + len(POINTS)
    assert all(len(row) == len(headers) for row in rows)
    assert "8 seeds" in note
    if "early" in said:  # a page takes its time
        page.write(study)
        assert title in (study / "report.html").read_text()


def test_a_run_that_diverged_whole_has_no_figure_but_a_table(tmp_path: Path) -> None:
    """Protects the report where there is nothing to draw."""
    nothing = np.full((len(POINTS), 4), np.nan)
    study = Made(more={"branch": told(nothing, nothing[0])}).write(tmp_path / "study")
    found = records.read(study)
    assert not [one for one in figures.draw(found) if one.name == "branches"]
    ((_, title, _, _, _),) = branch.all_made(found)
    assert title == "Branch test: not applicable"
