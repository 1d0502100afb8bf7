"""The experiment on randomness: its arms draw what they say, its figures are what they claim."""

from __future__ import annotations

from functools import cache

import jax
import numpy as np
import pytest

from convergence import data, names, randomness, spec
from convergence.chance import design as designs
from convergence.chance.consistency import consistency
from convergence.chance.design import FIRST, ROUNDING, Design, design
from convergence.chance.seeds import seeds_needed
from convergence.chance.sources import SourceSpread, by_source, measured, none_is_harmless
from convergence.chance.tables import predicted
from convergence.history import History
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Machine, Study, resolve
from convergence.training.trial import draw_order

VARY = ("init", "order", "dropout", "augment")
CASES = {
    "classification": DataSpec(dataset="teacher_classification", generated_rows=200),
    "regression": DataSpec(dataset="teacher_regression", generated_rows=200),
}


def setting(task: str, dropout: float = 0.0) -> Setting:
    train = TrainSpec(steps=14, batch_size=16, learning_rate=0.02)
    return Setting(CASES[task], ModelSpec(hidden=(8,), dropout=dropout), train)


def made(task: str, dropout: float = 0.0) -> Design:
    base = setting(task, dropout)
    return design(base, task, VARY, settings=2, crossed=2, rates=(0.01,),
                  doses=(0.0, 0.3))  # fmt: skip


@cache
def run(task: str) -> tuple[Design, History, Study]:
    told, base = made(task), setting(task)
    dataset = data.load(base.data)
    study = StudySpec("r", "?", base, RunSpec(num_seeds=4, lanes=64, vary=VARY), told.arms)
    runner = Study(resolve(spec.validate(study), dataset), dataset, Machine.here(2))
    return told, runner.run(), runner


def test_each_source_varies_alone() -> None:
    """Protects the question: an arm's seeds differ in one source, its settings in all others."""
    told = made("classification", dropout=0.1)
    assert set(told.alone) == {"init", "order", "dropout", "split", ROUNDING, FIRST}
    arms = told.arms
    assert len({arm.name for arm in arms}) == len(arms)
    for source, mine in told.alone.items():
        real = "order" if source == FIRST else source
        assert all(arm.vary == (real,) for arm in mine)
        assert [arm.twin for arm in mine] == [source == ROUNDING] * 2
        assert [arm.order_epochs for arm in mine] == [int(source == FIRST)] * 2
        for draw, arm in enumerate(mine, 1):
            others = set(names.SOURCES) - ({real} if source != FIRST else set())
            assert dict(arm.draws) == dict.fromkeys(others, draw)
    assert set(told.together.vary or ()) == {"init", "order", "dropout", "split"}


def test_streams_of_the_arms() -> None:
    """Protects the pairs: the varied source's draws are the same under each setting."""
    told, _, runner = run("classification")
    plan = runner.plan
    (group,) = plan.groups
    lanes = dict(zip(group.trials, plan.lanes(group, group.trials)))
    arms = [arm.name for arm in plan.study.arms]

    def keys(arm: Arm, source: str) -> list[tuple[int, ...]]:
        index = arms.index(arm.name)
        return [tuple(lanes[t].keys[source].tolist()) for t in group.trials if t.arm == index]

    for source in ("init", "order", "split"):
        first, second = told.alone[source]
        assert keys(first, source) == keys(second, source)
        assert len(set(keys(first, source))) == 4
        for other in set(names.SOURCES) - {source}:
            assert len(set(keys(first, other))) == len(set(keys(second, other))) == 1
            assert keys(first, other)[0] != keys(second, other)[0]
            expected = randomness.source_key(0, other, randomness.SHARED - 1)
            assert keys(first, other)[0] == tuple(np.asarray(jax.random.key_data(expected)))
    orders = [keys(arm, "order")[0] for arm in told.crossed]
    assert len(set(orders)) == 2
    assert keys(told.crossed[0], "init") == keys(told.crossed[1], "init")


def test_order_of_the_first_epoch_alone() -> None:
    """Protects claim 4g: seeds see other rows first, and the same ones from then on."""
    told, _, runner = run("classification")
    plan = runner.plan
    (group,) = plan.groups
    lanes = dict(zip(group.trials, plan.lanes(group, group.trials)))
    arms = [arm.name for arm in plan.study.arms]
    index = arms.index(told.alone[FIRST][0].name)
    mine = [lanes[t] for t in group.trials if t.arm == index][:2]
    per_epoch = int(mine[0].train_count) // 16

    def order(lane: object, step: int) -> list[int]:
        return np.asarray(draw_order(group.program, lane, np.int32(step))).tolist()  # type: ignore[arg-type]

    assert order(mine[0], 0) != order(mine[1], 0)
    assert order(mine[0], per_epoch - 1) == order(mine[0], 0)
    assert order(mine[0], per_epoch) == order(mine[1], per_epoch) != order(mine[0], 0)
    usual = [lanes[t] for t in group.trials if t.arm == arms.index(told.alone["order"][0].name)]
    assert order(usual[0], per_epoch) != order(usual[1], per_epoch)
    assert order(usual[0], 0) == order(mine[0], 0)  # the same draw of the same source


