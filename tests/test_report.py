"""The page that a study leaves: whole, self-contained, escaped, honest about what is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.made import HOSTILE, MORE, PROVENANCE, Made
from helpers.markup import Page

from convergence import laboratory, spec
from convergence.analysis.verdict import Verdict
from convergence.errors import UserError
from convergence.report import answer, exhibits, page
from convergence.reporting import records, tables
from convergence.reporting.workdir import Workdir

ROOT = Path(__file__).resolve().parent.parent
MANY = ("base", *HOSTILE, *(f"arm {k}" for k in range(33)))
CASES = {
    "usual": Made(more=MORE),
    "one arm": Made(arms=("base",), claims=False),
    "one seed": Made(seeds=1),
    "two seeds": Made(seeds=2),
    "many": Made(arms=MANY, diverged=2),
    "all of an arm diverged": Made(diverged=6),
    "no trial": Made(seeds=0, summary=False, curves=False),
    "failed before its trials": Made(status="failed", summary=False, curves=False, trials=False),
    "failed after them": Made(status="failed", summary=False),
    "interrupted": Made(status="interrupted", summary=False, trials=False),
    "running": Made(status="running", summary=False, curves=False),
    "no curves": Made(curves=False),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Page]]:
    """Every case's folder and page."""
    found = {}
    for name, made in CASES.items():
        folder = made.write(tmp_path_factory.mktemp("made") / "study")
        found[name] = (folder, Page(page.write(folder).read_text("utf-8")))
    return found


@pytest.mark.parametrize("case", CASES)
def test_whole_and_alone(case: str, drawn: dict[str, tuple[Path, Page]]) -> None:
    """Protects forwarding: well-formed, unique ids, and nothing is fetched or run."""
    folder, read = drawn[case]
    assert read.unclosed == []
    assert len(read.ids) == len(set(read.ids))
    assert not {"script", "img", "iframe", "object", "embed", "base"} & set(read.tags)
    for tag, name, value in read.attributes:
        assert not name.startswith("on"), (tag, name, value)
        if name in ("href", "src", "xlink:href"):
            assert value.startswith(("#", "data:")), (tag, value)
            assert value == "data:," or value[1:] in read.ids
    text = (folder / "report.html").read_text("utf-8")
    for address in re.findall(r"(?:https?:)?//[\w.]+", text):
        assert address == "http://www.w3.org" or "e.example" in address, address
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert all(part[1:] in read.ids for part in re.findall(r"url\((#[^)]*)\)", text))
    assert [p.name for p in folder.glob(".*.part")] == []


@pytest.mark.parametrize("case", CASES)
def test_accessible(case: str, drawn: dict[str, tuple[Path, Page]]) -> None:
    """Protects readers who listen: captions, scopes, and a label on every drawing."""
    _, read = drawn[case]
    assert read.tags.count("table") == read.tags.count("caption")
    assert read.tags.count("th") == sum(name == "scope" for _, name, _ in read.attributes)
    assert read.tags.count("figure") == read.tags.count("figcaption")
    labels = read.values("aria-label")
    assert read.tags.count("svg") == read.values("role").count("img") < len(labels) + 1
    assert ("html", "lang", "en") in read.attributes
    for reference in read.values("aria-labelledby"):
        assert reference in read.ids


def test_every_claim_has_its_verdict(drawn: dict[str, tuple[Path, Page]]) -> None:
    """Protects the answer: each claim stands in the page and in the tables with its decision."""
    for case in ("usual", "many", "one seed"):
        folder, read = drawn[case]
        words = " ".join(read.words.split())
        for one in json.loads((folder / "summary.json").read_text())["verdicts"]:
            verdict = Verdict.from_json(one)
            statement = " ".join(tables.clean(verdict.claim.statement).split())
            assert f"{verdict.claim.id} {statement}" in words or "*" in words
            assert verdict.decision in words
    told = (drawn["usual"][0] / "tables" / "claims.md").read_text()
    assert "rate=0.01 beats base" in told
    assert "holds" in told


def test_names_are_text(drawn: dict[str, tuple[Path, Page]]) -> None:
    """Protects a reader from names: whatever they hold is shown, and never markup."""
    folder, read = drawn["many"]
    words = " ".join(read.words.split())
    for name in HOSTILE:
        assert " ".join(tables.clean(name).split()) in words
    assert "‮" not in read.words
    assert "\x1b" not in read.words
    text = (folder / "report.html").read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    markdown = (folder / "tables" / "arms-clean.md").read_text()
    assert "<script" not in markdown
    assert r"\[d\](http://e.example)" in markdown
    assert len(list((folder / "tables").glob("*.tex"))) == len(
        list((folder / "tables").glob("*.md"))
    )


