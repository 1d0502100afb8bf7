"""Predictions of a finished study: its own held-out predictions again, bit for bit."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers import commands
from helpers.finished import SMALL, differing, finished, predicted
from test_study_own_models import OWN

from convergence import data, names, prediction
from convergence.errors import UserError
from convergence.optimizers import Optimizer, build_optimizer
from convergence.packing import Packing
from convergence.reporting import files
from convergence.reporting.workdir import Workdir
from convergence.spec import Arm, DataSpec, ModelSpec
from convergence.study import Machine
from convergence.training.forward import SLAB


@pytest.fixture(scope="module", autouse=True)
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Most of these studies share their programs."""
    with commands.programs_kept(tmp_path_factory.getbasetemp()) as programs:
        commands.exchange(programs)
        yield programs
        commands.exchange(programs)


FEW = DataSpec(dataset="teacher_classification", generated_rows=150)
BUNDLED = [name for name in names.DATASETS if name != "file"]


QUICK = ("digits", "iris", "diabetes")  # each set compiles its own programs


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in BUNDLED]
)
def test_round_trip(name: str, tmp_path: Path) -> None:
    """Protects predictions: on every bundled set, the study's own held-out ones to the bit."""
    history = finished(tmp_path, DataSpec(dataset=name), test=len(name) % 2 == 0)
    assert differing(tmp_path, history, history.plan.dataset.x) == 0


KINDS = {
    "cnn with batch norm": (
        DataSpec(dataset="mnist1d", generated_rows=300),
        ModelSpec(model="cnn", hidden=(3, 4), batch_norm=True),
    ),
    "gru with dropout": (FEW, ModelSpec(model="gru", hidden=(5,), dropout=0.2)),
    "mlp with batch norm": (
        DataSpec(dataset="diabetes", preprocessing="minmax"),
        ModelSpec(hidden=(5,), batch_norm=True, dropout=0.1),
    ),
}
MORE_KINDS = {
    "images": (DataSpec(dataset="digits"), ModelSpec(model="cnn", hidden=(3,))),
    "linear, raw": (DataSpec(dataset="iris", preprocessing="none"), ModelSpec(model="linear")),
    "wide": (DataSpec(dataset="wine"), ModelSpec(hidden=(160, 130))),
}


@pytest.mark.parametrize(
    "kind", [*KINDS, *(pytest.param(kind, marks=pytest.mark.slow) for kind in MORE_KINDS)]
)
def test_round_trip_of_models(kind: str, tmp_path: Path) -> None:
    """Protects all kinds of models and preparation, running statistics among them."""
    told, model = (KINDS | MORE_KINDS)[kind]
    history = finished(tmp_path, told, model)
    assert differing(tmp_path, history, history.plan.dataset.x) == 0


