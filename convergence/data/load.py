"""From a spec to a dataset."""

from __future__ import annotations

from pathlib import Path

from convergence.data import bundled, corruption, npz_file, synthetic, table_file
from convergence.data.dataset import Dataset
from convergence.errors import UserError
from convergence.spec import DataSpec


def load(spec: DataSpec) -> Dataset:
    """All rows of the dataset that a spec names, uncorrupted and unprepared.

    Raises:
        UserError: the file is missing or wrong, the task does not fit the targets, or a kind of
            corruption does not fit the task; the message says where and what would be right.
    """
    if spec.dataset == "file":
        dataset = _load_file(spec)
    elif spec.dataset.startswith("teacher_"):
        dataset = synthetic.teacher(spec)
    else:
        dataset = bundled.load_bundled(spec)
    if spec.task not in ("auto", dataset.task):
        raise UserError(f"{dataset.name} is a {dataset.task} dataset.", "task")
    corruption.check_fits(spec, dataset.task, dataset.name)
    return dataset


def _load_file(spec: DataSpec) -> Dataset:
    for field in ("generated_rows", "data_seed"):
        if getattr(spec, field):
            raise UserError("a file's rows are not generated.", field)
    if spec.test_path and spec.outer_split:
        raise UserError("only 0 can be used where test_path gives the test split.", "outer_split")
    if Path(spec.data_path).suffix.lower() == ".npz":
        return npz_file.load_npz(spec)
    return table_file.load_table(spec)
