"""The losses that the host keeps: raw steps, bins and a chain, wherever segments end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.training import curve
from convergence.training.curve import BINS, RAW_STEPS, CurveRecorder, bin_count, bin_width

NAN = np.float32(np.nan)


def traces(trials: int, total: int, seed: int = 0) -> np.ndarray:
    """float32[trials, total, 2]: losses and gradient norms."""
    return np.exp(np.random.default_rng(seed).normal(size=(trials, total, 2))).astype(np.float32)


def recorded(
    trace: np.ndarray, ends: np.ndarray, cuts: list[int], every: int = 7, marks: int = 5
) -> CurveRecorder:
    """A recorder told of the trace in segments that end at the cuts; trials end where told."""
    total = trace.shape[1]
    recorder = CurveRecorder(len(trace), total, every, marks)
    start = 0
    for stop in [*cuts, total]:
        here = trace[:, start:stop].copy()
        here[start + np.arange(stop - start) >= ends[:, None]] = 0  # as a program leaves them
        recorder.add(here, np.minimum(ends, stop))
        start = stop
    return recorder


def plain_bins(loss: np.ndarray, end: int) -> dict[str, np.ndarray]:
    """The bins of one trial, one by one."""
    total, width = len(loss), bin_width(len(loss))
    loss = np.where(np.arange(total) < end, loss, NAN)
    found: dict[str, list[float]] = {name: [] for name in ("mean", "min", "max", "improving")}
    for start in range(RAW_STEPS, total, width):
        values = loss[start : start + width].astype(np.float64)
        before = loss[start - 1 : start - 1 + len(values)]
        there = ~np.isnan(values)
        if not there.any():
            for told in found.values():
                told.append(np.nan)
            continue
        found["mean"].append(values[there].mean())
        found["min"].append(values[there].min())
        found["max"].append(values[there].max())
        found["improving"].append(float((values[there] < before[there]).mean()))
    return {name: np.array(told) for name, told in found.items()}


@pytest.mark.parametrize("total", [0, 1, 255, 256, 257, 600, 1256, 1257, 1300, 3500])
def test_bins_against_a_plain_computation(total: int) -> None:
    """Protects the curve: raw losses first, then mean, extremes and share of steps going down."""
    trace = traces(4, total)
    ends = np.array([total, max(0, total - 3), min(total, 300), min(total, 10)])
    arrays = recorded(trace, ends, []).arrays()
    assert arrays["bin_mean"].shape == (4, bin_count(total))
    for k, end in enumerate(ends):
        raw = np.where(np.arange(min(total, RAW_STEPS)) < end, trace[k, :RAW_STEPS, 0], NAN)
        assert np.array_equal(arrays["raw"][k], raw, equal_nan=True)
        for name, expected in plain_bins(trace[k, :, 0], end).items():
            found = arrays[f"bin_{name}"][k]
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, rtol=1e-6)


@given(st.integers(0, 10**9))
def test_bins_cover_the_run(total: int) -> None:
    """Protects memory and completeness: at most 1,000 bins, and each later step in one of them."""
    width, count = bin_width(total), bin_count(total)
    assert width >= 1
    assert count <= BINS
    rest = max(0, total - RAW_STEPS)
    assert (count - 1) * width < rest <= count * width or rest == count == 0


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_segments_change_no_bit(data: st.DataObject) -> None:
    """Protects line 4 of the bits contract: where segments end moves no bit of what is kept."""
    total = data.draw(st.sampled_from([1, 40, 256, 300, 1400]))
    cuts = sorted(data.draw(st.sets(st.integers(1, total), max_size=8)) - {total})
    ends = np.array(data.draw(st.lists(st.integers(0, total), min_size=3, max_size=3)))
    every = data.draw(st.sampled_from([0, 1, 7, 50]))
    trace = traces(3, total)
    marks = min(9, total // every) if every else 0
    whole = recorded(trace, ends, [], every, marks).pack()
    cut = recorded(trace, ends, cuts, every, marks).pack()
    assert whole.keys() == cut.keys()
    for name, values in whole.items():
        assert values.tobytes() == np.ascontiguousarray(cut[name]).tobytes(), name


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([100, 256, 300, 1400]), st.integers(1, 1399))
def test_resumed_in_between(total: int, at: int) -> None:
    """Protects resuming: packed after any segment and unpacked, the curve goes on the same."""
    at = min(at, total)
    trace, ends = traces(2, total), np.array([total, total // 2])
    expected = recorded(trace, ends, [at]).arrays()
    first = CurveRecorder(2, total, 7, 5)
    trace[1, total // 2 :] = 0
    first.add(trace[:, :at], np.minimum(ends, at))
    packed = {name: np.array(values) for name, values in first.pack().items()}
    second = CurveRecorder(2, total, 7, 5)
    second.unpack(packed)
    second.add(trace[:, at:], ends)
    for name, values in expected.items():
        assert values.tobytes() == second.arrays()[name].tobytes(), name


def chain(trace: np.ndarray, end: int | None = None) -> np.ndarray:
    """uint32[marks, 2]: the chain after every step of one trial's trace."""
    total = len(trace)
    ends = np.array([total if end is None else end])
    return recorded(trace[None], ends, [], 1, total).arrays()["chains"][0]


