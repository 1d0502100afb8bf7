"""Schedules: golden values, optax where it has the same, warm-up, pairs, and the controller."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence import names
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
