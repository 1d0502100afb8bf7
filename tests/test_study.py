"""The hall: one compilation for many arms, twins, blocks, and what a study is resolved to."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers.studies import (
    DATA,
    MANY_ARMS,
    MLP,
    SCHEDULES,
    SHORT,
    classification,
    compiling,
    laid,
)

from convergence import data, spec
from convergence.data import outer_split
from convergence.errors import UserError
from convergence.spec import Arm, DataSpec, RunSpec, Setting, StudySpec
from convergence.study import Machine, Study, cadence, merge, resolve
from convergence.training.blocks import Cadence, Want
from convergence.training.state import MARKS

PROGRAMS = {"jit(_initialise)": 1, "jit(_segment)": 1, "jit(_evaluate)": 1, "jit(_finish)": 1}


def test_one_compilation_for_fourteen_schedules() -> None:
    """Protects the comparison and its cost: each program is compiled once for all (one a twin)."""
    runner, history, compiled = classification()
    assert len(SCHEDULES) == 14
    assert len(runner.plan.groups) == 1
    programs = PROGRAMS | {"jit(_twin)": 1}
    assert {k: n for k, n in Counter(compiled).items() if k in programs} == programs
    (population,) = runner._populations.values()
    assert [len(f._compiled) for f in population._functions.values()] == [1] * 5
    constant = history.of_arm("constant", "cross_entropy")
    moved = [np.any(history.of_arm(s, "cross_entropy") != constant) for s in SCHEDULES[1:]]
    # The plateau never had a window to judge: it is the constant one, bit for bit.
    assert [s for s, m in zip(SCHEDULES[1:], moved) if not m] == ["plateau"]


def test_other_numbers_compile_nothing() -> None:
    """Protects ladders and confirmations: other numbers, seeds and lengths run in the same program.

    Not the smallest helper is compiled again either, whatever the cadence.
    """
    runner = classification()[0]
    train = dataclasses.replace(
        SHORT, learning_rate=0.3, weight_decay=0.1, beta1=0.5, steps=31, label_smoothing=0.1
    )
    model = dataclasses.replace(MLP, dropout=0.4, init_scale=0.5)
    study = laid(
        DATA, model, train, MANY_ARMS[:2], num_seeds=2, seed=9, first_replica=4, eval_every=7
    )
    # The table of shapes has a size of its own: the same arms as context keep it.
    study = dataclasses.replace(study, context=MANY_ARMS)
    populations = dict(runner._populations)
    second = Study(study, data.load(DATA), Machine.here(2), Want(), populations=populations)
    second.plan.lanes(second.plan.groups[0], second.plan.trials)  # keys of two replicas at once
    if second.plan.groups[0].key != runner.plan.groups[0].key:
        pytest.fail("another program")
    with compiling() as compiled:
        second.run()
    assert compiled == []
    assert len(populations) == 1


def bits(tree: Any) -> np.ndarray:
    return np.concatenate(
        [np.asarray(leaf).view(np.uint32).ravel() for leaf in jax.tree.leaves(tree)]
    )


def test_twins_start_one_bit_apart() -> None:
    """Protects the one-bit experiment: of all initial weights one differs, in its last bit."""
    runner, _, _ = classification()
    (population,), (group,) = runner._populations.values(), runner.plan.groups
    place = {arm.name: k for k, arm in enumerate(MANY_ARMS)}
    pairs = [trial for trial in group.trials if trial.arm in (place["constant"], place["twin"])]
    block = population.deal(runner.plan.lanes(group, tuple(pairs)))
    start = population.gather(population.initialise(block, runner.shared(population)), len(pairs))
    flips = []
    for k in range(0, len(pairs), 2):
        one, two = (jax.tree.map(lambda a, k=k, n=n: a[k + n], start) for n in (0, 1))
        layout = population.program.algorithm.packing
        trees = [layout.unpack(x.train.params) for x in (one, two)]
        kernel = [tree["dense_0"]["kernel"].view(np.uint32) for tree in trees]
        difference = kernel[0] ^ kernel[1]
        assert difference.sum() == 1
        flips.append(np.flatnonzero(difference)[0])
        apart = bits(one.train) != bits(two.train)
        assert apart.sum() == 1
        rest = (one.order, one.plateau, one.step, one.first_bad, one.record.marks)
        assert np.array_equal(
            bits(rest), bits((two.order, two.plateau, two.step, two.first_bad, two.record.marks))
        )
    assert len(set(flips)) == 1  # the source `rounding` does not vary: the same place in each seed


def test_twins_part() -> None:
    """Protects the measure of rounding: twins go their own ways, close to their siblings."""
    _, history, _ = classification()
    base, twin = history.rows_of("constant"), history.rows_of("twin")
    assert np.any(history.arrays["marks"][base] != history.arrays["marks"][twin])
    np.testing.assert_allclose(
        history.arrays["raw"][base][:, :3], history.arrays["raw"][twin][:, :3], rtol=1e-5
    )
    gap = np.abs(history.arrays["sketches"][base] - history.arrays["sketches"][twin])
    assert np.all(gap.max(axis=(1, 2)) < 1e-3)


@pytest.mark.parametrize(
    ("run", "task", "expected"),
    [
        ({}, "classification", ("accuracy", 0.01)),
        ({"metric": "brier"}, "classification", ("brier", 0.01)),
        ({"metric": "cross_entropy"}, "classification", ("cross_entropy", 0.02)),
        ({"margin": 0.5}, "classification", ("accuracy", 0.5)),
        ({"metric": "r2"}, "regression", ("r2", 0.01)),
    ],
)
def test_defaults_by_task(run: dict[str, Any], task: str, expected: tuple[str, float]) -> None:
    """Protects claims from a metric or margin that was never chosen for the task."""
    found = laid(
        DataSpec(dataset=f"teacher_{task}", generated_rows=60), MLP, SHORT, MANY_ARMS[:1], **run
    )
    assert (found.run.metric, found.run.margin) == expected


def test_a_test_file_moves_no_margin(tmp_path: Path) -> None:
    """Protects the held-out discipline: of test rows nothing is read before the confirmation.

    Two test files that differ in their targets (one of them wild) leave the same study: margin,
    digest, schedule and every lane, on data of other digests.
    """
    rng = np.random.default_rng(3)

    def written(name: str, rows: int, scale: float) -> None:
        table = np.column_stack([rng.normal(size=(rows, 2)), scale * rng.normal(size=rows)])
        lines = [",".join(f"{v:.4f}" for v in row) for row in table]
        (tmp_path / name).write_text("\n".join(["a,b,y", *lines]) + "\n")

    written("rows.csv", 80, 5.0)
    told = DataSpec(
        dataset="file",
        data_path=str(tmp_path / "rows.csv"),
        test_path=str(tmp_path / "test.csv"),
        target="y",
    )
    train = dataclasses.replace(SHORT, batch_size=8)
    found, digests = [], []
    for scale in (5.0, 1e4):
        written("test.csv", 20, scale)
        dataset = data.load(told)
        study = resolve(StudySpec(setting=Setting(told, MLP, train), run=RunSpec()), dataset)
        plan = Study(study, dataset, Machine.here(2)).plan
        lanes = jax.tree.leaves(plan.lanes(plan.groups[0], plan.trials))
        digests.append(dataset.digest)
        found.append((study, spec.digest(study), plan.shapes.tobytes(), plan.total_steps, lanes))
    assert digests[0] != digests[1]
    assert found[0][:4] == found[1][:4]
    assert found[0][0].run.margin == found[1][0].run.margin > 0
    for first, second in zip(found[0][4], found[1][4]):
        if first.shape == (100,):  # targets of all rows, in the dataset's order
            first, second = first[:80], second[:80]
        np.testing.assert_array_equal(first, second)


def test_margins_in_the_targets_unit() -> None:
    """Protects regression: the margin is a share of the target's spread, test rows left out."""
    told = DataSpec(dataset="teacher_regression", generated_rows=60)
    dataset = data.load(told)
    study = StudySpec(setting=Setting(told, MLP, SHORT))
    small = resolve(study, dataset).run.margin
    large = resolve(study, dataclasses.replace(dataset, y=dataset.y * 100)).run.margin
    development, test = outer_split(dataset, told)
    assert small == pytest.approx(0.02 * dataset.y[development].std(), rel=1e-6)
    spoiled = dataset.y.copy()
    spoiled[test] = 1e6
    assert resolve(study, dataclasses.replace(dataset, y=spoiled)).run.margin == small
    assert large == pytest.approx(100 * small, rel=1e-5)
    assert resolve(study, dataset).run.metric == "rmse"
    with pytest.raises(UserError, match="--metric: accuracy does not fit a regression"):
        resolve(dataclasses.replace(study, run=RunSpec(metric="accuracy")), dataset)


