"""A study laid out: its programs, its blocks and the table of its schedules."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from helpers.plans import dataset, plan

from convergence import names, schedules, spec
from convergence.errors import UserError
from convergence.plan import Group, Plan, Pool, Trial
from convergence.spec import Arm, Setting, StudySpec

# One other value of each field that a lane carries, or that only data or schedule tables know.
SHARED: dict[str, Any] = {
    "schedule": "cosine",
    "warmup": 3,
    "steps": 7,
    "epochs": 1,
    "init": "orthogonal",
    "bias": "prior",
    "train_size": 50,
    "preprocessing": "minmax",
    "duplicates": 0.2,
    "huber_delta": 2.0,
    "epsilon": 1e-3,
    "gce_q": 0.5,
    "quantile": 0.2,
    **dict.fromkeys(spec.TRACED, 0.25),
}
BY_TASK = [
    ("classification", {"loss": "hinge", "label_noise": 0.2, "imbalance": 0.5}),
    ("regression", {"loss": "huber", "outliers": 0.2, "outlier_scale": 3.0}),
]
APART: dict[str, Any] = {
    "model": "linear",
    "hidden": (5,),
    "activation": "tanh",
    "batch_norm": True,
    "optimizer": "sgd",
    "batch_size": 8,
    "accumulate": 2,
    "compute_dtype": "bfloat16",
}


@pytest.mark.parametrize(("task", "more"), BY_TASK)
def test_arms_that_share_a_program(task: str, more: dict[str, Any]) -> None:
    """Protects comparisons: arms that differ in these run in one program, not in two treatments."""
    changes = SHARED | more
    arms = [Arm("base"), Arm("twin", twin=True), Arm("fixed", vary=())]
    arms += [Arm.of(name, **{name: value}) for name, value in changes.items()]
    found = plan(*arms, task=task)
    (group,) = found.groups
    assert len(group.trials) == 2 * len(arms)
    lanes = found.lanes(group, group.trials)
    shapes = {tuple(np.shape(leaf) for leaf in jax.tree.leaves(lane)) for lane in lanes}
    types = {tuple(np.asarray(leaf).dtype for leaf in jax.tree.leaves(lane)) for lane in lanes}
    assert len(shapes) == len(types) == 1


@pytest.mark.parametrize("name", APART)
def test_arms_that_need_another_program(name: str) -> None:
    """Protects lanes from running a program of another form than their setting's."""
    found = plan(Arm("base"), Arm.of("other", **{name: APART[name]}), Arm.of("rate", dropout=0.5))
    assert [{t.arm for t in group.trials} for group in found.groups] == [{0, 2}, {1}]
    assert found.groups[0].key != found.groups[1].key
    programs = [group.program.algorithm for group in found.groups]
    size = APART[name] if name == "batch_size" else 16
    assert [p.batch_size for p in programs] == [16, size]
    assert [p.accumulate for p in programs] == [1, APART[name] if name == "accumulate" else 1]
    # What one arm needs is in every program: the compiler is no hidden treatment.
    assert found.pool.dropout
    assert len({id(group.program) for group in found.groups}) == 2


def test_fields_are_all_considered() -> None:
    """Protects the lists above: each field of a setting is on one, or the same for all arms."""
    fixed = {"dataset", "data_path", "target", "test_path", "task", "test_fraction"}
    fixed |= {"validation_fraction", "outer_split", "data_seed", "generated_rows"}
    told = set(SHARED) | set(APART) | fixed
    for _, more in BY_TASK:
        told |= set(more)
    assert told == set(spec.SETTING_FIELDS)
    for name in sorted(fixed - {"task"}):
        value = Setting().get(name)
        other = "iris" if name == "dataset" else value + type(value)("1" if value == "" else 0.1)
        other = value + 1 if isinstance(value, int) else other
        study = StudySpec(arms=(Arm.of("odd", **{name: other}),))
        with pytest.raises(UserError, match=f"arm 'odd' changes {name}: arms share one dataset"):
            Plan(study, dataset())


def test_the_pool_knows_no_order() -> None:
    """Protects a study's programs from the order in which its arms are listed."""
    arms = [
        Arm.of("a", loss="hinge", dropout=0.2),
        Arm.of("b", init="orthogonal", bias="prior"),
        Arm.of("c", clip_norm=1.0, loss="focal"),
        Arm.of("d", input_noise=0.1),
    ]
    forth, back = plan(*arms), plan(*reversed(arms))
    assert forth.pool == back.pool
    assert forth.groups[0].key == back.groups[0].key
    pool = forth.pool
    assert (pool.dropout, pool.clips, pool.noisy) == (True, True, True)
    assert pool.losses == ("auto", "focal", "hinge")
    assert len(forth.groups[0].program.initialisers) == 2
    assert Pool.of([Setting()]) == Pool.of([Setting(), Setting()])
    assert not any((plan().pool.dropout, plan().pool.clips, plan().pool.noisy))


def test_context_makes_programs_fit() -> None:
    """Protects a confirmation: with the first study as context it runs in that study's programs."""
    arms = (
        Arm("base"),
        Arm.of("a", loss="hinge", dropout=0.2, clip_norm=1.0),
        Arm.of("b", init="orthogonal", schedule="cosine"),
        Arm.of("c", schedule="linear", warmup=2, hidden=(5,)),
    )
    first = plan(*arms)
    second = plan(arms[0], arms[3], context=arms, first_replica=9)
    assert [group.key for group in second.groups] == [group.key for group in first.groups]
    assert second.shapes.shape == first.shapes.shape
    alone = plan(arms[0], arms[3])
    assert alone.groups[0].key != first.groups[0].key
    # Another length of the table is another program, which must not pass for the same one.
    longer = plan(*arms, Arm.of("d", steps=300))
    assert longer.groups[0].key != first.groups[0].key


