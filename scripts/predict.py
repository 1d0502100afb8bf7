"""Predicts new rows with a finished study: each seed, and all of them together.

    python scripts/predict.py runs/train --data_path=new.csv > predictions.csv
    python scripts/predict.py runs/demo --data_path=new.npz --output=out.parquet

The columns (or the shape of x in an NPZ) are those that the study was trained
on, in any order; the target may be there and is then scored against. The
workdir holds all that is needed. By default the setting that the main job
recommended and confirmed predicts, else the setting without changes.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any

from convergence import command
from convergence.errors import UserError

KINDS = (".csv", ".parquet", ".npz")


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line; a wrong one ends the process with status 2."""
    parser = command.Parser("predict", __doc__ or "")
    parser.add_argument("workdir", type=Path, help="folder of a finished study")
    parser.add_argument(
        "--data_path", required=True, help="CSV, Parquet or NPZ with rows to predict"
    )
    parser.add_argument("--output", default="", help="CSV, Parquet or NPZ (default: CSV to stdout)")
    parser.add_argument("--arm", default="", help="name of the arm that predicts")
    parser.add_argument("--model", default="", help="where your own model's file is, if it is one")
    parser.add_argument("--overwrite", action="store_true", help="replace --output")
    parser.add_argument("--ignore_extra", action="store_true", help="leave unknown columns out")
    parser.add_argument(
        "--allow_drift", action="store_true", help="run an edited model of your own"
    )
    parser.add_argument(
        "--platform", default="auto", choices=command.PLATFORMS, help="where to run"
    )
    return parser.parse_args(arguments)


def check_output(told: argparse.Namespace) -> None:
    """Raises UserError where the predictions could not be written, or would replace something."""
    if not told.output:
        return
    path = Path(told.output)
    if path.suffix.lower() not in KINDS:
        raise UserError(f"{path} must end in one of {', '.join(KINDS)}.", "output")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent}.", "output")
    if path.exists() and path.resolve() == Path(told.data_path).resolve():
        raise UserError("is the file with the rows to predict.", "output")
    if path.is_dir() or (path.exists() and not told.overwrite):
        raise UserError(f"{path} is there already; give --overwrite or another name.", "output")


def frame(columns: dict[str, Any]) -> Any:
    """The table as a polars frame; a spread that one seed cannot tell is empty."""
    import polars as pl

    made = pl.DataFrame(
        {
            name: pl.Series(values.tolist()) if values.dtype == object else values
            for name, values in columns.items()
        }
    )
    return made.with_columns(pl.col("spread").fill_nan(None))


def write(told: argparse.Namespace, columns: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Writes the predictions, whole, to --output or to stdout."""
    from convergence.reporting import files

    path = Path(told.output)
    if path.suffix.lower() == ".npz":
        files.write_npz(path, arrays)
        return
    buffer = io.BytesIO()
    if path.suffix.lower() == ".parquet":
        frame(columns).write_parquet(buffer)
    else:
        frame(columns).write_csv(buffer)
    if told.output:
        files.write_bytes(path, buffer.getvalue())
    else:
        sys.stdout.write(buffer.getvalue().decode())


def main(told: argparse.Namespace) -> None:
    """Reads, predicts, writes, and says on stderr what was done."""
    check_output(told)
    command.check_platform(told.platform)
    from convergence import compilation_cache, prediction
    from convergence.data.new_rows import load_rows

    compilation_cache.enable(say=command.say)
    chosen = prediction.choose(told.workdir, told.arm)
    encoding = chosen.saved.encoding
    own = prediction.check_own_model(chosen, told.model, told.allow_drift)
    rows = load_rows(told.data_path, encoding, ignore_extra=told.ignore_extra)
    outputs = prediction.outputs(chosen, rows.x, own)
    together = prediction.ensemble(encoding, outputs)
    columns = prediction.table(encoding, outputs, together)
    write(told, columns, prediction.arrays(encoding, outputs, together))
    for line in prediction.summary(chosen, outputs, together, rows):
        command.say(line)
    if changed := prediction.drift(chosen.saved):
        command.say(
            f"made under other conditions than the study ({', '.join(changed)}): the last "
            "digits may differ from its own predictions"
        )


if __name__ == "__main__":
    given = parsed(sys.argv[1:])
    command.set_environment(given.platform)
    sys.exit(command.guarded(lambda: main(given), "predict", None, sys.argv[1:]))