def test_twins_on_demand() -> None:
    """Protects --twin: beside each arm one twin, and none of a twin; resolving again adds none."""
    arms = (Arm("a"), Arm.of("b", steps=3), Arm("c", twin=True))
    found = laid(DATA, MLP, SHORT, arms, twin=True)
    assert [arm.name for arm in found.arms] == ["a", "b", "c", "a twin", "b twin"]
    assert [arm.twin for arm in found.arms] == [False, False, True, True, True]
    assert found.arms[4].changes == arms[1].changes
    assert resolve(found, data.load(DATA)) == found
    with pytest.raises(UserError, match="two arms are named 'a twin'"):
        laid(DATA, MLP, SHORT, (Arm("a"), Arm("a twin")), twin=True)


def studied(*arms: Arm, **run: Any) -> Study:
    study = laid(DATA, MLP, SHORT, arms or MANY_ARMS[:1], **run)
    return Study(study, data.load(DATA), Machine.here(2))


def test_cadences() -> None:
    """Protects where the host looks: a twentieth of the run, where it is told to, at the end."""
    found = studied(Arm.of("long", steps=1001)).cadence
    assert (found.total, found.eval_every, found.checkpoint_every) == (1001, 51, 0)
    assert found.eval_steps() == [*range(0, 1001, 51), 1001]
    assert found.boundaries() == [*range(51, 1001, 51), 1001]
    assert [s for s in found.boundaries() if found.saves(s)] == [*range(51, 1001, 51)]
    told = Cadence(1001, 51, 408)
    assert told.boundaries() == sorted({*range(51, 1001, 51), *range(408, 1001, 408), 1001})
    assert [s for s in told.boundaries() if told.saves(s)] == [408, 816]
    assert Cadence(5000, 0, 0).boundaries() == [1024, 2048, 3072, 4096, 5000]
    assert Cadence(10, 4, 0, segment=3).boundaries() == [3, 4, 6, 8, 9, 10]
    assert [s for s in range(1, 11) if Cadence(10, 4, 0, segment=3).evaluates(s)] == [4, 8, 10]
    nothing = Cadence(0, 1, 8)
    assert (nothing.boundaries(), nothing.eval_steps(), nothing.saves(0)) == ([0], [0], False)
    assert studied(eval_every=5, checkpoint_every=6).cadence == Cadence(24, 5, 6)