def test_round_trip_of_averages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects optimisers that evaluate with other params than they train: those are kept."""

    def averaging(name: str, packing: Packing | None = None) -> Optimizer:
        plain = build_optimizer(name)

        def eval_params(params: Any, opt_state: Any) -> Any:
            moment = opt_state[1].mu  # of adam
            return jax.tree.map(
                lambda p, m: p * np.float32(0.7) - m * np.float32(0.3), params, moment
            )

        return plain._replace(eval_params=eval_params)

    plain = finished(tmp_path / "plain", FEW, num_seeds=1)
    monkeypatch.setattr("convergence.plan.build_optimizer", averaging)
    history = finished(tmp_path / "averaged", FEW, num_seeds=1)
    assert differing(tmp_path / "averaged", history, history.plan.dataset.x) == 0
    assert np.array_equal(history.fingerprints, plain.fingerprints)
    assert not np.array_equal(history.arrays["predictions"], plain.arrays["predictions"])


@pytest.mark.slow
def test_round_trip_where_all_varies(tmp_path: Path) -> None:
    """Protects the preparation of each trial: splits, wrong targets and noise of their own."""
    told = DataSpec(dataset="teacher_regression", generated_rows=180, outliers=0.1)
    arms = (
        Arm("base"),
        Arm.of("noisy", input_noise=0.3, learning_rate=0.02),
        Arm.of("minmax", preprocessing="minmax", train_size=60),
        Arm.of("deep", hidden=(5, 4)),  # another program, other blocks
    )
    vary = ("init", "order", "split", "corrupt")
    history = finished(tmp_path, told, arms=arms, num_seeds=3, vary=vary, twin=True)
    assert len(history.arm_names) == 8
    for arm in history.arm_names:
        assert differing(tmp_path, history, history.plan.dataset.x, arm) == 0


def test_round_trip_side_by_side(tmp_path: Path) -> None:
    """Protects accelerators' path: under vmap at the study's width, the same bits as well."""
    machine = Machine(tuple(jax.devices()[:1]), "vmap")
    history = finished(tmp_path, FEW, num_seeds=6, lanes=4, machine=machine)
    assert differing(tmp_path, history, history.plan.dataset.x, machine=machine) == 0


def test_more_rows_than_fit_at_once(tmp_path: Path) -> None:
    """Protects long files: a row's outputs do not depend on how many there are, or where."""
    history = finished(tmp_path, DataSpec(dataset="iris"))
    x = np.tile(history.plan.dataset.x, (30, 1))
    assert len(x) > SLAB
    values = predicted(tmp_path, x).values
    assert np.array_equal(values, np.tile(values[:, :150], (1, 30, 1)))


def test_diverged_seeds_are_left_out(tmp_path: Path) -> None:
    """Protects from predictions by broken models: counted and left out; where all broke, told."""
    arms = (Arm("base"), Arm.of("hot", schedule="0:1,3:1e38"))
    finished(tmp_path, FEW, arms=arms)
    assert predicted(tmp_path, np.zeros((1, 16), np.float32)).diverged == 0
    with pytest.raises(UserError, match="every trial of 'hot' diverged"):
        predicted(tmp_path, np.zeros((1, 16), np.float32), "hot")
    path = tmp_path / "preprocessing.npz"
    arrays = files.read_npz(path)
    arrays["diverged"][0] = True  # seed 0 of base
    files.write_npz(path, arrays)
    told = predicted(tmp_path, np.zeros((1, 16), np.float32))
    assert (told.diverged, told.replicas.tolist(), told.values.shape) == (1, [1], (1, 1, 5))


@pytest.mark.parametrize(
    "attribute",
    ["functions", *(pytest.param(m, marks=pytest.mark.slow) for m in ("linen", "nnx_module"))],
)
def test_own_models(attribute: str, tmp_path: Path) -> None:
    """Protects the user's own models: the same bits, from a file that may have moved."""
    own = tmp_path / "own.py"
    own.write_text(OWN)
    trained = f"{own}:{attribute}"
    history = finished(tmp_path / "study", FEW, dataclasses.replace(SMALL, model=trained))
    moved = tmp_path / "moved.py"
    own.rename(moved)
    given = f"{moved}:{attribute}"
    chosen = prediction.choose(tmp_path / "study")
    assert prediction.check_own_model(chosen, given, False) == given
    assert differing(tmp_path / "study", history, history.plan.dataset.x, own=given) == 0
    with pytest.raises(UserError, match=f"--model: .*give --model={trained}"):
        prediction.check_own_model(chosen, "", False)
    moved.write_text(OWN + "\n")
    with pytest.raises(UserError, match=r"moved\.py is not the file that was trained"):
        prediction.check_own_model(chosen, given, False)
    assert prediction.check_own_model(chosen, given, True) == given


def test_no_file_is_run_that_only_a_manifest_names(tmp_path: Path) -> None:
    """Protects from workdirs of strangers: the code they name runs only when the user names it."""
    own = tmp_path / "own.py"
    own.write_text(OWN)
    finished(tmp_path / "study", FEW, dataclasses.replace(SMALL, model=f"{own}:functions"))
    own.write_text("raise SystemExit('was run')")
    with pytest.raises(UserError, match="run only when you name it"):
        prediction.check_own_model(prediction.choose(tmp_path / "study"), "", True)
    finished(tmp_path / "plain", FEW)
    with pytest.raises(UserError, match="the model of 'base' is mlp; leave this out"):
        prediction.check_own_model(prediction.choose(tmp_path / "plain"), f"{own}:x", False)


