"""Rounding or bug, on trials really trained: repeated rounding, common states, and a few pairs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers import rounding_cases
from helpers import trials as kit
from helpers.rounding_studies import REPORTED

from convergence import rounding
from convergence.analysis.rounding import Judgement, judge
from convergence.analysis.trajectory import Trajectory, distances
from convergence.replay import Replay, Retrainer
from convergence.reporting import files
from convergence.rounding import Jittered, Setup, envelope, trace, trajectory
from convergence.training.state import Lane

OFFSETS = (0, 1, 2, 4, 8, 16)
BASE, HOT, COSINE = range(3)  # arms of the kit's study
SEEDS = 3


@cache
def trainer(model: str = "mlp") -> Retrainer:
    study = kit.study(model, SEEDS)
    replay = Replay(None, study, kit.dataset(), False, {})  # type: ignore[arg-type]
    retrainer = Retrainer(replay)
    bare = rounding.Bare(retrainer.group(0).program, 64, jax.devices()[:1], "map")
    retrainer.population = lambda trial: bare  # type: ignore[method-assign]
    return retrainer


def trials(arm: int) -> tuple[int, ...]:
    return tuple(3 * seed + arm for seed in range(SEEDS))


@cache
def shaken(arm: int = COSINE, model: str = "mlp") -> Jittered:
    return Jittered(trainer(model), trials(arm))


@cache
def own(arm: int = COSINE, model: str = "mlp") -> Trajectory:
    return trajectory(trainer(model), trials(arm), offsets=OFFSETS)


def changed(**hyper: float) -> rounding.Course:
    """The cosine arm's trials with other numbers, in their own executable."""
    setup = Setup(trainer(), trials(COSINE))

    def planted(lane: Lane) -> Lane:
        new = {name: np.float32(lane.hyper[name] * by) for name, by in hyper.items()}
        return lane._replace(hyper=lane.hyper | new)

    population = trainer().population(0)
    shared = trainer().study.shared(population)
    return rounding.course(population, [planted(lane) for lane in setup.lanes()], shared)


@cache
def wide() -> rounding.Bare:
    """The program for two lanes side by side."""
    return Setup(trainer(), trials(COSINE)).widened(2)


def verdict(taken: Any = None, population: Any = None) -> Judgement:
    """Of the cosine arm's trials, trained otherwise."""
    options = {"offsets": OFFSETS, "taken": taken, "population": population}
    before = trace(trainer(), trials(COSINE), kit.STEPS)
    other = trajectory(trainer(), trials(COSINE), against=before, **options)
    base = trajectory(trainer(), trials(COSINE), starts=other.starts, offsets=OFFSETS)
    span = envelope(
        trainer(),
        trials(COSINE),
        starts=other.starts,
        offsets=OFFSETS,
        draws=3,
        amplitude=0.5,
        jittered=shaken(),
    )
    return judge(base, other, span)


def test_amplitude_zero_is_another_compilation_of_the_same_trial() -> None:
    """Protects the envelope's centre: no noise leaves at most what compiling anew makes."""
    (still,) = shaken().run(None, OFFSETS, 1, 0.0)
    apart = distances(own(), still)
    (moved,) = shaken().run(None, OFFSETS, 1, 1.0)
    assert np.median(distances(own(), moved)[:, 1:]) > 0
    assert np.median(apart) <= np.median(distances(own(), moved))


def test_a_step_moves_last_bits_alone() -> None:
    """Protects the envelope from being another training: after one step, a few last places."""
    found = shaken().run(None, OFFSETS, 2, 1.0)
    for one in found:
        for before, after in zip(own().values, one.values):
            last = np.spacing(np.abs(before[:, 1]))
            assert np.array_equal(before[:, 0], after[:, 0])
            assert (np.abs(after[:, 1] - before[:, 1]) <= 64 * last).mean() > 0.97
    assert not np.array_equal(found[0].values[1], found[1].values[1])  # draws differ


def test_the_same_draws_come_again() -> None:
    """Protects repeatability: draws depend on the trial's stream and their number alone."""
    first, again = (shaken().run(None, OFFSETS, 2, 1.0) for _ in range(2))
    alone = Jittered(trainer(), trials(COSINE)[1:2], shaken().population)
    second = alone.run(None, OFFSETS, 2, 1.0)[1]
    for a, b, c in zip(first[1].values, again[1].values, second.values):
        assert a.tobytes() == b.tobytes()
        assert a[1:2].tobytes() == c.tobytes()


