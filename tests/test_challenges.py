"""The main job's design: what each arm changes, and which claims are made of them."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.fabricated import dataset, setting, study

from convergence import challenges, names, spec
from convergence.challenges import DEFAULT, FACTORS, PRIMARY, TOPICS, Asked, Comparison
from convergence.data import load
from convergence.plan import Plan
from convergence.spec import DataSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import resolve

TASKS = ("classification", "regression")
# Settings that already have what an arm would change.
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("classification", {}),
    ("regression", {}),
    ("classification", {"model": "linear", "hidden": ()}),
    ("regression", {"model": "linear", "hidden": (16,)}),
    ("classification", {"init": "orthogonal", "schedule": "cosine", "loss": "gce"}),
    ("classification", {"init": "zeros", "schedule": "drop", "loss": "cross_entropy"}),
    ("classification", {"loss": "hinge", "dropout": 0.2, "weight_decay": 0.01}),
    ("regression", {"loss": "mae", "schedule": "0:1,9:0.1", "weight_decay": 0.5}),
    ("regression", {"loss": "huber", "init": "glorot_uniform", "init_scale": 0.3}),
    ("classification", {"label_noise": 0.3, "schedule": "time_based"}),
    ("regression", {"outliers": 0.4, "warmup": 3}),
]
IDS = [f"{task} {' '.join(map(str, changes.values()))}" for task, changes in SETTINGS]


@pytest.mark.parametrize(("task", "changes"), SETTINGS, ids=IDS)
def test_arms_change_one_thing(task: str, changes: dict[str, Any]) -> None:
    """Protects the control: an arm differs from the default in one field, and in that it does.

    Where targets are spoiled, that is told by the name, and comes beside the one thing.
    """
    laid, made = study(task, **changes)
    base = laid.setting
    assert made.arms[0].name == DEFAULT
    assert laid.arm_setting(made.arms[0]) == base
    dose = {"label_noise", "outliers"}
    assert len({arm.name for arm in made.arms}) == len(made.arms)
    for arm in made.arms[1:]:
        changed = dict(arm.changes)
        assert all(base.get(name) != value for name, value in changed.items()), arm
        spoiled = set(changed) & dose
        assert bool(spoiled) == arm.name.endswith("spoiled")
        others = set(changed) - dose
        expected = 0 if arm.name in ("spoiled", "one-bit twin") or "varies" in arm.name else 1
        assert len(others) == expected, arm
        assert arm.twin == (arm.name == "one-bit twin")
        if spoiled:
            assert "corrupt" in (arm.vary or ())
            assert set(laid.run.vary) < set(arm.vary or ())
        elif "varies" not in arm.name:
            assert arm.vary is None


@pytest.mark.parametrize(("task", "changes"), SETTINGS, ids=IDS)
def test_everything_fits(task: str, changes: dict[str, Any]) -> None:
    """Protects the main job from a refusal of its own arms, and from needless programs."""
    laid, made = study(task, **changes)
    found = Plan(laid, dataset(task))
    widths = 3 if made.hidden else 1
    assert len(found.groups) == widths
    assert sum(len(group.trials) for group in found.groups) == len(made.arms) * 8


@pytest.mark.parametrize(("task", "changes"), SETTINGS, ids=IDS)
def test_choices_can_be_recommended(task: str, changes: dict[str, Any]) -> None:
    """Protects advice: a choice is an arm on the user's own data, seeds and start."""
    _, made = study(task, **changes)
    arms = {arm.name: arm for arm in made.arms}
    assert tuple(made.choices) == FACTORS
    told = [name for names_ in made.choices.values() for name in names_]
    assert len(set(told)) == len(told)
    for name in told:
        assert arms[name].vary is None
        assert not arms[name].twin
        assert not {"label_noise", "outliers"} & set(dict(arms[name].changes))
    assert "init=zeros" not in told
    assert bool(made.choices["capacity"]) == bool(made.hidden)
    assert all(made.choices[factor] for factor in FACTORS if factor != "capacity")


@pytest.mark.parametrize(("task", "changes"), SETTINGS, ids=IDS)
def test_claims(task: str, changes: dict[str, Any]) -> None:
    """Protects the tables: one primary claim a challenge, each about arms that are there."""
    laid, made = study(task, **changes)
    asked = challenges.comparisons(laid, made, task)
    there = {arm.name for arm in made.arms}
    for one in asked:
        if isinstance(one, Asked):
            continue
        claim = one.claim
        assert {claim.treatment, claim.control} <= there
        assert set(one.clean) <= there | {""}
        assert (one.measure == "harm") == all(one.clean)
        same = claim.treatment == claim.control
        assert not same or (one.measure == "distance" and "varies" in claim.treatment), claim
        assert claim.margin == laid.run.margin
        assert claim.metric.split()[0] == laid.run.metric
        better = 1 if laid.run.metric in names.HIGHER_IS_BETTER else -1
        assert claim.direction == (better if one.measure in ("metric", "harm") else 1)
        assert claim.family in (PRIMARY, TOPICS[claim.challenge or 0])
    statements = [
        one.claim.statement if isinstance(one, Comparison) else one.statement for one in asked
    ]
    assert len(set(statements)) == len(statements)
    first = [
        one.claim for one in asked if isinstance(one, Comparison) and one.claim.family == PRIMARY
    ]
    assert [claim.challenge for claim in first] == [1, 2, 3, 4, 5]
    numbers = [
        one.claim.challenge if isinstance(one, Comparison) else one.challenge for one in asked
    ]
    assert numbers == sorted(numbers)


