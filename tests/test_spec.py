"""The spec of a study: JSON and back, its digest, and values that are refused."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence import names, spec
from convergence.errors import UserError
from convergence.spec import Arm, RunSpec, Setting, StudySpec

PARTS = {"data": spec.DataSpec, "model": spec.ModelSpec, "train": spec.TrainSpec, "run": RunSpec}
FIELDS = [(part, field) for part, cls in PARTS.items() for field in dataclasses.fields(cls)]
IDS = [field.name for _, field in FIELDS]
FILE_ONLY = ("data_path", "target", "test_path")  # read with dataset=file alone


def values(field: dataclasses.Field[Any]) -> st.SearchStrategy[Any]:
    """Valid values of a field, from its metadata."""
    meta, default = field.metadata, field.default
    if field.name in FILE_ONLY:
        return st.just("")
    if "choices" in meta:
        one = st.sampled_from([c for c in meta["choices"] if c != "file"])
        return st.lists(one, max_size=4).map(tuple) if isinstance(default, tuple) else one
    if isinstance(default, bool):
        return st.booleans()
    if isinstance(default, float):
        return st.floats(meta["low"], meta.get("high", 1e30))
    whole = st.integers(meta["low"], meta.get("high", 2**30))
    return st.lists(whole, max_size=3).map(tuple) if isinstance(default, tuple) else whole


def part(name: str) -> st.SearchStrategy[Any]:
    return st.builds(PARTS[name], **{f.name: values(f) for f in dataclasses.fields(PARTS[name])})


@st.composite
def studies(draw: st.DrawFn) -> StudySpec:
    """Any valid study of up to three arms."""
    train = dataclasses.replace(draw(part("train")), accumulate=1)
    arms = []
    for name in draw(st.lists(st.text(max_size=5), min_size=1, max_size=3, unique=True)):
        rate, widths = draw(st.floats(0, 1)), draw(st.lists(st.integers(1, 9)).map(tuple))
        vary = draw(st.none() | st.lists(st.sampled_from(names.SOURCES)).map(tuple))
        made = Arm.of(name, vary, draw(st.booleans()), hidden=widths, learning_rate=rate)
        arms.append(made)
    setting = Setting(draw(part("data")), draw(part("model")), train)
    told = draw(st.text()), draw(st.text())
    return StudySpec(*told, setting, draw(part("run")), tuple(arms), tuple(arms[1:]))


@settings(max_examples=60, deadline=None)
@given(studies())
def test_json_and_back(study: StudySpec) -> None:
    """Protects resuming and repeating: a spec that was written down is read back the same."""
    plain = json.loads(json.dumps(spec.to_json(study), allow_nan=False))
    again = spec.from_json(plain)
    assert again == study
    assert spec.digest(again) == spec.digest(study) == spec.digest(plain)
    assert spec.differences(plain, spec.to_json(again)) == []


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=IDS)
def test_every_field_changes_the_digest(name: str, field: dataclasses.Field[Any]) -> None:
    """Protects resuming under other settings from going unnoticed, whichever field it is."""
    base = StudySpec()
    owner = base.run if name == "run" else getattr(base.setting, name)
    choices, value = field.metadata.get("choices"), getattr(owner, field.name)
    if choices:
        other: Any = next(c for c in choices if c != value)
        other = (other,) if isinstance(value, tuple) else other
    elif isinstance(value, bool):
        other = not value
    else:
        other = {str: "x", tuple: (3,)}.get(type(value)) or value + 1
    changed = dataclasses.replace(owner, **{field.name: other})
    if name == "run":
        study = dataclasses.replace(base, run=changed)
    else:
        study = dataclasses.replace(
            base, setting=dataclasses.replace(base.setting, **{name: changed})
        )
    path = f"run.{field.name}" if name == "run" else f"setting.{name}.{field.name}"
    found = spec.differences(spec.to_json(base), spec.to_json(study))
    assert [where for where, _, _ in found] == [path]
    assert spec.digest(base) != spec.digest(study)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"question": "why?"},
        {"arms": (Arm("base", vary=("init",)),)},
        {"arms": (Arm("base", twin=True),)},
        {"arms": (Arm.of("base", steps=3),)},
        {"arms": (Arm("base"), Arm("more"))},
        {"context": (Arm("more"),)},
    ],
)
def test_the_study_changes_the_digest(change: dict[str, Any]) -> None:
    """Protects the digest from missing what is not a field of a setting."""
    other = dataclasses.replace(StudySpec(), **change)
    assert spec.digest(other) != spec.digest(StudySpec())
    assert spec.differences(spec.to_json(other), spec.to_json(StudySpec()))


def test_the_digest_stays() -> None:
    """Protects old workdirs: nothing but a change of the spec itself may move a digest."""
    assert spec.digest({"b": [1, 2.5], "a": {"x": None, "y": "é"}}) == (
        "4734411fc87bb72022e831842c5458df20a40079398073086a13004ef09ca3d1"
    )


def test_differences_name_the_path() -> None:
    """Protects the message on resuming: which value was, which is, and where."""
    a = {"x": {"y": 1, "z": [1, 2]}, "only": True}
    b = {"x": {"y": 2, "z": [1, 2]}, "new": None, "more": 3}
    found = spec.differences(a, b)
    assert found == [("x.y", 1, 2), ("only", True, None), ("more", None, 3)]


BOUNDED = [
    (name, field, bound, beyond)
    for name, field in FIELDS
    for bound, beyond in (("low", -1), ("high", 1))
    if bound in field.metadata
]


@pytest.mark.parametrize(
    ("name", "field", "bound", "beyond"), BOUNDED, ids=[f"{f.name}-{b}" for _, f, b, _ in BOUNDED]
)
def test_bounds(name: str, field: dataclasses.Field[Any], bound: str, beyond: int) -> None:
    """Protects training from numbers it cannot be run with; the bounds themselves are allowed."""
    limit = field.metadata[bound]
    step = 1 if isinstance(limit, int) else max(abs(limit) * 1e-3, 1e-3)
    for value, allowed in ((limit, True), (limit + beyond * step, False)):
        given_value = (value,) if isinstance(field.default, tuple) else value
        owner = dataclasses.replace(PARTS[name](), **{field.name: given_value})
        if allowed:
            validated(name, owner)
            continue
        with pytest.raises(
            UserError, match=f"--{field.name}: .* is out of range; must be "
        ) as told:
            validated(name, owner)
        assert str(limit) in str(told.value)


def validated(name: str, owner: Any) -> StudySpec:
    if name == "run":
        return spec.validate(StudySpec(run=owner))
    return spec.validate(StudySpec(setting=Setting(**{name: owner})))


CHOSEN = [(name, field) for name, field in FIELDS if "choices" in field.metadata]


@pytest.mark.parametrize(("name", "field"), CHOSEN, ids=[f.name for _, f in CHOSEN])
def test_choices(name: str, field: dataclasses.Field[Any]) -> None:
    """Protects a misspelt name from being trained as something else; the nearest is offered."""
    right = field.metadata["choices"][-1]
    many = isinstance(field.default, tuple)
    wrong = right + "x"
    owner = dataclasses.replace(PARTS[name](), **{field.name: (wrong,) if many else wrong})
    with pytest.raises(UserError, match=f"--{field.name}: unknown {field.name} '{wrong}'.*{right}"):
        validated(name, owner)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("steps", 2.5, "2.5 is not a whole number"),
        ("steps", "ten", "'ten' is not a whole number"),
        ("steps", True, "True is not a whole number"),
        ("steps", 2**31, ".* must be at most 1073741824"),
        ("batch_norm", 1, "1 is not true or false"),
        ("learning_rate", "fast", "'fast' is not a number"),
        ("learning_rate", float("nan"), "must be a finite number, not nan"),
        ("learning_rate", float("inf"), "must be a finite number, not inf"),
        ("learning_rate", 1e39, r".* must be at most 3.4028234e\+38"),
        ("hidden", [3], r"\[3\] is not a list"),
        ("hidden", (3, 0), "0 is out of range; must be at least 1"),
        ("hidden", (3.5,), "3.5 is not a whole number"),
        ("dataset", 3, "3 is not a text"),
    ],
)
def test_values_of_the_wrong_kind(field: str, value: Any, words: str) -> None:
    """Protects programs from a float for a count, or a number beyond float32, wherever it is."""
    study = StudySpec(arms=(Arm.of("odd", **{field: value}),))
    with pytest.raises(UserError, match=f"--{field}: {words}"):
        spec.validate(study)


def test_whole_numbers_pass_for_floats() -> None:
    """Protects a rate of 1 that is written without a point."""
    study = StudySpec(arms=(Arm.of("one", learning_rate=1, dropout=0),))
    setting = study.arm_setting(spec.validate(study).arms[0])
    told = spec.hyperparameters(setting)
    assert (told["learning_rate"], told["dropout"]) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (StudySpec(arms=()), "a study needs at least one arm"),
        (StudySpec(arms=(Arm("a"), Arm("b"), Arm("a"))), "two arms are named 'a'"),
        (StudySpec(arms=(Arm.of("a", step=1),)), "unknown setting 'step'; did you mean 'steps'"),
        (StudySpec(context=(Arm.of("a", steps=-1),)), "--steps: -1 is out of range"),
        (StudySpec(arms=(Arm("a", vary=("inits",)),)), "--vary: unknown source 'inits'"),
        (StudySpec(arms=(Arm.of("a", dataset="file"),)), "--data_path: is empty"),
        (StudySpec(arms=(Arm.of("a", target="y"),)), "--target: is only read with"),
        (StudySpec(arms=(Arm.of("a", accumulate=3),)), "--accumulate: 3 microbatches do not"),
        (StudySpec(arms=(Arm.of("a", loss="rmse", accumulate=2),)), "--accumulate: rmse is the"),
        (StudySpec(arms=(Arm.of("a", model="m.py:f", compute_dtype="bfloat16"),)), "own types"),
    ],
)
def test_studies_that_are_refused(study: StudySpec, words: str) -> None:
    """Protects the rules that tie fields together, for every arm and for the context."""
    with pytest.raises(UserError, match=words):
        spec.validate(study)


@pytest.mark.parametrize(
    "damage",
    [
        lambda plain: plain.pop("arms"),
        lambda plain: plain["setting"].update(more={}),
        lambda plain: plain["setting"]["train"].update(speed=3),
        lambda plain: plain["run"].update(num_seeds="8"),
        lambda plain: plain["run"].update(lanes=1),
        lambda plain: plain.update(setting=3),
        lambda plain: plain.update(arms=[3]),
        lambda plain: plain["arms"][0].update(changes=[["steps"]]),
    ],
)
def test_damaged_json_is_told(damage: Any) -> None:
    """Protects resuming from an edited manifest: an error in a sentence, whatever is wrong."""
    plain = spec.to_json(StudySpec())
    damage(plain)
    with pytest.raises(UserError):
        spec.from_json(plain)


def test_own_files_pass_for_choices() -> None:
    """Protects --model=file.py:attribute and its like; other fields take bundled names alone."""
    for field in ("model", "loss", "schedule"):
        spec.validate(StudySpec(arms=(Arm.of("own", **{field: "my.py:thing"}),)))
    with pytest.raises(UserError, match="--optimizer: unknown"):
        spec.validate(StudySpec(arms=(Arm.of("own", optimizer="my.py:thing"),)))


def test_traced_fields_are_numbers() -> None:
    """Protects lanes: what the program takes as an argument is a float of the setting."""
    told = spec.hyperparameters(Setting().changed({"dropout": 0.5}))
    assert tuple(told) == spec.TRACED
    assert told["dropout"] == 0.5
    assert all(type(value) is float for value in told.values())
    assert {"learning_rate", "weight_decay", "dropout", "input_noise"} <= set(told)
    assert not {"steps", "batch_size", "schedule", "loss"} & set(told)


def test_field_names_are_unique() -> None:
    """Protects changes and flags, which name a field without its part."""
    assert len(set(IDS)) == len(IDS)
    changed = Setting().changed({"steps": 5, "hidden": (2,), "label_noise": 0.5})
    assert (changed.get("steps"), changed.get("hidden")) == (5, (2,))
    assert changed.get("label_noise") == 0.5
