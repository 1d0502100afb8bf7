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
    # The same trials as in turn, up to rounding, which grows: the same rows, draws and rates.
    good = in_turn["first_bad"] < 0
    early = (full["raw"][good, :5], in_turn["raw"][good, :5])
    np.testing.assert_allclose(*early, rtol=1e-4, atol=1e-5)