@pytest.mark.parametrize("task", CASES)
def test_spread_and_churn_are_those_of_the_trials(task: str) -> None:
    """Protects the table: its figures, computed again from the records in another way."""
    told, history, _ = run(task)
    metric = history.study.run.metric
    direction = 1 if task == "classification" else -1
    for found in by_source(history, told, direction):
        arms = told.alone.get(found.source, (told.together,))
        values = np.stack([history.of_arm(arm.name, metric, "clean") for arm in arms])
        sd = np.sqrt(values.var(axis=1, ddof=1).mean())
        assert found.sd.estimate == pytest.approx(sd, rel=1e-9, abs=1e-9)
        assert (found.settings, found.seeds, found.trials) == (len(arms), 4, 4)
        if found.parts is not None:
            assert found.parts.effect.estimate == pytest.approx(sd**2, rel=1e-9, abs=1e-12)
        if found.source in ("split", "all sources vary"):
            assert found.gain is None
            continue
        differ = []
        for arm in arms:
            table = predicted(history, arm.name, np.arange(4))
            assert table.scored.all()
            for a in range(4):
                for b in range(a):
                    one, two = table.outputs[a], table.outputs[b]
                    if task == "classification":
                        differ.append((one.argmax(-1) != two.argmax(-1)).mean())
                    else:
                        differ.append(((one - two) ** 2).mean())
        expected = np.mean(differ) if task == "classification" else np.sqrt(np.mean(differ))
        assert found.churn.estimate == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert found.gain is not None
        assert (found.rows is None) == (task == "regression")


def test_predictions_are_scored_as_the_study_scored_them() -> None:
    """Protects churn and ratio: rows and classes lead back to the accuracies of the records."""
    told, history, _ = run("classification")
    for arm in (told.together, told.alone["init"][1], told.alone["split"][0]):
        table = predicted(history, arm.name, np.arange(4))
        accuracy = np.nanmean(table.correct, axis=1)
        np.testing.assert_allclose(accuracy, history.of_arm(arm.name, "accuracy"), rtol=1e-6)
        counts = table.scored.sum(axis=1)
        assert np.all(counts == len(history.scored_rows(0, test=False)))


def test_a_source_without_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects readers from noise: draws that all end alike have no spread, churn or share."""
    told, history, _ = run("classification")
    found = measured(history, "init", told.alone["init"], 1)
    for name in [n for n in history.arrays if n.startswith(("eval/", "final/", "predictions"))]:
        same = history.arrays[name].copy()
        for arm in told.alone["init"]:
            rows = history.rows_of(arm.name)
            same[rows] = same[rows[0]]
        monkeypatch.setitem(history.arrays, name, same)
    alike = measured(history, "init", told.alone["init"], 1)
    assert found.sd.estimate > 0
    assert alike.sd.estimate == alike.churn.estimate == 0
    assert alike.parts is not None
    assert alike.parts.share.estimate == pytest.approx(0, abs=1e-9) or np.isnan(
        alike.parts.share.estimate
    )


def test_none_is_harmless_only_where_it_is_so() -> None:
    """Protects the sentence: several sources as strong as all, none with a main effect."""
    told, history, _ = run("classification")
    spreads = by_source(history, told, 1)

    def with_sd(one: SourceSpread, sd: float, share: float) -> SourceSpread:
        import dataclasses

        assert one.parts is not None
        part = dataclasses.replace(one.parts.share, estimate=share)
        return dataclasses.replace(
            one,
            sd=dataclasses.replace(one.sd, estimate=sd),
            parts=dataclasses.replace(one.parts, share=part),
        )

    whole = spreads[-1]
    level = whole.sd.estimate
    strong = [with_sd(one, level, 0.05) for one in spreads[:2]]
    assert none_is_harmless([*strong, whole]).startswith(", ".join(s.source for s in strong))
    assert none_is_harmless([strong[0], with_sd(spreads[1], level, 0.6), whole]) == ""
    assert none_is_harmless([strong[0], with_sd(spreads[1], 0.3 * level, 0.05), whole]) == ""


def test_defaults_are_multiples_of_the_settings_own() -> None:
    """Protects users who give no grid: rates around their own, no dose twice."""
    base = setting("classification")
    told = design(base, "classification", VARY)
    assert list(told.rates) == [f * 0.02 for f in designs.RATE_FACTORS]
    assert len(told.crossed) == designs.CROSSED
    for rate, (plain, twin) in told.rates.items():
        assert dict(plain.changes) == dict(twin.changes) == {"learning_rate": rate}
        assert (plain.twin, twin.twin) == (False, True)
        assert plain.vary == twin.vary == (*VARY, "rounding")  # each seed flips a bit of its own
    assert list(told.doses) == list(designs.DOSES)


def test_consistency_and_seeds_are_those_of_the_trials() -> None:
    """Protects the tables: spreads, slope and correlation, computed again from the records."""
    told, history, _ = run("regression")
    metric = history.study.run.metric
    found = consistency(history, told)
    values = [history.of_arm(arm.name, metric, "clean") for arm in told.doses.values()]
    sds = [v.std(ddof=1) for v in values]
    assert [s.sd for s in found.spreads] == pytest.approx(sds)
    assert found.slope.estimate == pytest.approx((sds[1] - sds[0]) / 0.3)
    needed = seeds_needed(history, told)
    assert told.own is not None
    own, other = (history.of_arm(arm.name, metric, "clean") for arm in told.own)
    assert needed.correlation == pytest.approx(np.corrcoef(own, other)[0, 1])
    assert needed.alone.sd == pytest.approx(own.std(ddof=1))
    assert needed.paired.sd == pytest.approx((own - other).std(ddof=1))
    counts = [row.unpaired.estimate for row in needed.rows]
    assert counts == sorted(counts, reverse=True)
