"""Schedules: golden values, optax where it has the same, warm-up, pairs, and the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence import names, schedules
from convergence.errors import UserError
from convergence.schedules import (
    plateau_add,
    plateau_close,
    plateau_course,
    plateau_init,
    shape,
)

N = 200


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("constant", optax.constant_schedule(1.0)),
        ("linear", optax.linear_schedule(1.0, 0.0, N)),
        ("cosine", optax.cosine_decay_schedule(1.0, N)),
        ("exponential", optax.exponential_decay(1.0, N, 0.01)),
        ("polynomial", optax.polynomial_schedule(1.0, 0.0, 2, N)),
        ("drop", optax.piecewise_constant_schedule(1.0, {N // 2: 0.1, 3 * N // 4: 0.1})),
        ("one_cycle", optax.cosine_onecycle_schedule(N, 1.0)),
    ],
)
def test_agrees_with_optax(name: str, theirs: Any) -> None:
    """Protects names that users know from optax: they mean the same curve here."""
    with jax.numpy_dtype_promotion("standard"):
        expected = np.asarray(jax.vmap(theirs)(jnp.arange(N)))
    np.testing.assert_allclose(shape(name, N), np.broadcast_to(expected, N), atol=2e-6)


GOLDEN = {
    "cosine_restarts": {0: 1.0, 50: 0.5, 99: 0.000247, 100: 1.0, 250: 0.5},
    "time_based": {0: 1.0, 100: 0.25, 200: 1 / 7},
    "inverse_sqrt": {0: 1.0, 15: 0.5**0.5, 45: 0.5, 285: 0.05**0.5},
    "drop": {149: 1.0, 150: 0.1, 224: 0.1, 225: 0.01},
    "triangular": {0: 0.1, 50: 1.0, 25: 0.55, 100: 0.1, 150: 1.0},
    "wsd": {0: 1.0, 239: 1.0, 240: 1.0, 270: 0.5, 299: 1 / 60},
    "plateau": {0: 1.0, 299: 1.0},
    "one_cycle": {0: 0.04, 90: 1.0},
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values(name: str) -> None:
    """Protects published runs: a shape may not move under a name."""
    vector = shape(name, 300)
    for step, expected in GOLDEN[name].items():
        assert vector[step] == pytest.approx(expected, abs=2e-5), step


@pytest.mark.parametrize("name", names.SCHEDULES)
def test_warmup_rises_to_the_schedules_start(name: str) -> None:
    """Protects warm-up: linear, never 0, then the whole schedule over the remaining steps."""
    vector = shape(name, 120, warmup=20)
    rest = shape(name, 100)
    if name == "inverse_sqrt":
        rest = np.sqrt(20 / (20 + np.arange(100)))
    np.testing.assert_allclose(vector[20:], rest, rtol=1e-6)
    np.testing.assert_allclose(vector[:20], rest[0] * np.arange(1, 21) / 21, rtol=1e-6)


NUMBERS = {
    "cosine_restarts:2": {0: 1.0, 75: 0.5, 150: 1.0},
    "triangular:1": {0: 0.1, 150: 1.0},
    "exponential:0.0001": {150: 0.01},
    "time_based:20": {0: 1.0, 15: 0.5, 285: 0.05},
    "polynomial:1": {0: 1.0, 75: 0.75},
    "one_cycle:0.5": {0: 0.04, 150: 1.0},
    "wsd:0.5": {150: 1.0, 225: 0.5},
    "inverse_sqrt:100": {0: 1.0, 100: 0.5**0.5},
    "drop:100*.5": {0: 1.0, 99: 1.0, 100: 0.5, 200: 0.25, 299: 0.25},
    "drop:2e*0.1": {119: 1.0, 120: 0.1, 240: 0.01},
}


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_after_a_name(text: str) -> None:
    """Protects a schedule's own number, and that drops count steps and epochs of the run."""
    vector = shape(text, 300, steps_per_epoch=60)
    for step, expected in NUMBERS[text].items():
        assert vector[step] == pytest.approx(expected, abs=2e-5), step
    name = text.partition(":")[0]
    plain = schedules.BY_PROGRESS.get(name)
    if plain and plain.number:
        given = f"{name}:{plain.number.default:g}"
        assert np.array_equal(shape(given, 300), shape(name, 300))
    risen = shape(text, 300, warmup=30, steps_per_epoch=60)
    np.testing.assert_allclose(risen[:30], risen[30] * np.arange(1, 31) / 31, rtol=1e-6)
    if name == "drop":
        assert np.array_equal(risen[30:], vector[30:])