def test_rounding_begins_at_the_common_state() -> None:
    """Protects late comparisons: before its start each trial is the study's own, bit for bit."""
    starts = np.array([0, 3, 10])
    base = trajectory(trainer(), trials(COSINE), starts=starts, offsets=OFFSETS)
    (found,) = shaken().run(starts, OFFSETS, 1, 1.0)
    whole = own()
    for a, b, c in zip(base.values, found.values, whole.values):
        assert a[:, 0].tobytes() == b[:, 0].tobytes()
        assert a[0].tobytes() == c[0].tobytes()
    assert (distances(base, found)[:, 2:4].sum(axis=(1, 2)) > 0).all()


def test_a_diverging_trial_is_left_out() -> None:
    """Protects the statistics from trials that end: what is past their end tells nothing."""
    found = own(HOT)
    assert not found.there()[:, -1].any()
    told = distances(found, found)
    assert np.isnan(told[:, -1]).all()


def test_a_width_of_vmap_is_rounding() -> None:
    """Protects against a false alarm, or – where this machine rounds alike – tells equal bits."""
    told = verdict(population=wide())
    assert told.verdict in ("rounding", "same bits")


def test_the_same_again_has_the_same_bits() -> None:
    """Protects the certificate: nothing changed, nothing differs."""
    told = verdict()
    assert told.verdict == "same bits"
    assert told.step is None


@pytest.mark.parametrize("name", ["learning_rate", "beta1", "weight_decay"])
def test_a_number_wrong_by_a_hundredth_is_a_bug(name: str) -> None:
    """Protects the alarm, by the executable that trained the study."""
    assert verdict(changed(**{name: 1.01})).verdict == "bug"


def test_a_late_bug_is_seen_from_its_own_start() -> None:
    """Protects the clock: data that differ in the last batches alone."""
    setup = Setup(trainer(), trials(COSINE))
    lanes = setup.lanes()
    later = [lane._replace(order_epochs=np.int32(2)) for lane in lanes]
    later = [lane._replace(later_order=lane.keys["init"]) for lane in later]
    population = trainer().population(0)
    shared = trainer().study.shared(population)
    per_epoch = int(lanes[0].train_count) // 13
    assert 2 * per_epoch < kit.STEPS
    told = verdict(rounding.course(population, later, shared))
    assert told.verdict == "bug"
    assert told.step == 2 * per_epoch


def test_a_trajectory_passes_through_a_file(tmp_path: Path) -> None:
    """Protects the hand-over between processes, and tells a damaged file."""
    rounding.save(tmp_path / "a.npz", own())
    back = rounding.load(tmp_path / "a.npz")
    assert (distances(own(), back) == 0).all()
    files.write_npz(tmp_path / "b.npz", {"trials": np.arange(3)})
    with pytest.raises(files.CorruptFile, match="without"):
        rounding.load(tmp_path / "b.npz")


def test_calibration_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the default: where no width changes a bit, it is said."""
    same = rounding.calibrate(trainer(), trials(COSINE), (), shaken())
    assert same.amplitude == 1.0
    assert "the default" in same.told
    monkeypatch.setattr(Setup, "widened", lambda self, width: wide())
    told = rounding.calibrate(trainer(), trials(COSINE), (2,), shaken())
    assert 0 < told.amplitude <= 8


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTED)
def test_pairs_of_which_it_is_known_what_they_are(name: str, tmp_path: Path) -> None:
    """Protects the figures in the notes: the table of `helpers.rounding_cases`, study by study."""
    rounding_cases.measure(tmp_path, name)
    verdicts: dict[str, list[str]] = {"rounding": [], "bug": []}
    for _, told in rounding_cases.pairs(tmp_path):
        found = rounding_cases.judged(told).verdict
        if found != "same bits":
            verdicts[str(told["truth"])].append(found)
    for truth, found in verdicts.items():
        assert len(found) >= 30
        assert found.count(truth) >= 0.96 * len(found)
        assert found.count("cannot tell") <= 0.1 * len(found)