def test_more_fingerprints_than_are_kept() -> None:
    """Protects from marks that silently end: the user is told the least cadence that fits."""
    arm = Arm.of("long", steps=MARKS * 3 + 1)
    with pytest.raises(UserError, match=r"--fingerprint_every: .* give at least 4"):
        studied(arm, fingerprint_every=2)
    assert studied(arm, fingerprint_every=4)
    assert studied(arm, fingerprint_every=0)
    assert cadence(studied(Arm.of("fits", steps=MARKS), fingerprint_every=1).plan)


def test_merged_in_the_order_of_trials() -> None:
    """Protects records of several programs and blocks: each row stands where its trial does."""
    trials = studied(Arm("a"), Arm.of("b", hidden=(4,)), num_seeds=2).plan.trials
    blocks = [((trials[0], trials[2]), 3), ((trials[1],), 2), ((trials[3],), 3)]
    collected = []
    for members, width in blocks:
        rows = np.array([t.index for t in members], np.float32)
        table = np.repeat(rows[:, None], width, axis=1)
        collected.append((members, {"score": rows, "predictions": table}))
    found = merge(collected)
    assert found["score"].tolist() == [0, 1, 2, 3]
    assert found["predictions"].shape == (4, 3)
    assert found["predictions"][:, :2].tolist() == [[k, k] for k in range(4)]
    assert np.isnan(found["predictions"][:, 2]).tolist() == [False, True, False, False]


def test_what_a_study_would_cost() -> None:
    """Protects --dry_run: trials, programs, steps, the larger model's parameters, bytes kept."""
    runner = studied(Arm("a"), Arm.of("b", hidden=(7,), steps=10), num_seeds=3)
    small, large = (16 * width + width + width * 5 + 5 for width in (5, 7))
    expected = {"trials": 6, "programs": 2, "steps": 3 * 34, "parameters": large}
    expected["saved_bytes"] = 3 * 4 * (small + large)
    assert runner.estimate() == expected


def test_progress_is_told() -> None:
    """Protects the progress bar: it ends at all trial steps, never runs back, and counts losses."""
    told: list[tuple[int, int, int]] = []
    runner, history, _ = classification()
    again = Study(
        runner.plan.study,
        runner.plan.dataset,
        runner.machine,
        runner.want,
        segment=5,
        progress=lambda *numbers: told.append(numbers),
        populations=runner._populations,
    )
    repeated = again.run()
    done = [one for one, _, _ in told]
    assert done == sorted(done)
    assert {total for _, total, _ in told} == {24 * len(history.trials)}
    assert done[-1] == 24 * len(history.trials)
    assert np.array_equal(repeated.fingerprints, history.fingerprints)


def test_records_keep_no_padding_alive() -> None:
    """Protects memory: a block's records are its own, not slices of larger, padded tables."""
    runner, history, _ = classification()
    group = runner.plan.groups[0]
    (population,) = runner._populations.values()
    shared = runner.shared(population)
    arrays = runner._block(population, shared, group, group.trials[:5], 0)
    assert arrays["predictions"].shape == (5, len(runner.plan.test), 5)
    assert all(array.base is None for array in arrays.values())
    assert history.arrays["predictions"].shape[1] == len(runner.plan.test)


def test_machines() -> None:
    """Protects the CPU's mode: lanes in turn, a worker for each core, all on one device."""
    one = Machine.here(1)
    assert (one.mode, len(one.workers)) == ("map", 1)
    assert len(set(Machine.here(3).workers)) == 1
    assert len(Machine.here(3).workers) == 3
    assert len(Machine.here().workers) >= 1
    assert spec.digest(studied().plan.study) == spec.digest(studied().plan.study)