OWN = """
import numpy as np
import optax

half = lambda step, steps: np.where(step < steps // 2, 1.0, 0.5)
warm = optax.warmup_cosine_decay_schedule(0.0, 1.0, 20, 100, 0.1)
still = optax.constant_schedule(0.25)

def single(step, steps):
    return 1.0 if step < 30 else 30 / step

def short(step, steps):
    return np.ones(3)

def negative(step):
    return 5.0 - step

def endless(step):
    return np.where(step == 7, np.inf, 1.0)

def random(step):
    return np.random.random(len(step))

def broken(step, steps):
    raise KeyError("rate")

number = 3
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file of schedules that are functions."""
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path / "own.py"


def test_functions(own: Path) -> None:
    """Protects a user's function: of all steps, of one step at a time, or optax's."""
    t = np.arange(100)
    assert np.array_equal(shape(f"{own}:half", 100), np.where(t < 50, 1, 0.5).astype("f4"))
    single = np.where(t < 30, 1.0, 30 / np.maximum(t, 1))
    assert np.array_equal(shape(f"{own}:single", 100), single.astype("f4"))
    assert np.array_equal(shape(f"{own}:still", 100), np.full(100, 0.25, "f4"))
    warm = shape(f"{own}:warm", 100)
    assert warm[0] == 0
    assert warm[20] == pytest.approx(1.0)
    risen = shape(f"{own}:half", 100, warmup=10)
    assert np.array_equal(risen[10:], shape(f"{own}:half", 100)[10:])
    assert shape(f"{own}:half", 0).shape == (0,)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("short", r"short in own.py gives values of shape \(3,\) for 50 steps; give one a step"),
        ("negative", r"negative in own.py gives -1 at step 6; a factor is a number from 0"),
        ("endless", r"endless in own.py gives inf at step 7"),
        ("random", r"random in own.py gives other values when it is called again"),
        ("broken", r"broken failed in .*own.py \(line \d+\): KeyError: 'rate'"),
        ("number", r"number in own.py is not a function of the step"),
        ("halff", r"own.py has no attribute 'halff'; did you mean 'half'"),
    ],
)
def test_functions_that_are_wrong_are_told(own: Path, name: str, words: str) -> None:
    """Protects users from tracebacks, and runs from rates that cannot be had again."""
    with pytest.raises(UserError, match=f"--schedule: .*{words}"):
        shape(f"{own}:{name}", 50)


