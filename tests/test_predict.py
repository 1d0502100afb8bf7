"""scripts/predict.py as a user runs it: tables out, sentences on stderr, mistakes in one line."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from helpers import commands
from helpers.commands import Ended, refused
from helpers.datafiles import put, rows_of
from helpers.finished import finished

from convergence import command
from convergence.reporting import files
from convergence.spec import Arm, DataSpec

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "predict.py"
HEADER = "size,kind,rooms,price"


def cells(i: int) -> str:
    price = i * 0.37 + 5 * (i % 3 == 1)
    return f"{i / 7:.4f},{('a', 'b', '')[i % 3]},{i % 5 or ''},{price:.2f}"


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a regression on a table of numbers, categories and missing values."""
    with commands.programs_kept(tmp_path_factory.getbasetemp()):
        folder = tmp_path_factory.mktemp("houses")
        path = put(folder, rows_of(90, cells, HEADER), "houses.csv")
        told = DataSpec(dataset="file", data_path=str(path), target="price")
        finished(folder / "study", told, arms=(Arm("base"), Arm.of("slow", learning_rate=1e-4)))
        yield folder


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A classification, three seeds."""
    with commands.programs_kept(tmp_path_factory.getbasetemp()):
        folder = tmp_path_factory.mktemp("wine") / "study"
        history = finished(folder, DataSpec(dataset="wine"), num_seeds=3)
        np.savez(folder.parent / "x.npz", x=history.plan.dataset.x, y=history.plan.dataset.y)
        yield folder


def script() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("predict_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def predict(*arguments: object) -> Ended:
    """Runs the script in this process, to its exit."""
    out, err, module = io.StringIO(), io.StringIO(), script()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            told = module.parsed([str(one) for one in arguments])
            status = command.guarded(lambda: module.main(told), "predict", None, [])
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        signal.signal(signal.SIGTERM, handler)
    return Ended(status, out.getvalue(), err.getvalue())


def test_a_table_to_stdout(houses: Path) -> None:
    """Protects the command: a row for each row, each seed to the bit, nothing else on stdout."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    line = [sys.executable, SCRIPT, houses / "study", f"--data_path={houses / 'houses.csv'}"]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    table = pl.read_csv(io.StringIO(done.stdout))
    assert table.columns == ["row", "prediction", "spread", "seed_0", "seed_1"]
    assert table["row"].to_list() == list(range(1, 91))
    stored = files.read_npz(houses / "study" / "predictions.npz")
    for seed in range(2):
        column = table[f"seed_{seed}"].to_numpy().astype(np.float32)
        assert np.array_equal(column[stored["rows"][0]], stored["outputs"][2 * seed])
    both = table.select("seed_0", "seed_1").to_numpy()
    np.testing.assert_allclose(table["prediction"], both.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(table["spread"], both.std(axis=1, ddof=1), rtol=1e-4, atol=1e-6)
    first = done.stderr.splitlines()[0]
    assert first.startswith("90 rows of 'price' predicted by 'base' (the setting without changes)")
    assert "filled in as in training: 18 missing numbers in 18 rows" in done.stderr
    assert "used to score 90 of 90 rows: rmse " in done.stderr


def test_classes(wine: Path, tmp_path: Path) -> None:
    """Protects classification: names of classes, probabilities that sum to 1, shares, entropy."""
    ended = predict(wine, f"--data_path={wine.parent / 'x.npz'}", "--output", tmp_path / "p.csv")
    assert (ended.status, ended.out) == (0, "")
    table = pl.read_csv(tmp_path / "p.csv")
    names = ["class_0", "class_1", "class_2"]
    chances = [f"probability_{name}" for name in names]
    seeds = ["seed_0", "seed_1", "seed_2"]
    said = ["row", "prediction", "probability", "spread", "agreement", "entropy"]
    assert table.columns == [*said, *chances, *seeds]
    chance = table.select(chances).to_numpy()
    np.testing.assert_allclose(chance.sum(axis=1), 1.0)
    assert [names[k] for k in chance.argmax(axis=1)] == table["prediction"].to_list()
    assert np.array_equal(chance.max(axis=1), table["probability"])
    votes = table.select(seeds).to_numpy() == table["prediction"].to_numpy()[:, None]
    np.testing.assert_allclose(votes.mean(axis=1), table["agreement"])
    assert '"cultivar" is there' not in ended.err or "score" in ended.err


def test_kinds_of_output(wine: Path, houses: Path, tmp_path: Path) -> None:
    """Protects --output: Parquet as the CSV, an NPZ with the outputs of predictions.npz."""
    flags = (wine, f"--data_path={wine.parent / 'x.npz'}", "--output")
    for name in ("p.csv", "p.parquet", "p.npz"):
        assert predict(*flags, tmp_path / name).status == 0
    one, other = pl.read_csv(tmp_path / "p.csv"), pl.read_parquet(tmp_path / "p.parquet")
    assert one.columns == other.columns
    assert one["seed_2"].to_list() == other["seed_2"].to_list()
    arrays = files.read_npz(tmp_path / "p.npz")
    assert sorted(arrays) == [
        *("class_names", "outputs", "prediction", "probability", "replicas", "spread")
    ]
    stored = files.read_npz(wine / "predictions.npz")
    assert np.array_equal(arrays["outputs"][:, stored["rows"][0]], stored["outputs"])
    flags = (houses / "study", f"--data_path={houses / 'houses.csv'}", "--arm=slow", "--output")
    ended = predict(*flags, tmp_path / "h.npz")
    assert ended.err.startswith("90 rows of 'price' predicted by 'slow' (as asked)")
    stored = files.read_npz(houses / "study" / "predictions.npz")
    told = files.read_npz(tmp_path / "h.npz")["outputs"][:, stored["rows"][0]]
    assert np.array_equal(told, stored["outputs"][1::2])


def test_one_seed_tells_no_spread(tmp_path: Path) -> None:
    """Protects from a made-up spread: with one seed the cell is empty."""
    finished(tmp_path / "study", DataSpec(dataset="diabetes"), num_seeds=1)
    np.savez(tmp_path / "x.npz", x=np.ones((2, 10)))
    ended = predict(tmp_path / "study", f"--data_path={tmp_path / 'x.npz'}")
    assert ended.status == 0
    assert [line.split(",")[2] for line in ended.out.splitlines()] == ["spread", "", ""]


def test_mistakes(houses: Path, tmp_path: Path) -> None:
    """Protects users: each mistake is one line, status 2, and nothing is written."""
    study, data = houses / "study", f"--data_path={houses / 'houses.csv'}"
    few = put(tmp_path, "size,kind\n1,a\n", "few.csv")
    there = put(tmp_path, "mine", "there.csv")
    cases = [
        ((tmp_path / "none", data), "there is no study in"),
        ((study, f"--data_path={few}"), '--data_path: few.csv: lacks the column "rooms"'),
        ((study, "--data_path=none.csv"), "--data_path: there is no file none.csv."),
        ((study, data, "--arm=bas"), "--arm: unknown arm 'bas'; did you mean 'base'?"),
        ((study, data, "--model=x.py:y"), "--model: the model of 'base' is mlp; leave this out."),
        ((study, data, f"--output={there}"), "is there already; give --overwrite"),
        ((study, data, f"--output={tmp_path / 'a.txt'}"), "must end in one of .csv"),
        ((study, data, f"--output={tmp_path / 'no' / 'a.csv'}"), "there is no folder"),
        ((study, data, f"--output={houses / 'houses.csv'}"), "is the file with the rows"),
        ((study, data, "--arms=base"), "unrecognized arguments: --arms=base; see --help."),
        ((study,), "the following arguments are required: --data_path; see --help."),
    ]
    for arguments, told in cases:
        assert told in refused(predict(*arguments), "predict"), arguments
    assert there.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.csv", "there.csv"]


def test_output_is_replaced_when_asked(houses: Path, tmp_path: Path) -> None:
    """Protects --overwrite, and the file where something goes wrong before it is written."""
    there = put(tmp_path, "mine", "there.csv")
    flags = (houses / "study", f"--output={there}", "--overwrite")
    refused(predict(*flags, f"--data_path={put(tmp_path, 'size', 'bad.csv')}"), "predict")
    assert there.read_text() == "mine"
    assert predict(*flags, f"--data_path={houses / 'houses.csv'}").status == 0
    assert there.read_text().startswith("row,prediction")


def test_what_was_left_out_is_said(houses: Path, tmp_path: Path) -> None:
    """Protects from silence: seeds not kept, changed conditions, unknown columns and targets."""
    study = Path(shutil.copytree(houses / "study", tmp_path / "study"))
    path = study / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["provenance"]["versions"]["jax"] = "0.0.1"
    manifest["spec"]["run"]["num_seeds"] = 3  # the third was not kept
    path.write_text(json.dumps(manifest))
    arrays = files.read_npz(study / "preprocessing.npz")
    for name in ("preparation", "diverged"):
        arrays[name] = np.resize(arrays[name], 6)
    files.write_npz(study / "preprocessing.npz", arrays)
    rows = put(tmp_path, "id,size,kind,rooms,price\n1,1e30,a,2,\n", "new.csv")
    ended = predict(study, f"--data_path={rows}", "--ignore_extra")
    assert ended.status == 0, ended.err
    assert "2 of 3 seeds" in ended.err
    assert "left out: 1 seed whose params were not kept (--save_params)" in ended.err
    assert 'left out: the column "id"' in ended.err
    assert "but in no row as the model predicts it: not scored" in ended.err
    assert "under other conditions than the study (versions.jax)" in ended.err


def test_interrupted(houses: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects Ctrl-C: status 130, and no advice to resume what cannot be."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("convergence.prediction.outputs", stop)
    ended = predict(houses / "study", f"--data_path={houses / 'houses.csv'}")
    assert ended.status == 130
    assert ended.err == "\npredict: interrupted; nothing was written.\n"


def test_help_is_quick_and_narrow() -> None:
    """Protects the help: no JAX behind it, 80 columns."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    code = (
        "import runpy, sys; sys.argv = ['predict', '--help']\n"
        f"try: runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "finally: print('jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"
    assert max(map(len, done.stdout.splitlines())) <= 80