def test_all_arms_are_there(drawn: dict[str, tuple[Path, Page]]) -> None:
    """Protects completeness: forty arms are all in the table, and in the figures of curves."""
    folder, read = drawn["many"]
    table = (folder / "tables" / "arms-clean.md").read_text()
    assert table.count("\n| ") == len(MANY) + 2  # headers and the rule below the headers
    for name in (name for name in MANY if name.startswith("arm ")):
        assert read.words.count(name) >= 3
    assert (folder / "report.html").stat().st_size < 1_500_000


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("failed before its trials", "This study failed"),
        ("failed before its trials", "ValueError: <b>bad</b>"),
        ("failed before its trials", "trials.parquet is not there."),
        ("failed before its trials", "There is nothing to draw"),
        ("failed after them", "There is no answer yet"),
        ("failed after them", "No summary was written"),
        ("failed after them", "no verdict"),
        ("interrupted", "This study was interrupted"),
        ("running", "had not ended"),
        ("no trial", "none recorded"),
        ("all of an arm diverged", "6 of 18 trials diverged"),
        ("all of an arm diverged", "First non-finite steps"),
        ("one seed", "One seed: there is no band."),
        ("two seeds", "lowest to highest of 2 seeds"),
        ("usual", "10th to 90th percentile of 6 seeds"),
        ("usual", "Seeds lie furthest apart when init varies"),
        ("usual", "too low (0.001)"),
        ("usual", "not applicable (no such arm)"),
        ("usual", "--flagfile=flags.txt"),
        ("usual", "abc123 (edited)"),
        ("usual", "da7a"),
        ("no curves", "curves.npz is not there."),
    ],
)
def test_says_so(case: str, said: str, drawn: dict[str, tuple[Path, Page]]) -> None:
    """Protects honesty: what ended a study, what is missing, and what a band is, is said."""
    assert said in " ".join(drawn[case][1].words.split())


def test_one_arm_is_not_compared(drawn: dict[str, tuple[Path, Page]]) -> None:
    """Protects the page of a single arm: no empty section, no comparison."""
    read = drawn["one arm"][1]
    assert "claims" not in read.ids
    assert "figure-differences" not in read.ids
    assert "figure-loss" in read.ids
    assert "over 6 seeds" in read.words


def test_drawn_again_it_is_the_same(tmp_path: Path) -> None:
    """Protects redrawing: equal files give an equal page and equal tables."""
    folder = Made(more=MORE).write(tmp_path / "study")
    first = page.write(folder).read_bytes()
    tables_then = {p.name: p.read_bytes() for p in (folder / "tables").iterdir()}
    assert page.write(folder).read_bytes() == first
    assert {p.name: p.read_bytes() for p in (folder / "tables").iterdir()} == tables_then


def recommended(decision: str, effect: float, low: float, high: float) -> dict[str, Any]:
    claim = {"id": "confirmation", "statement": "the recommended setting beats the default",
             "treatment": "recommended", "control": "default", "kind": "superiority",
             "direction": 1, "metric": "accuracy", "margin": 0.01, "family": "confirmation",
             "challenge": None}  # fmt: skip
    verdict = Made().summary_json()["verdicts"][0]
    verdict |= {"claim": claim, "decision": decision, "reason": ""}
    verdict |= {"effect": effect, "low": low, "high": high}
    flags = ["--learning_rate=0.1"]
    told = {"setting": "rate=0.1", "flags": flags, "decision": decision, "verdict": verdict}
    return MORE | {"recommendation": told}


def test_confirmed_recommendation(tmp_path: Path) -> None:
    """Protects the advice: a confirmed setting is told with its effect and its flagfile."""
    folder = Made(more=recommended("holds", 0.05, 0.03, 0.07)).write(tmp_path / "study")
    Workdir.open(folder).write_text("recommended.txt", "--dataset=digits\n--learning_rate=0.1\n")
    words = " ".join(Page(page.write(folder).read_text()).words.split())
    assert "Change the setting: --learning_rate=0.1." in words
    assert "Recommended, confirmed" in words
    assert "accuracy +0.050 [0.030, 0.070] against the default" in words
    assert "--dataset=digits --learning_rate=0.1" in words