def test_trials_and_replicas() -> None:
    """Protects the records' order: all arms of a seed, seed by seed, whatever programs they use."""
    found = plan(Arm("a"), Arm.of("b", hidden=(5,)), Arm("c"), num_seeds=3, first_replica=7)
    told = [(t.index, t.arm, t.replica) for t in found.trials]
    assert told == [(3 * k + arm, arm, 7 + k) for k in range(3) for arm in range(3)]
    assert [t.steps for t in found.trials] == [20] * 9


@pytest.mark.parametrize(
    ("arms", "seeds", "lanes", "sizes"),
    [
        (3, 5, 8, [6, 6, 3]),
        (3, 5, 9, [9, 6]),
        (1, 5, 4, [4, 1]),
        (5, 2, 4, [4, 4, 2]),  # a seed does not fit
        (4, 2, 4, [4, 4]),
        (2, 3, 64, [6]),
    ],
)
def test_blocks_hold_whole_seeds(arms: int, seeds: int, lanes: int, sizes: list[int]) -> None:
    """Protects pairs: the arms of a seed run in the same block wherever one is large enough."""
    made = [Arm.of(f"arm {k}", learning_rate=0.1 * (k + 1)) for k in range(arms)]
    found = plan(*made, num_seeds=seeds)
    blocks = [trials for group in found.groups for trials in group.blocks(lanes)]
    assert [len(trials) for trials in blocks] == sizes
    assert [t for trials in blocks for t in trials] == list(found.trials)
    if arms <= lanes:
        for trials in blocks:
            replicas = [t.replica for t in trials]
            assert all(replicas.count(r) == arms for r in set(replicas))


def test_blocks_count_only_the_programs_own_arms() -> None:
    """Protects block sizes where a study has several programs: each counts its own arms."""
    found = plan(Arm("a"), Arm("b"), Arm.of("c", hidden=(5,)), num_seeds=5)
    sizes = [len(trials) for group in found.groups for trials in group.blocks(4)]
    assert sizes == [4, 4, 2, 4, 1]
    group = Group((), found.groups[0].program, tuple(Trial(k, k, 0, 1) for k in range(6)))
    assert [len(b) for b in group.blocks(4)] == [4, 2]


def test_schedule_table() -> None:
    """Protects rates: an arm's row is its schedule over its own steps; equal courses share one."""
    hand = "0:1,10:0.5"
    arms = [
        Arm.of("cosine", schedule="cosine"),
        Arm.of("short", schedule="cosine", steps=7),
        Arm.of("warm", schedule="cosine", warmup=4),
        Arm.of("hand", schedule=hand),
        Arm("constant"),
        Arm.of("plateau", schedule="plateau"),
        Arm.of("faster", schedule="cosine", learning_rate=0.1),
    ]
    found = plan(*arms)
    assert found.shapes.dtype == np.float32
    assert found.shapes.shape == (5, 256)
    assert found.schedule_of_arm == [0, 1, 2, 3, 4, 4, 0]
    expected = [
        schedules.shape("cosine", 20),
        schedules.shape("cosine", 7),
        schedules.shape("cosine", 20, warmup=4),
        schedules.shape(hand, 20),
    ]
    for arm, row in enumerate(expected):
        assert np.array_equal(found.shapes[arm][: len(row)], row)
    assert np.array_equal(found.shapes[4], np.ones(256, np.float32))
    assert plan(Arm.of("long", steps=257)).shapes.shape == (1, 512)
    lanes = found.lanes(found.groups[0], found.trials[:7])
    assert [int(lane.schedule) for lane in lanes] == found.schedule_of_arm
    assert [float(lane.plateau) for lane in lanes] == [0, 0, 0, 0, 0, 1, 0]


def test_epochs_are_each_arms_own() -> None:
    """Protects runs told in epochs: an arm's batch and training rows decide how many steps."""
    found = plan(
        Arm.of("base", epochs=3),
        Arm.of("few", epochs=3, train_size=33),
        Arm.of("small", epochs=3, batch_size=8),
        Arm.of("drop", schedule="0:1,2e:0.1", epochs=3),
        Arm.of("drop small", schedule="0:1,2e:0.1", epochs=3, batch_size=8),
        Arm.of("drop few", schedule="0:1,2e:0.1", epochs=3, train_size=33),
        Arm.of("drop many steps", schedule="0:1,2e:0.1", steps=48),
    )
    assert len(found.view(0, 0).train) == 128
    assert found.arm_steps == (24, 6, 48, 24, 48, 6, 48)
    rows = [found.shapes[k] for k in found.schedule_of_arm]
    falls = [int(np.argmax(row < 0.5)) for row in rows[3:]]
    assert falls == [16, 32, 4, 16]


def test_loss_and_task() -> None:
    """Protects from a loss of the other task, whichever arm asks for it."""
    with pytest.raises(UserError, match="--loss: mse does not fit a classification"):
        plan(Arm("base"), Arm.of("wrong", loss="mse"))


def test_all_schedules_share_a_program() -> None:
    """Protects the comparison of schedules: fourteen of them, one program."""
    arms = [Arm.of(name, schedule=name) for name in (*names.SCHEDULES, "0:1,5:.5")]
    assert len(arms) == 14
    assert len(plan(*arms).groups) == 1
