"""Two studies compared: what is aligned, what is refused, and what each answer rests on."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import commands
from helpers.finished import finished

from convergence.comparison.compared import Compared, compare, further, lines
from convergence.comparison.side import Side
from convergence.errors import UserError
from convergence.reporting import files
from convergence.spec import Arm, DataSpec, ModelSpec, TrainSpec

WINE = DataSpec(dataset="wine")
TRAIN = TrainSpec(steps=20, batch_size=16, learning_rate=0.01)
HOT = Arm.of("hot", learning_rate=3e38)
SOURCES = ("init", "order", "split")


def trained(folder: Path, told: DataSpec = WINE, **change: Any) -> Path:
    """A small finished study."""
    model = change.pop("model", ModelSpec(hidden=(6,)))
    arms = change.pop("arms", (Arm("base"), Arm.of("fast", learning_rate=0.05)))
    run = {name: change.pop(name) for name in tuple(change) if name in ("seed", "first_replica")}
    count, vary = change.pop("num_seeds", 6), change.pop("vary", SOURCES)
    every, metric = change.pop("fingerprint_every", 6), change.pop("metric", "auto")
    train = dataclasses.replace(TRAIN, **change)
    finished(folder, told, model, train, arms, num_seeds=count, fingerprint_every=every,
             vary=vary, metric=metric, lanes=16, **run)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the study `first`, in which programs are shared."""
    with commands.programs_kept(tmp_path_factory.getbasetemp()):
        folder = tmp_path_factory.mktemp("compared")
        trained(folder / "first")
        yield folder


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    """A copy of `first` that a test may spoil."""
    return Path(shutil.copytree(home / "first", tmp_path / "copy"))


def against(home: Path, folder: Path, **how: Any) -> Compared:
    return compare(Side(home / "first"), Side(folder), **how)


def spoil(folder: Path, name: str, change: Any) -> None:
    arrays = files.read_npz(folder / name)
    change(arrays)
    files.write_npz(folder / name, arrays)


def test_a_study_trained_again_is_the_same(home: Path, tmp_path: Path) -> None:
    """Protects the first answer: the same spec gives the same bits, whoever its neighbours are."""
    other = trained(tmp_path / "again", num_seeds=4, first_replica=2)
    told = against(home, other)
    assert told.verdict == "same bits"
    assert [arm.bits.same for arm in told.arms] == [4, 4]
    assert any("4 seeds in both" in line for line in told.aligned.told)
    assert all(one.distance.largest == 0 for one in told.arms)
    assert not [one for one in told.aligned.differences if one.kind == "conditions"]


@pytest.mark.parametrize(
    ("name", "column"),
    [("fingerprints.npz", "final"), ("fingerprints.npz", "chains"), ("sketches.npz", "sketches")],
)
def test_one_bit_is_no_longer_the_same(home: Path, copy: Path, name: str, column: str) -> None:
    """Protects "same bits": one bit of one record of one trial forbids it, and is located."""

    def flip(arrays: dict[str, np.ndarray]) -> None:
        arrays[column].view(np.uint32)[4].flat[-1] ^= 1

    spoil(copy, name, flip)
    told = against(home, copy)
    base, fast = told.arms  # trial 4 is base's third
    assert (base.bits.same, fast.bits.same) == (5, 6)
    assert (base.verdict, fast.verdict) == ("equivalent", "same bits")
    assert base.bits.step == (18 if column == "chains" else 0)
    assert base.bits.only_told == (column != "final")


def test_another_layout_of_the_state_is_no_difference(home: Path, copy: Path) -> None:
    """Protects across library versions: where losses, sketches and params are the same, digests
    that also see how the state is laid out do not count – unless a param differs."""
    spoil(copy, "fingerprints.npz", lambda a: a.update(final=a["final"] ^ np.uint32(5)))
    assert against(home, copy).arms[0].bits.same == 0
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["provenance"]["versions"]["flax"] = "0.12.1"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    told = against(home, copy)
    assert told.verdict == "same bits"
    assert told.arms[0].bits.layouts == 6
    assert "laid out otherwise" in told.arms[0].notes[0]
    shutil.rmtree(copy / "params")
    assert against(home, copy).arms[0].bits.same == 0  # nothing shows that params are the same


