"""Lanes under vmap, as accelerators run them; here on CPU, where their bits can be tested too."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.trials import assert_same, reference, trained


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_neighbours_change_no_bit(model: str) -> None:
    """Protects line 2 of the bits contract at a fixed width: alone, or among 62 others."""
    full = trained(model, 21, mode="vmap", workers=1)
    alone = trained(model, 21, mode="vmap", workers=1, picked=(31,))
    assert_same(alone, full, [31])
    in_turn = reference(model)
    assert np.array_equal(full["first_bad"] >= 0, in_turn["first_bad"] >= 0)
    # The same trials as in turn, up to rounding: the same rows, draws and rates.
    for name in ("raw", "final/train/cross_entropy"):
        finite = np.isfinite(in_turn[name]) & np.isfinite(full[name])
        good = finite.reshape(63, -1) & (in_turn["first_bad"] < 0)[:, None]
        left, right = full[name].reshape(63, -1)[good], in_turn[name].reshape(63, -1)[good]
        np.testing.assert_allclose(left, right, rtol=2e-3, atol=1e-4)