def claims(task: str, **changes: Any) -> dict[str, tuple[str, str]]:
    """Treatment and control by statement; of what cannot be asked, the reason."""
    laid, made = study(task, **changes)
    found = {}
    for one in challenges.comparisons(laid, made, task):
        if isinstance(one, Comparison):
            found[one.claim.statement] = (one.claim.treatment, one.claim.control)
        else:
            found[one.statement] = ("", one.reason)
    return found


def test_what_is_compared() -> None:
    """Protects the meaning of the statements: which arm is held against which."""
    told = claims("classification")
    assert told["a start 10x larger is worse"] == (DEFAULT, "init_scale=10")
    assert told["a start 10x smaller is worse"] == (DEFAULT, "init_scale=0.1")
    harm = "spoiled targets harm gce less than cross_entropy"
    assert told[harm] == ("loss=gce spoiled", "spoiled")
    assert told["a rate that comes down (cosine) beats a constant one"] == (
        "schedule=cosine",
        DEFAULT,
    )
    assert told["one flipped bit moves the result"] == ("one-bit twin", DEFAULT)
    assert told["weight decay helps on spoiled targets"] == ("decay=0.01 spoiled", "spoiled")
    assert told["a wider model has the larger gap"] == ("wide", "narrow")
    assert told["an 8x narrower model is worse"] == (DEFAULT, "narrow")
    assert told["split alone moves the result"] == ("only split varies",) * 2
    assert "dropout alone moves the result" not in told
    assert "dropout alone moves the result" in claims("classification", dropout=0.1)


def test_what_is_compared_where_the_setting_has_it_already() -> None:
    """Protects settings of the user's: own loss, schedule and start stand for the default's."""
    told = claims("classification", loss="gce", schedule="linear", init="he_normal")
    harm = "spoiled targets harm gce less than cross_entropy"
    assert told[harm] == ("spoiled", "loss=cross_entropy spoiled")
    down = "a rate that comes down (linear) beats a constant one"
    assert told[down] == (DEFAULT, "schedule=constant")
    assert "linear is no worse than constant" not in told
    assert told["cosine is no worse than constant"] == ("schedule=cosine", "schedule=constant")
    assert "he_normal serves as well" not in told
    assert told["cross_entropy serves as well"] == ("loss=cross_entropy", DEFAULT)


def test_what_cannot_be_asked() -> None:
    """Protects models without widths, and a start of zeros, from questions that mean nothing."""
    for hidden in ((), (16,)):  # a preset's or a flag's: linear has no use for it
        told = claims("regression", model="linear", hidden=hidden)
        for statement in ("an 8x narrower model is worse", "a wider model has the larger gap"):
            assert told[statement] == ("", "this model or setting has no such arm")
    assert claims("regression", init="zeros")["all weights zero is worse"][0] == ""


@pytest.mark.parametrize(
    ("task", "changes", "field", "dose"),
    [
        ("classification", {}, "label_noise", 0.2),
        ("classification", {"label_noise": 0.3}, "label_noise", 0.6),
        ("classification", {"label_noise": 0.7}, "label_noise", 1.0),
        ("regression", {}, "outliers", 0.1),
        ("regression", {"outliers": 0.2}, "outliers", 0.4),
    ],
)
def test_doses(task: str, changes: dict[str, Any], field: str, dose: float) -> None:
    """Protects the contrast on data that are spoiled from the first: it takes more to differ."""
    assert challenges.spoiling(setting(task, **changes), task) == {field: dose}


@pytest.mark.parametrize(
    ("own", "doses"), [(0.0, (1e-4, 1e-2)), (1e-4, (1e-2,)), (1e-2, (1e-3, 0.1))]
)
def test_decays(own: float, doses: tuple[float, ...]) -> None:
    """Protects the decay arms from being the default again; the strongest is above its own."""
    found = challenges.decays(setting("regression", weight_decay=own))
    assert found == pytest.approx(doses)


def test_widths(tmp_path: Any) -> None:
    """Protects capacity: narrower and wider by the stated factors, never below one unit."""
    _, made = study("classification", hidden=(20, 4))
    arms = {arm.name: dict(arm.changes) for arm in made.arms}
    assert arms["narrow"] == {"hidden": (2, 1)}
    assert arms["wide"] == {"hidden": (80, 16)}
    _, made = study("classification", hidden=())
    assert made.hidden == (128, 128)
    own = tmp_path / "own.py"
    own.write_text("net = None\n")
    made = challenges.design(setting("regression", model=f"{own}:net"), dataset("regression"), ())
    assert made.hidden == ()


def test_bundled_datasets() -> None:
    """Protects the main job on images and series: the default widths are those of their models."""
    for name, model, hidden in (("digits", "cnn", (16, 32)), ("mnist1d", "gru", (32,))):
        base = Setting(DataSpec(dataset=name)).changed({"model": model})
        assert challenges.design(base, load(base.data), ("init",)).hidden == hidden
    found = Setting(DataSpec(dataset="digits"), train=TrainSpec(steps=5))
    made = challenges.design(found, load(found.data), RunSpec().vary)
    laid = StudySpec(setting=found, run=RunSpec(num_seeds=1), arms=made.arms)
    assert len(Plan(resolve(spec.validate(laid), load(found.data)), load(found.data)).groups) == 3
