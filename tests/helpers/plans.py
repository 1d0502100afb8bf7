"""Small studies laid out, nothing trained."""

from __future__ import annotations

from functools import cache
from typing import Any

from convergence import data, spec
from convergence.plan import Plan
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec

MODEL = ModelSpec(hidden=(4,))
TRAIN = TrainSpec(steps=20, batch_size=16)


@cache
def dataset(name: str = "teacher_classification", rows: int = 200) -> data.Dataset:
    return data.load(DataSpec(dataset=name, generated_rows=rows))


def plan(*arms: Arm, task: str = "classification", rows: int = 200, **run: Any) -> Plan:
    """A plan of two seeds (unless told otherwise) on a small dataset."""
    context = run.pop("context", ())
    told = DataSpec(dataset=f"teacher_{task}", generated_rows=rows)
    study = StudySpec(
        setting=Setting(told, MODEL, TRAIN),
        run=RunSpec(**({"num_seeds": 2} | run)),
        arms=arms or (Arm("base"),),
        context=context,
    )
    return Plan(spec.validate(study), dataset(told.dataset, rows))
