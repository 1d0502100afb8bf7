"""Random last bits: what moves, how far, and that nothing moves at amplitude 0."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convergence import randomness
from convergence.training.jitter import GRADIENT, SEEN, Jitter, moved, rounded_update

KEY = randomness.root_key(3)
FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)


def jitter(amplitude: float) -> Jitter:
    return Jitter(KEY, jnp.float32(amplitude))


def units(before: jax.Array, after: jax.Array) -> np.ndarray:
    """By how many representable numbers each element moved, away from 0 counted up."""
    words = [np.asarray(one).view(np.int32).astype(np.int64) for one in (before, after)]
    return np.asarray(words[1] - words[0])


@settings(deadline=None, max_examples=50)  # the first compiles
@given(st.lists(FLOATS, min_size=5, max_size=5))
def test_amplitude_zero_moves_no_bit(values: list[float]) -> None:
    """Protects the envelope's zero: only what is asked for is added, and no NaN is made."""
    tree = {"a": jnp.array(values, jnp.float32), "n": jnp.arange(3)}
    after = moved(jitter(0.0), SEEN, tree)
    assert all(
        np.asarray(a).tobytes() == np.asarray(b).tobytes()
        for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(after))
    )


@example([3.4028234663852886e38, 1e-30, -0.0, 1.0, -3.4028234663852886e38])  # the largest there are
@settings(deadline=None, max_examples=50)  # the first compiles
@given(st.lists(FLOATS, min_size=5, max_size=5))
def test_what_has_no_last_place_stays(values: list[float]) -> None:
    """Protects zeros (dead units), infinities and NaN: a moved bit would make numbers of them."""
    tree = jnp.array(values, jnp.float32)
    after = np.asarray(moved(jitter(4.0), SEEN, tree))
    before = np.asarray(tree)
    stays = ~np.isfinite(before) | (np.abs(before) <= 1e-30)
    assert after[stays].tobytes() == before[stays].tobytes()
    assert np.array_equal(np.sign(after[~stays]), np.sign(before[~stays]))


@pytest.mark.parametrize("amplitude", [0.05, 1.0, 6.0])
def test_last_bits_move_by_the_amplitude(amplitude: float) -> None:
    """Protects the calibration: moves are unbiased, of the size asked, and of last bits alone."""
    before = jax.random.normal(jax.random.fold_in(KEY, 1), (40_000,))
    found = units(before, moved(jitter(amplitude), SEEN, before))
    assert abs(found.mean()) < 4 * found.std() / 200
    assert np.abs(found).max() <= np.ceil(amplitude * 3**0.5)
    if amplitude >= 1:
        whole = (amplitude**2 + 1 / 6) ** 0.5  # a whole number's own rounding added, about
        assert found.std() == pytest.approx(whole, rel=0.05)
    else:
        assert (found != 0).mean() == pytest.approx(amplitude * 3**0.5 / 2, rel=0.1)


def test_draws_are_apart() -> None:
    """Protects independence: leaves, uses and steps (keys) draw bits of their own."""
    one = jax.random.normal(KEY, (500,))
    pair = moved(jitter(3.0), SEEN, {"a": one, "b": one})
    others = [
        pair["a"],
        pair["b"],
        moved(jitter(3.0), GRADIENT, {"a": one})["a"],
        moved(Jitter(jax.random.fold_in(KEY, 9), jnp.float32(3)), SEEN, {"a": one})["a"],
    ]
    found = [units(one, other).astype(float) for other in others]
    table = np.corrcoef(found)
    assert np.abs(table - np.eye(4)).max() < 0.2


def test_an_update_rounds_as_often_as_it_reaches_the_last_place() -> None:
    """Protects kernels from far too much noise: a small update seldom changes a last bit more."""
    old = jnp.ones((100_000,), jnp.float32) * 1.3
    found = units(old - 0.013, rounded_update(jitter(1.0), old - 0.013, old))
    assert (found != 0).mean() == pytest.approx(0.0101 * 3**0.5 / 2, rel=0.15)
    assert (units(old, rounded_update(jitter(5.0), old, old)) == 0).all()  # no update, no rounding