def test_a_hyperparameter_is_named_and_measured(home: Path, tmp_path: Path) -> None:
    """Protects the second answer: what differs is named; shift, churn and params are measured."""
    other = trained(tmp_path / "faster", learning_rate=0.02)
    told = against(home, other)
    (difference,) = told.aligned.differences
    assert (difference.field, difference.was, difference.now) == ("train.learning_rate", 0.01, 0.02)
    base = told.arms[0]  # fast overrides the rate
    assert told.arms[1].verdict == "same bits"
    assert base.bits.same == 0
    assert base.bits.step == 6
    assert base.distance.by == "params"
    assert base.distance.largest > 1e-3
    assert base.agreement is not None
    assert base.agreement.ratio.estimate > 0
    assert base.verdict in ("equivalent", "different", "undecided")
    command = further(told, {"model": "", "loss": "my own.py:loss"})
    assert command.endswith(f"first_difference.py {home / 'first'} {other} '--loss=my own.py:loss'")
    assert base.shift.difference.estimate == pytest.approx(base.means[1] - base.means[0])


def test_other_seeds_are_not_paired(home: Path, tmp_path: Path) -> None:
    """Protects pairing: another root shares no key; it has the churn of other seeds."""
    vary = ("init", "order")
    first = trained(tmp_path / "first", vary=vary, num_seeds=8)
    other = trained(tmp_path / "other", vary=vary, seed=5, num_seeds=7)
    told = compare(Side(first), Side(other))
    assert not told.aligned.paired
    assert "roots differ (0, 5)" in told.aligned.told[0]
    assert "  bits: not compared, as seeds are not paired." in lines(told)
    assert not further(told, {})  # no pair of trials is there to be followed
    base = told.arms[0]
    assert base.bits.same is None
    assert base.shift.n == (8, 7)
    assert base.agreement is None or base.agreement.between.estimate > 0


def test_only_what_is_common_is_compared(home: Path, tmp_path: Path) -> None:
    """Protects studies that grew: common arms; none in common is refused with what would do."""
    grown = trained(tmp_path / "grown", arms=(Arm.of("fast", learning_rate=0.05), HOT))
    told = against(home, grown)
    assert [arm.arm for arm in told.arms] == ["fast"]
    assert told.verdict == "same bits"
    assert "base, hot" in told.aligned.told[0]
    told = against(home, grown, arm="base", other="hot")
    assert (told.arms[0].other, told.verdict) == ("hot", "different")
    assert told.arms[0].shift.n == (0, 0)
    assert "diverged after alone" in told.arms[0].reason
    with pytest.raises(UserError, match="--other_arm: unknown arm of the second study 'cold'"):
        against(home, grown, arm="base", other="cold")
    strange = trained(tmp_path / "strange", arms=(Arm("x"), Arm("y", (("learning_rate", 0.5),))))
    with pytest.raises(UserError, match=r"no arm in common.*--arm='base' --other_arm='x'"):
        against(home, strange)


def revised(folder: Path, wrong: int, seed: int = 0, **names: Any) -> DataSpec:
    """Rows in a file, of which the first `wrong` have another label."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, 3)).astype(np.float32)
    y = (x.sum(axis=1) > 0).astype(np.int64)
    y[:wrong] = 1 - y[:wrong]
    path = folder / f"rows{wrong}-{seed}.npz"
    np.savez(path, x=x, y=y, **names)
    return DataSpec(dataset="file", data_path=str(path), outer_split=0)


def test_revised_data_are_matched_row_by_row(home: Path, tmp_path: Path) -> None:
    """Protects a revision of data: only held-out rows that did not change score both, and the
    digest of either's data is named where nothing is left in common."""
    first = trained(tmp_path / "before", revised(tmp_path, 0))
    other = trained(tmp_path / "after", revised(tmp_path, 30))
    told = compare(Side(first), Side(other))
    assert any("held-out" in n or "held out" in n for n in told.arms[0].notes), told.arms[0].notes
    assert any(one.field == "data_digest" for one in told.aligned.differences)
    whole = compare(Side(first), Side(first.parent / "after"), metric="brier")
    assert whole.aligned.metric == "brier"
    stranger = trained(tmp_path / "strangers", revised(tmp_path, 0, seed=9))
    with pytest.raises(UserError, match=r"digest [0-9a-f]{12}….*no held-out row in common"):
        compare(Side(first), Side(stranger))


