"""The experiment on schedules: its arms, claims and flags, its advice, and what survives a stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import commands
from helpers.commands import Ended, launch, refused, summary

from convergence import data, flags, laboratory, names
from convergence.analysis.verdict import Verdict
from convergence.reporting import figures, records
from convergence.scheduling import compounds, wanted
from convergence.scheduling import design as designs
from convergence.scheduling.design import Design
from convergence.scheduling.options import USUAL_RATES
from convergence.spec import RunSpec, StudySpec
from convergence.study import Plan, resolve

NAME = "schedules"
OWN = "0:1,6:.1"
SMALL = (*commands.SMALL, "--notensorboard", f"--schedules=linear;drop;{OWN}")
RUN = RunSpec(metric="accuracy", margin=0.01)


@pytest.fixture(scope="module")
def both(base: Path) -> tuple[Ended, Path]:
    """A finished run of both parts."""
    more = ("--parts=schedules,optimizers", "--optimizers=sgd", "--budgets=4,16")
    return commands.once(base, "scheduling-both", NAME, *SMALL, *more)


def design(*arguments: str, steps: int = 100) -> Design:
    """The design of some flags."""
    module = commands.experiment(NAME)
    told = flags.from_arguments(arguments, NAME, module.PRESETS, "quick", module.EXTRA)
    told = wanted.with_own_budget(told, wanted.read(told))
    return wanted.read(told).design(told.setting, told.setting.train.steps or steps)


def test_all_schedules_have_one_grid_and_one_program() -> None:
    """Protects fairness and cost: the same rates for all, at all budgets, in one executable."""
    found = design("--dataset=iris", "--batch_size=8")
    assert found.budgets == (100, 400, 1600)
    assert {option.name for option in found.options} == set(names.SCHEDULES)
    tuned = found.tuned(found.factors)
    assert len(tuned) == len(names.SCHEDULES) * 3 * 5
    by_cell: dict[Any, set[float]] = {}
    for arm in tuned:
        changes = dict(arm.changes)
        cell = changes["schedule"], changes["steps"]
        by_cell.setdefault(cell, set()).add(changes["learning_rate"])
    assert len({tuple(sorted(rates)) for rates in by_cell.values()}) == 1
    told = flags.from_arguments(("--dataset=iris", "--batch_size=8"), NAME)
    study = StudySpec(NAME, "", told.setting, RUN, found.compared({}))
    plan = Plan(resolve(study, data.load(told.setting.data)), data.load(told.setting.data))
    assert len(plan.groups) == 1


def test_optimisers_have_grids_of_the_same_number_around_their_own_rates() -> None:
    """Protects the comparison of optimisers: as many tries for each, where each is usually run."""
    found = design("--parts=optimizers", "--learning_rate=0.002", "--reference=linear")
    assert {option.name for option in found.options} == set(names.OPTIMIZERS)
    for option in found.options:
        rates = found.rates(option, found.factors)
        assert len(rates) == 5
        assert min(rates) < option.centre < max(rates)
        flat = option.name.startswith("schedule_free")
        assert dict(option.changes)["schedule"] == ("constant" if flat else "linear")
    assert found.option("adam").centre == 0.002  # the study's own
    assert set(USUAL_RATES) | set(names.RATE_FREE) == set(names.OPTIMIZERS)


def test_the_budget_of_the_users_own_setting() -> None:
    """Protects the confirmation: it is held at --steps, else at the middle of --budgets."""
    assert design("--budgets=10,20,40").own == 20
    found = design("--budgets=10,40", "--steps=30")
    assert (found.own, found.budgets) == (30, (10, 30, 40))


def test_claims_and_their_families() -> None:
    """Protects the correction: what is asked together is corrected together, budget by budget."""
    found = design("--schedules=linear;drop;exponential;one_cycle", "--budgets=10,20")
    claims = designs.claims(found, RUN, 1)
    families: dict[str, list[Any]] = {}
    for claim in claims:
        families.setdefault(claim.family, []).append(claim)
    assert [c.treatment for c in families["primary"]] == [
        "cosine at 10 steps",
        "cosine at 20 steps",
    ]
    assert {c.kind for c in families["linear and cosine"]} == {"non-inferiority", "superiority"}
    for steps in (10, 20):
        constant = families[f"against constant, {steps} steps"]
        assert [c.treatment.split()[0] for c in constant] == [
            *("linear", "drop", "exponential", "one_cycle"),
        ]
        serve = families[f"against cosine, {steps} steps"]
        assert {c.kind for c in serve} == {"non-inferiority"}
        assert len(serve) == 3  # linear has a family of its own
    assert all(c.treatment.endswith(c.control.partition(" at ")[2]) for c in claims)
    keys = [(c.treatment, c.control, c.kind) for c in claims]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--parts=schedule",), "--parts: unknown part 'schedule'; did you mean 'schedules'"),
        (("--parts=,",), "--parts: is empty"),
        (("--optimizers=adamm",), "--optimizers: unknown optimizer 'adamm'; did you mean 'adam"),
        (("--reference=constant",), "--reference: constant is held against all others anyway"),
        (("--reference=cosin",), "--reference: unknown schedule 'cosin'; did you mean 'cosine'"),
        (("--budgets=10,x",), "--budgets: 'x' is not a whole number"),
        (("--budgets=0,10",), "--budgets: 0 is out of range; must be at least 1"),
        (("--warmup=9", "--budgets=9,50"), "--budgets: a budget of 9 steps is used up by the 9"),
        (("--warmup=9", "--steps=20"), "--budgets: a budget of 5 steps (a quarter of 20 steps)"),
        (("--rates=0.1,fast",), "--rates: 'fast' is not a number"),
        (("--rates=0",), "--rates: 0 is out of range; must be above 0"),
        (("--num_rates=0",), "--num_rates: 0 is out of range"),
        (("--tuning_seeds=0",), "--tuning_seeds: 0 is out of range"),
        (("--extensions=-1",), "--extensions: -1 is out of range"),
        (("--learning_rate=0",), "--learning_rate: 0 is no centre for a grid of rates"),
        (("--twin",), "--twin: has no part in this experiment"),
        (("--schedules=0:1,x:.1",), "'x:.1' is not a pair step:factor"),
    ],
)
def test_what_makes_no_sense_is_told(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    """Protects from bad flags: a sentence, exit 2, and nothing made."""
    workdir = tmp_path / "study"
    ended = launch(NAME, *commands.SMALL, *arguments, f"--workdir={workdir}")
    assert told in refused(ended, NAME)
    assert not workdir.exists()


def test_both_parts_are_told(both: tuple[Ended, Path]) -> None:
    """Protects the answer: a table for each part and budget, claims made of parts, the advice."""
    ended, workdir = both
    assert ended.status == 0, ended.err
    assert max(map(len, ended.lines)) <= 80
    told = summary(workdir)
    assert told["budgets"] == [4, 16]
    for steps in told["budgets"]:
        assert f"Schedules at {steps} steps" in ended.out
        assert f"Optimisers at {steps} steps" in ended.out
        for name in ("schedules", "optimizers", "tuned-schedules", "tuned-optimizers"):
            text = (workdir / "tables" / f"{name}-{steps}.md").read_text()
            assert ("| sgd |" in text) == ("optimizers" in name)
            assert ("| drop |" in text) == ("schedules" in name)
    for cell in told["tuning"]["cells"]:
        assert len(cell["rates"]) == len(told["tuning"]["cells"][0]["rates"])
        assert cell["scores"][cell["rates"].index(cell["rate"])] == max(
            score for score in cell["scores"] if score is not None
        )
    assert told["recommendation"]["decision"] in (
        "holds",
        "fails",
        "undecided",
        "nothing to confirm",
    )
    assert "0:1,6:.1" in next(
        ", ".join(one["options"]) for one in told["alike"] if one["steps"] == 4
    )


def test_compounds_need_every_part(both: tuple[Ended, Path]) -> None:
    """Protects "all serve": it holds where each part does, and fails where one fails."""
    told = summary(both[1])
    for one in told["compounds"]:
        decisions = {part["decision"] for part in one["parts"]}
        assert (one["decision"] == "holds") == (decisions == {"holds"})
        assert (one["decision"] == "fails") == ("fails" in decisions)
    verdicts = [Verdict.from_json(one) for one in told["verdicts"]]
    found = compounds.found(design(*SMALL, "--budgets=4,16"), verdicts)
    assert [(one.id, len(one.parts)) for one in found] == [
        *(("3b", 2), ("3e", 2), ("3e", 2), ("3e", 4)),
    ]


def test_the_figures(both: tuple[Ended, Path]) -> None:
    """Protects the figures: differences by budget, the tuning, and the rates at one budget."""
    told = records.read(both[1])
    drawn = {figure.name: figure for figure in figures.draw(told)}
    assert {"by_budget", "tuning", "rate"} <= set(drawn)
    assert len(drawn["by_budget"].panels) == 2
    assert len(drawn["tuning"].panels) == 4
    labels = [entry.label for panel in drawn["rate"].panels for entry in panel.legend]
    assert all(label == "default" or label.endswith("at 16 steps") for label in labels)
    for name in ("by_budget", "tuning"):
        assert all(svg.startswith("<svg") for svg in drawn[name].svgs())
    page = (both[1] / "report.html").read_text()
    assert "What each rate scored in the tuning" in page
    assert "tuning-arms" not in page


@pytest.mark.parametrize("after", ["tuning", pytest.param("comparison", marks=pytest.mark.slow)])
def test_a_study_stopped_anywhere_ends_in_the_same_bits(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """Protects --resume: stopped after the tuning or the comparison, the records are the same."""
    arguments = (*SMALL, "--budgets=8,16")
    whole, uninterrupted = commands.once(base, "scheduling-small", NAME, *arguments)
    assert whole.status == 0, whole.err
    really = laboratory.Laboratory.conduct

    def conduct(self: Any, study: Any, workdir: Any, title: str, want: Any = None) -> Any:
        history = really(self, study, workdir, title, want)
        if title == after:
            raise KeyboardInterrupt
        return history

    with monkeypatch.context() as patch:
        patch.setattr(laboratory.Laboratory, "conduct", conduct)
        assert launch(NAME, *arguments, f"--workdir={tmp_path}").status == 130
    ended = launch(NAME, *arguments, f"--workdir={tmp_path}", "--resume")
    assert ended.status == 0, ended.err
    assert commands.differing(uninterrupted, tmp_path) == []
    assert summary(tmp_path) == summary(uninterrupted)
    other = launch(NAME, *arguments, "--seed=5", f"--workdir={tmp_path}", "--resume")
    assert "has other settings: run.seed was 0, now 5" in refused(other, NAME)


@pytest.mark.slow
def test_epochs_are_a_budget_like_steps(base: Path, tmp_path: Path) -> None:
    """Protects --epochs: the user's own setting is as long as it says, budgets lie around it."""
    more = ("--schedules=linear", "--epochs=2", "--notensorboard")
    ended = launch(NAME, *commands.SMALL, *more, f"--workdir={tmp_path}")
    assert ended.status == 0, ended.err
    told = summary(tmp_path)
    assert (told["own"], told["budgets"]) == (24, [6, 24, 96])