EDITS = {
    "loss": lambda t: t.__setitem__((20, 0), np.nextafter(t[20, 0], np.float32(9))),
    "norm": lambda t: t.__setitem__((20, 1), np.nextafter(t[20, 1], np.float32(9))),
    "loss and norm swapped": lambda t: t.__setitem__(20, t[20, ::-1].copy()),
    "two steps swapped": lambda t: t.__setitem__([20, 30], t[[30, 20]]),
    "two losses swapped": lambda t: t.__setitem__(([20, 30], 0), t[[30, 20], 0]),
    "signs of two losses": lambda t: t.__setitem__(([20, 21], 0), -t[[20, 21], 0]),
}


@pytest.mark.parametrize("edit", EDITS)
def test_the_chain_never_heals(edit: str) -> None:
    """Protects `when did two runs part`: one step changed, and the chain differs ever after."""
    for seed in range(40):
        trace = traces(1, 60, seed)[0]
        other = trace.copy()
        EDITS[edit](other)
        a, b = chain(trace), chain(other)
        assert np.array_equal(a[:20], b[:20])
        assert np.all(a[20:] != b[20:])


def test_the_chain_sees_zeros_signs_and_nan() -> None:
    """Protects bits, not values: minus zero is not zero, and one NaN is not another."""
    trace = traces(1, 3)[0]
    found = set()
    for bits in (0, 1 << 31, 0x7FC00000, 0x7FC00001, 0xFFC00000, 0x7F800000):
        trace[1, 0] = np.uint32(bits).view(np.float32)
        found.add(tuple(chain(trace)[-1].tolist()))
    assert len(found) == 6


def test_the_chain_stops_with_its_trial() -> None:
    """Protects diverged trials: what comes after the last step taken leaves no trace."""
    trace = traces(1, 30)[0]
    a = chain(trace, end=10)
    trace[10:] = 5.0
    assert np.array_equal(a, chain(trace, end=10))
    assert np.all(a[9:] == a[9])
    assert np.all(a[9] != a[8])
    assert not np.array_equal(chain(trace[:11])[-1], a[-1])


def test_marks_of_the_chain() -> None:
    """Protects fingerprints.npz: marks of the chain are its values after every so many steps."""
    trace = traces(3, 40)
    arrays = recorded(trace, np.full(3, 40), [5, 9, 33], every=7, marks=4).arrays()
    for k in range(3):
        every_step = chain(trace[k])
        assert np.array_equal(arrays["chains"][k], every_step[6:28:7])
        assert np.array_equal(arrays["chain"][k], every_step[-1])


def test_chain_golden() -> None:
    """Protects old workdirs: the chain of given losses stays what it was."""
    trace = np.float32([[1.5, 0.25], [1.0, 0.125], [np.inf, 0.0]])
    assert chain(trace).tolist() == [
        [606969764, 3957162925],
        [3587898836, 1622159300],
        [3579992760, 2113426665],
    ]


def test_links_are_distinct() -> None:
    """Protects the chain's sums: no two parts of 60,000 steps are alike in either word."""
    trace = traces(20, 3000)
    parts = curve.links(trace[..., 0], trace[..., 1], 5).reshape(-1, 2)
    assert all(len(np.unique(word)) >= len(word) - 3 for word in parts.T)
    assert np.array_equal(
        curve.links(trace[..., 0], trace[..., 1], 5)[:, 100:],
        curve.links(trace[:, 100:, 0], trace[:, 100:, 1], 105),
    )


@pytest.mark.parametrize("end", [3, 255, 256, 257, 300, 400])
def test_diverged_trials(end: int) -> None:
    """Protects curves from NaN and from each other: a trial that blows up ends in its own bins."""
    total = 500
    trace = traces(2, total)
    trace[0, end - 1 :, 0] = np.inf  # its last step's loss is infinite
    arrays = recorded(trace, np.array([end, total]), [100, 256, 258]).arrays()
    alone = recorded(trace[1:], np.array([total]), []).arrays()
    for name, values in arrays.items():
        assert values[1].tobytes() == alone[name][0].tobytes(), name
    raw, mean = arrays["raw"][0], arrays["bin_mean"][0]
    points = np.concatenate([raw, mean])
    assert np.isposinf(points[end - 1])
    assert np.all(np.isfinite(points[: end - 1]))
    assert np.all(np.isnan(points[end:]))
    assert np.all(np.isnan(arrays["bin_min"][0][max(0, end - 256) :]))


def test_a_bad_step_in_a_wide_bin() -> None:
    """Protects wide bins: an infinite loss shows in mean and maximum, a NaN is left out."""
    total = RAW_STEPS + 4 * BINS
    trace = traces(2, total)
    trace[0, 300, 0], trace[1, 300, 0] = np.inf, NAN
    arrays = recorded(trace, np.array([301, 301]), []).arrays()
    place = (300 - RAW_STEPS) // 4
    assert np.isposinf(arrays["bin_mean"][0, place])
    assert np.isposinf(arrays["bin_max"][0, place])
    assert np.all(np.isnan(arrays["bin_mean"][:, place + 1 :]))
    assert np.isnan(arrays["bin_mean"][1, place])  # the NaN was the bin's only step