def test_pairs_by_hand() -> None:
    """Protects a user's own schedule: absolute factors from absolute steps of the run."""
    vector = shape("3:.5,6:0.1", 10)
    assert np.array_equal(vector, np.float32([1, 1, 1, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1]))
    assert np.array_equal(shape("3:.5,6:.1", 10, warmup=4)[4:], vector[4:])
    epochs = shape("0:2,1e:1,2e:.5", 6, steps_per_epoch=2)
    assert np.array_equal(epochs, np.float32([2, 2, 1, 1, 0.5, 0.5]))
    assert shape("0:1,500:.1", 0).shape == (0,)


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 4)), min_size=1, max_size=5))
def test_pairs_are_a_step_function(pairs: list[tuple[int, float]]) -> None:
    """Protects the parser: any increasing pairs give the last factor at or before each step."""
    steps = sorted({step for step, _ in pairs})
    chosen = [(step, factor) for step, (_, factor) in zip(steps, pairs)]
    vector = shape(",".join(f"{s}:{f!r}" for s, f in chosen), 50)
    for t in range(50):
        before = [factor for step, factor in chosen if step <= t]
        assert vector[t] == np.float32(before[-1] if before else 1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cosin", "did you mean 'cosine'"),
        ("0:1,50", "'50' is not a pair"),
        ("0:1,x:.1", "'x:.1' is not a pair"),
        ("0:1,5:", "'5:' is not a pair"),
        ("1.5:1,", "'1.5:1' is not a pair"),
        ("0:1,5:-1", "'5:-1' needs"),
        ("0:1,5:nan", "'5:nan' needs"),
        ("-3:1", "'-3:1' needs"),
        ("5:1,5:.5", "'5:.5' must come at a later step than 5"),
        ("0:1,2e:.5", "'2e:.5' counts epochs"),
        ("cosin:4", "unknown schedule 'cosin'; did you mean 'cosine'"),
        ("linear:4", "linear takes no number; leave out ':4'"),
        ("cosine_restarts:", "'cosine_restarts:' needs the number of cycles"),
        ("cosine_restarts:2.5", "a whole number from 1 to 1000, such as cosine_restarts:3"),
        ("triangular:0", "'triangular:0' needs the number of cycles"),
        ("exponential:0", "needs the factor at which it ends"),
        ("time_based:nan", "needs the k of 1/\\(1 \\+ k progress\\)"),
        ("wsd:1.5", "needs the share of steps in the final descent"),
        ("inverse_sqrt:-1", "'inverse_sqrt:-1' needs"),
        ("drop:500", "'drop:500' needs how often and by what"),
        ("drop:0*.5", "'drop:0\\*.5' needs how often"),
        ("drop:5*2", "'drop:5\\*2' needs how often"),
        ("drop:3e*.5", "'drop:3e\\*.5' counts epochs"),
    ],
)
def test_mistakes_are_told(text: str, words: str) -> None:
    """Protects users: the message names the pair that is wrong."""
    with pytest.raises(UserError, match=f"--schedule: .*{words}"):
        shape(text, 100)


def test_warmup_longer_than_the_run_is_told() -> None:
    """Protects a run that would never reach its rate; a run of no steps has no such fault."""
    with pytest.raises(UserError, match="--warmup: 10 steps leave none of the 10"):
        shape("cosine", 10, warmup=10)
    assert shape("cosine", 0, warmup=10).shape == (0,)


def controls(losses: np.ndarray, active: float) -> tuple[np.ndarray, Any]:
    """The multiplier after each step, by a scan over given losses."""

    def body(state: Any, item: Any) -> Any:
        loss, step = item
        state = plateau_close(plateau_add(state, loss), step + 1)
        return state, state.control

    steps = jnp.arange(len(losses), dtype=jnp.int32)
    start = plateau_init(jnp.float32(active))
    end, control = jax.jit(lambda xs: jax.lax.scan(body, start, xs))((jnp.float32(losses), steps))
    return np.asarray(control), end


def test_plateau_halves_after_four_stale_windows() -> None:
    """Protects the controller's cadence: windows of 50 steps, patience 4, factor a half."""
    control, end = controls(np.ones(1000), 1.0)
    # The first window sets the best; the fifth is the fourth stale one.
    drops = np.flatnonzero(np.diff(control)) + 1
    assert drops.tolist() == [249, 449, 649, 849]
    assert control[-1] == 1 / 16
    assert control.dtype == np.float32
    assert [leaf.dtype.name for leaf in end] == ["float32"] * 4 + ["int32"]


@pytest.mark.parametrize("seed", range(6))
def test_plateau_course_is_the_controllers(seed: int) -> None:
    """Protects the drawn rate: the course told from the losses is the one that was trained by."""
    rng = np.random.default_rng(seed)
    losses = (1.0 + 2.0 * np.exp(-np.arange(1_450) / 150) + rng.normal(size=1_450)).astype("f4")
    course = plateau_course(losses.astype(np.float64))
    assert course.tolist() == [1.0, *controls(losses, 1.0)[0].tolist()]
    assert course[-1] < 1


def test_plateau_waits_while_the_loss_falls() -> None:
    """Protects a run that improves, and arms with other schedules, from being slowed."""
    falling = np.exp(-np.arange(1000) / 300)
    assert np.all(controls(falling, 1.0)[0] == 1)
    assert np.all(controls(np.ones(1000), 0.0)[0] == 1)
    assert np.all(controls(-1 - np.arange(1000) / 100, 1.0)[0] == 1)  # losses below 0
    noise = np.random.default_rng(0).normal(size=1000)
    assert np.all(controls(falling + 0.01 * noise, 1.0)[0] == 1)  # windows smooth the noise