def test_withdrawn_recommendation(tmp_path: Path) -> None:
    """Protects from bad advice: what was not confirmed is not recommended."""
    folder = Made(more=recommended("undecided", 0.0, -0.03, 0.03)).write(tmp_path / "study")
    words = " ".join(Page(page.write(folder).read_text()).words.split())
    assert "Keep the default setting." in words
    assert "Withdrawn" in words
    assert "Recommended, confirmed" not in words
    none = {"setting": None, "flags": [], "decision": "nothing to confirm", "verdict": None}
    told = records.read(Made(more=MORE | {"recommendation": none}).write(tmp_path / "other"))
    made = answer.recommendation(told)
    assert made
    assert made.decision == ""
    assert "no test row was read" in made.sentence


BROKEN: dict[str, Any] = {
    "a list": [],
    "a word": {"verdicts": ["holds"], "arms": []},
    "half a verdict": {"verdicts": [{"decision": "holds"}]},
    "arms of nothing": {"arms": [{"arm": "base"}]},
    "no numbers": {"spread": [{"varies": "x", "sd": "wide", "low": 0, "high": 1, "n": 1}]},
    "an odd recommendation": {"recommendation": {"verdict": {"effect": 1}}},
    "odd rates": {"rates": [3]},
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_summary(name: str, tmp_path: Path) -> None:
    """Protects the page from a file that is not ours: it is left out, and that is said."""
    folder = Made(summary=False).write(tmp_path / "study")
    (folder / "summary.json").write_text(json.dumps(BROKEN[name]))
    read = Page(page.write(folder).read_text())
    assert "summary.json" in read.words
    assert "figure-loss" in read.ids


def script(*folders: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "report.py"), *map(str, folders)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_script(tmp_path: Path) -> None:
    """Protects redrawing by hand: the page's path, or a sentence and status 2."""
    folder = Made(seeds=2, curves=False).write(tmp_path / "study")
    done = script(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Report: {folder.resolve() / 'report.html'}\n"
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"workdir_version": 99}))
    for wrong, said in ((folder, "newer version"), (tmp_path / "none", "there is no study")):
        refused = script(wrong)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert refused.stderr.startswith("report: ")
        assert len(refused.stderr.splitlines()) == 1
    with pytest.raises(UserError, match="newer version"):
        page.write(folder)


def test_a_page_that_cannot_be_drawn_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the study: a fault of the page is told, not raised."""
    workdir = Workdir.open(Made(seeds=2).write(tmp_path / "study"))
    assert laboratory.draw_report(workdir) == ""
    monkeypatch.setattr(page, "write", lambda path: 1 / 0)
    assert "ZeroDivisionError" in laboratory.draw_report(workdir)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyboardInterrupt(), "This study was interrupted"),
        (ValueError("x < y"), "ValueError: x < y"),
    ],
)
def test_a_study_that_ends_early_leaves_a_page(
    error: BaseException, said: str, tmp_path: Path
) -> None:
    """Protects what there is: the page is drawn, and what ended the study comes through."""
    made = Made(summary=False)
    workdir = Workdir.prepare(tmp_path / "study", spec.to_json(made.study()), PROVENANCE)

    def study() -> None:
        with laboratory.reported(workdir):
            workdir.write_parquet("trials.parquet", made.trials_table())
            workdir.write_npz("curves.npz", made.curves_arrays())
            workdir.save_block(0, {"x": [1]})
            raise error

    with pytest.raises(type(error)):
        study()
    read = Page((tmp_path / "study" / "report.html").read_text("utf-8"))
    words = " ".join(read.words.split())
    assert said in words
    assert "1 finished block of trials" in words
    assert "figure-loss" in read.ids


def test_tables_have_a_cell_for_every_header(tmp_path: Path) -> None:
    """Protects the tables' shape in all three forms."""
    told, verdicts = page.sound(records.read(Made(more=MORE).write(tmp_path / "study")))
    found = exhibits.all_tables(told, verdicts)
    assert {"claims", "arms-clean", "choices", "rates", "spread", "descent"} <= {
        table.name for table in found
    }
    for table in found:
        assert all(len(row) == len(table.headers) for row in table.rows)
        assert len(table.numeric) == len(table.headers)
        assert table.tex().count(" & ") == (len(table.rows) + 1) * (len(table.headers) - 1)