def test_rescored_rows_give_the_studies_own_scores(home: Path, tmp_path: Path) -> None:
    """Protects the rescoring: where all rows are common it gives the stored metrics back."""
    from convergence.comparison.held_out import lay, rescored

    side = Side(home / "first")
    trials = side.saved.trials("base")
    held = lay(side, side, (trials, trials))
    assert held is not None
    assert held.alike
    for metric in ("accuracy", "cross_entropy", "brier"):
        again, _ = rescored(held, metric, True)
        np.testing.assert_allclose(again, side.scores(trials, metric, "validation"), rtol=1e-5)


def edited(folder: Path, name: str, change: Any) -> None:
    told = json.loads((folder / name).read_text())
    change(told)
    (folder / name).write_text(json.dumps(told))


def test_other_questions_are_refused(home: Path, copy: Path) -> None:
    """Protects from comparing what cannot be: task, classes, metric, and a study with itself."""
    with pytest.raises(UserError, match="give its folder alone"):
        compare(Side(home / "first"), Side(home / "." / "first"))
    edited(copy, "manifest.json", lambda told: told["spec"]["run"].update(metric="brier"))
    with pytest.raises(UserError, match=r"compares accuracy, the second brier.*--metric=accuracy"):
        against(home, copy)
    assert against(home, copy, metric="brier").verdict == "same bits"
    with pytest.raises(UserError, match="unknown metric of both studies 'rmse'"):
        against(home, copy, metric="rmse")
    edited(copy, "preprocessing.json", lambda told: told.update(classes=["a", "b", "c"]))
    with pytest.raises(UserError, match="tell other classes apart"):
        against(home, copy)
    edited(copy, "preprocessing.json", lambda told: told.update(target="vintage"))
    with pytest.raises(UserError, match="the second 'vintage'"):
        against(home, copy)


def test_damaged_records(home: Path, copy: Path) -> None:
    """Protects from claims on nothing: without digests bits are unknown, the rest is compared; a
    newer or unfinished study is refused."""
    path = copy / "fingerprints.npz"
    path.write_bytes(path.read_bytes()[:100])
    told = against(home, copy)
    assert told.arms[0].bits.same is None
    assert told.verdict != "same bits"
    assert any("bits are unknown" in line and "damaged" in line for line in told.missing)
    assert not any(line.endswith("..") or "--workdir" in line for line in lines(told))
    path.unlink()
    assert any("missing" in line for line in against(home, copy).missing)
    (copy / "predictions.npz").write_bytes(b"nonsense")
    told = against(home, copy)
    assert told.arms[0].agreement is None
    assert any("predictions.npz cannot be used" in line for line in told.missing)
    manifest = json.loads((copy / "manifest.json").read_text())
    for field, value, said in (
        ("workdir_version", 99, "newer version"),
        ("status", "interrupted", "not finished"),
    ):
        (copy / "manifest.json").write_text(json.dumps(manifest | {field: value}))
        with pytest.raises(UserError, match=said):
            Side(copy)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    (copy / "trials.parquet").unlink()
    with pytest.raises(UserError, match=r"trials\.parquet is missing"):
        Side(copy)


@pytest.mark.slow
def test_another_model_and_loss(home: Path, tmp_path: Path) -> None:
    """Protects claim 0b and what is printed: a larger model has no params to hold against, but
    predictions in the target's unit; the text keeps to 80 columns, the JSON is strict."""
    larger, told = ModelSpec(hidden=(12,)), DataSpec(dataset="diabetes")
    other = trained(tmp_path / "other", told, arms=(Arm("base"), HOT), model=larger, loss="mae")
    number = trained(tmp_path / "number", told, arms=(Arm("base"), HOT))
    with pytest.raises(UserError, match="first study is a classification, the second a regression"):
        against(home, number)
    found = compare(Side(number), Side(other))
    text = "\n".join(lines(found))
    assert max(map(len, text.splitlines())) <= 80
    assert "model.hidden: 6 → 12; train.loss: mse → mae" in text
    assert "rms difference" in text
    assert found.arms[1].verdict == "undecided"  # nobody finished
    assert json.loads(json.dumps(files.plain(found.to_json()), allow_nan=False))
    base = found.arms[0]
    assert base.distance.by == ""
    assert base.bits.same == 0
    assert base.agreement is not None
    assert base.agreement.within.estimate > 1  # the target runs from 25 to 346