def test_which_arm(tmp_path: Path) -> None:
    """Protects the choice: the arm that is asked for, else the one without changes."""
    arms = (Arm.of("hot", learning_rate=0.1), Arm("plain"), Arm.of("cold", learning_rate=1e-4))
    finished(tmp_path / "study", FEW, arms=arms, num_seeds=1)
    chosen = prediction.choose(tmp_path / "study")
    assert (chosen.arm, chosen.why) == ("plain", "the setting without changes")
    assert prediction.choose(tmp_path / "study", "cold").arm == "cold"
    with pytest.raises(UserError, match="--arm: unknown arm 'cool'; did you mean 'cold'"):
        prediction.choose(tmp_path / "study", "cool")
    finished(tmp_path / "other", FEW, arms=arms[::2], num_seeds=1)
    chosen = prediction.choose(tmp_path / "other")
    assert (chosen.arm, chosen.why) == ("hot", "the study's first arm")


def nest(outer: Path, inner: Path, decision: str) -> None:
    """Makes a study look as if it had been the confirmation of another."""
    shutil.move(inner, outer / "confirmation")
    with Workdir.open(outer) as workdir:
        workdir.update(children=["confirmation"])
        workdir.write_json("summary.json", {"recommendation": {"decision": decision}})


@pytest.mark.parametrize("decision", ["holds", "fails"])
def test_the_recommended_arm_if_it_was_confirmed(decision: str, tmp_path: Path) -> None:
    """Protects the advice: what was confirmed predicts, what was withdrawn only when asked for."""
    finished(tmp_path / "study", FEW, arms=(Arm("default"), Arm.of("a", hidden=(3,))), num_seeds=1)
    arms = (Arm("default"), Arm.of("recommended", hidden=(3,)))
    history = finished(tmp_path / "inner", FEW, arms=arms, first_replica=8, num_seeds=3)
    nest(tmp_path / "study", tmp_path / "inner", decision)
    chosen = prediction.choose(tmp_path / "study")
    if decision == "holds":
        assert (chosen.arm, chosen.why) == ("recommended", "recommended and confirmed")
    else:
        assert chosen.arm == "default"
        assert chosen.why == "the setting without changes; no other was confirmed"
        assert chosen.saved.workdir.root == tmp_path / "study"
    asked = prediction.choose(tmp_path / "study", "recommended")
    assert asked.saved.workdir.root == tmp_path / "study" / "confirmation"
    x = history.plan.dataset.x
    assert differing(tmp_path / "study" / "confirmation", history, x, "recommended") == 0
    assert prediction.outputs(asked, x).replicas.tolist() == [8, 9, 10]


def test_conditions_that_changed_are_named(tmp_path: Path) -> None:
    """Protects the claim of equal bits: where versions differ from the study's, it is said."""
    finished(tmp_path, FEW, num_seeds=1)
    saved = prediction.choose(tmp_path).saved
    assert prediction.drift(saved) == []
    told = Workdir.open(tmp_path).manifest["provenance"]
    told["versions"]["jax"] = "0.0.1"
    Workdir.open(tmp_path).update(provenance=told)
    assert prediction.drift(prediction.choose(tmp_path).saved) == ["versions.jax"]


def test_without_the_training_data(tmp_path: Path) -> None:
    """Protects the promise that the workdir is enough: the data file may be gone."""
    told = data.load(FEW)
    np.savez(tmp_path / "rows.npz", x=told.x, y=told.y)
    spec = DataSpec(dataset="file", data_path=str(tmp_path / "rows.npz"))
    history = finished(tmp_path / "study", spec)
    (tmp_path / "rows.npz").unlink()
    assert differing(tmp_path / "study", history, told.x) == 0
