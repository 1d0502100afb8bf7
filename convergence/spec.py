"""What a study is: frozen dataclasses, validated, to JSON and back, with a digest.

A `Setting` says how one trial is trained (data, model, training); an `Arm` is a setting under
comparison, told as changes to the study's base; a `StudySpec` is arms × seeds on one dataset.
Field names are unique across the parts of a setting, so that a change (and a flag) needs only the
field's name. Fields marked ``traced`` are numbers that the compiled program takes as arguments:
arms that differ in them alone share one executable.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from convergence import names
from convergence.errors import UserError, unknown_name
from convergence.fields import LARGEST_SEED, check, option


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """Which rows there are, how they are split, prepared and – on purpose – spoiled."""

    dataset: str = option(
        "digits", "bundled name, or 'file' with --data_path", choices=names.DATASETS
    )
    data_path: str = option("", "CSV, Parquet or NPZ file (with --dataset=file)")
    target: str = option("", "column to predict in --data_path (NPZ: always y)")
    test_path: str = option("", "file of the same form that is the test split")
    task: str = option("auto", "what to predict", choices=("auto", *names.TASKS))
    train_size: int = option(0, "use only so many training rows (0: all)", low=0)
    preprocessing: str = option(
        "standardise", "fitted on training rows", choices=names.PREPROCESSING
    )
    test_fraction: float = option(0.2, "share of rows set aside as test split", low=0.01, high=0.9)
    validation_fraction: float = option(
        0.2, "share of the other rows for validation", low=0.01, high=0.9
    )
    outer_split: int = option(0, "which draw of the test split", low=0, high=LARGEST_SEED)
    data_seed: int = option(0, "seed of generated datasets", low=0, high=LARGEST_SEED)
    generated_rows: int = option(0, "rows of a generated dataset (0: its default)", low=0)
    label_noise: float = option(
        0.0, "share of training labels redrawn (classification)", low=0.0, high=1.0
    )
    outliers: float = option(
        0.0, "share of training targets thrown far off (regression)", low=0.0, high=1.0
    )
    outlier_scale: float = option(10.0, "outliers' size in standard deviations", low=0.0)
    input_noise: float = option(
        0.0, "noise on training inputs, in prepared units", low=0.0, traced=True
    )
    duplicates: float = option(0.0, "share of training rows replaced by copies", low=0.0, high=0.95)
    imbalance: float = option(
        0.0, "share of rows taken from every second class (classification)", low=0.0, high=0.95
    )


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """The function that is trained, and the state it starts from."""

    model: str = option(
        "mlp", "name, or path/to/file.py:attribute", choices=names.MODELS, user=True
    )
    hidden: tuple[int, ...] = option((), "widths (cnn: channels); empty: the model's own", low=1)
    activation: str = option("relu", "non-linearity", choices=names.ACTIVATIONS)
    batch_norm: bool = option(False, "normalise over the batch after each hidden layer")
    dropout: float = option(0.0, "dropout rate", low=0.0, high=0.99, traced=True)
    init: str = option(
        "default", "kernels, or path/to/file.py:function", choices=names.INITIALISERS, user=True
    )
    init_scale: float = option(
        1.0, "multiplies initial kernels (of normal: their sd)", low=0.0, traced=True
    )
    bias: str = option("zero", "start of the output bias; none: no biases", choices=names.BIASES)


@dataclasses.dataclass(frozen=True)
class TrainSpec:
    """How the function is trained."""

    loss: str = option(
        "auto", "name, or path/to/file.py:function", choices=("auto", *names.LOSSES), user=True
    )
    optimizer: str = option("adam", "optimiser", choices=names.OPTIMIZERS)
    learning_rate: float = option(
        1e-3, "peak learning rate (prodigy and the like: their own)", low=0.0, traced=True
    )
    schedule: str = option(
        "constant",
        "shape of the rate, step:factor pairs 0:1,500:.1, rates.csv or file.py:function",
        choices=names.SCHEDULES,
        user=True,
        suffix=".csv",
    )
    warmup: int = option(0, "steps of linear warm-up before the schedule", low=0)
    weight_decay: float = option(
        0.0, "decay of weights (adamw, lion: decoupled)", low=0.0, traced=True
    )
    momentum: float = option(
        0.9, "momentum (also muon, momo); decay of rmsprop", low=0.0, high=0.99999, traced=True
    )
    beta1: float = option(
        0.9, "first moment's decay (adam…, lion, …)", low=0.0, high=0.99999, traced=True
    )
    beta2: float = option(
        0.999, "second moment's decay (adam…)", low=0.0, high=0.9999999, traced=True
    )
    # Not 0: a weight whose gradient is always 0 (a dead unit's) would get 0 / 0.
    epsilon: float = option(1e-8, "adam's and rmsprop's epsilon", low=1e-30, traced=True)
    clip_norm: float = option(
        0.0, "clip the gradient's global norm (0: never)", low=0.0, traced=True
    )
    steps: int = option(1000, "training steps", low=0)
    epochs: int = option(0, "instead of --steps: passes over the training rows", low=0)
    batch_size: int = option(64, "rows a step", low=1)
    accumulate: int = option(1, "microbatches a step", low=1)
    compute_dtype: str = option(
        "float32", "type of the forward pass (params stay float32)", choices=("float32", "bfloat16")
    )
    huber_delta: float = option(
        1.0, "where huber turns linear, in prepared units", low=1e-6, traced=True
    )
    label_smoothing: float = option(
        0.0, "label smoothing of cross_entropy", low=0.0, high=0.99, traced=True
    )
    focal_gamma: float = option(2.0, "focusing of the focal loss", low=0.0, traced=True)
    gce_q: float = option(
        0.7, "exponent of generalised cross-entropy", low=0.01, high=1.0, traced=True
    )
    quantile: float = option(0.5, "quantile of the quantile loss", low=0.01, high=0.99, traced=True)


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """How many trials, what varies between them, and what is written down."""

    seed: int = option(0, "the root of all keys", low=0, high=LARGEST_SEED)
    num_seeds: int = option(8, "replicas of each arm", low=1)
    first_replica: int = option(0, "index of the first replica", low=0, high=2**31 - 2**20)
    vary: tuple[str, ...] = option(
        ("init", "order", "dropout", "augment"),
        "sources that differ between replicas",
        choices=names.SOURCES,
    )
    twin: bool = option(False, "beside each trial, one with one bit flipped")
    metric: str = option("auto", "what is compared", choices=("auto", *names.METRICS))
    margin: float = option(0.0, "smallest difference worth acting on (0: by metric)", low=0.0)
    eval_every: int = option(0, "steps between evaluations (0: a twentieth of the run)", low=0)
    checkpoint_every: int = option(
        0, "steps between checkpoints (0: by time, three a minute at most)", low=0
    )
    keep_checkpoints: bool = option(
        False, "keep all checkpoints (every twentieth of the run unless --checkpoint_every)"
    )
    fingerprint_every: int = option(100, "steps between fingerprints (0: never)", low=0)
    lanes: int = option(
        64, "lanes of a block; on GPU and TPU the width that runs at once", low=2, high=65536
    )
    save_params: str = option(
        "auto",
        "final params kept to predict with: of all trials up to 256 MiB, beyond of the first"
        " seeds that fit (auto), of all, or of none",
        choices=names.SAVE_PARAMS,
    )


LARGEST_DRAW = 2**20  # streams of a source that does not vary
Part = DataSpec | ModelSpec | TrainSpec
PARTS: dict[str, type] = {"data": DataSpec, "model": ModelSpec, "train": TrainSpec, "run": RunSpec}


@dataclasses.dataclass(frozen=True)
class Setting:
    """How one trial is trained; `changed` gives a neighbour."""

    data: DataSpec = dataclasses.field(default_factory=DataSpec)
    model: ModelSpec = dataclasses.field(default_factory=ModelSpec)
    train: TrainSpec = dataclasses.field(default_factory=TrainSpec)

    def changed(self, changes: Mapping[str, Any]) -> Setting:
        """The setting with some fields replaced, by name; raises UserError for an unknown one."""
        parts = {"data": self.data, "model": self.model, "train": self.train}
        for name, value in changes.items():
            owner = SETTING_FIELDS.get(name)
            if owner is None:
                raise unknown_name(name, SETTING_FIELDS, "", "setting")
            parts[owner] = dataclasses.replace(parts[owner], **{name: value})  # type: ignore[type-var]
        return Setting(**parts)  # type: ignore[arg-type]

    def get(self, name: str) -> Any:
        """The value of a field by its name alone."""
        return getattr(getattr(self, SETTING_FIELDS[name]), name)


@dataclasses.dataclass(frozen=True)
class Arm:
    """One setting under comparison: a name and its changes to the study's base."""

    name: str
    changes: tuple[tuple[str, Any], ...] = ()
    vary: tuple[str, ...] | None = None  # None: the study's
    twin: bool = False  # one bit of one initial weight flipped
    draws: tuple[tuple[str, int], ...] = ()  # of a source that does not vary: another stream
    order_epochs: int = 0  # the order varies in so many first epochs only (0: in all)

    @classmethod
    def of(
        cls, name: str, vary: tuple[str, ...] | None = None, twin: bool = False, **changes: Any
    ) -> Arm:
        """An arm from keyword changes: ``Arm.of("schedule=cosine", schedule="cosine")``."""
        return cls(name, tuple(sorted(changes.items())), vary, twin)

    def drawn(self, draw: int, sources: Iterable[str] = names.SOURCES) -> Arm:
        """The arm with this draw of the given sources, where they do not vary."""
        taken = tuple((source, draw) for source in sources if source not in (self.vary or ()))
        return dataclasses.replace(self, draws=taken)


@dataclasses.dataclass(frozen=True)
class StudySpec:
    """Arms × seeds on one dataset, asked one question."""

    name: str = "study"
    question: str = ""
    setting: Setting = dataclasses.field(default_factory=Setting)
    run: RunSpec = dataclasses.field(default_factory=RunSpec)
    arms: tuple[Arm, ...] = (Arm("base"),)
    context: tuple[Arm, ...] = ()  # not trained: the programs are made to fit these, too

    def arm_setting(self, arm: Arm) -> Setting:
        """The arm's whole setting."""
        return self.setting.changed(dict(arm.changes))


SETTING_FIELDS: dict[str, str] = {
    field.name: part
    for part, cls in PARTS.items()
    if part != "run"
    for field in dataclasses.fields(cls)
}
TRACED: tuple[str, ...] = tuple(
    field.name
    for cls in (DataSpec, ModelSpec, TrainSpec)
    for field in dataclasses.fields(cls)
    if field.metadata.get("traced")
)


def hyperparameters(setting: Setting) -> dict[str, float]:
    """The traced numbers of a setting, by field name."""
    return {name: float(setting.get(name)) for name in TRACED}


def validate_setting(setting: Setting) -> Setting:
    """Returns the setting; raises UserError naming the first field that is wrong."""
    for part in (setting.data, setting.model, setting.train):
        for field in dataclasses.fields(part):
            check(part, field)
    data, train = setting.data, setting.train
    if data.dataset == "file" and not data.data_path:
        raise UserError("is empty; give the path of the file to read.", "data_path")
    if data.dataset != "file":
        for name in ("data_path", "test_path", "target"):
            if getattr(data, name):
                raise UserError(f"is only read with --dataset=file, not with {data.dataset}.", name)
    if train.batch_size % train.accumulate:
        raise UserError(
            f"{train.accumulate} microbatches do not divide a batch of {train.batch_size}.",
            "accumulate",
        )
    if train.accumulate > 1 and train.loss == "rmse":
        raise UserError(
            "rmse is the root of a whole batch's mean, which no microbatch sees; use mse, or 1.",
            "accumulate",
        )
    if train.compute_dtype != "float32" and setting.model.model not in names.MODELS:
        raise UserError("a user's own model chooses its own types; leave float32.", "compute_dtype")
    return setting


def validate(spec: StudySpec) -> StudySpec:
    """Returns the spec; raises UserError naming the first field or arm that is wrong."""
    for field in dataclasses.fields(spec.run):
        check(spec.run, field)
    if not spec.arms:
        raise UserError("a study needs at least one arm.")
    for index, arm in enumerate(spec.arms):
        if any(arm.name == other.name for other in spec.arms[:index]):
            raise UserError(f"two arms are named {arm.name!r}; names must differ.")
    for arm in (*spec.arms, *spec.context):
        validate_setting(spec.arm_setting(arm))
        for source in (*(arm.vary or ()), *dict(arm.draws)):
            if source not in names.SOURCES:
                raise unknown_name(source, names.SOURCES, "vary", "source")
        if arm.order_epochs < 0 or any(not 0 <= k < LARGEST_DRAW for _, k in arm.draws):
            raise UserError(f"arm {arm.name!r}: draws lie between 0 and {LARGEST_DRAW - 1}.")
    return spec


def to_json(spec: Any) -> dict[str, Any]:
    """A spec (or any part of one) as plain JSON values; `from_json` reads it back."""
    return json.loads(json.dumps(dataclasses.asdict(spec)))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _part_from(cls: type, values: Mapping[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UserError(f"the spec holds {unknown[0]!r}, which {cls.__name__} does not know.")
    return cls(**{name: _tuples(value) for name, value in values.items()})


def from_json(data: Mapping[str, Any]) -> StudySpec:
    """A StudySpec from `to_json`'s values; raises UserError on unknown names or bad values."""
    try:
        setting = Setting(
            **{part: _part_from(PARTS[part], values) for part, values in data["setting"].items()}
        )
        arms = tuple(_part_from(Arm, arm) for arm in data["arms"])
        context = tuple(_part_from(Arm, arm) for arm in data["context"])
        run = _part_from(RunSpec, data["run"])
        return validate(StudySpec(data["name"], data["question"], setting, run, arms, context))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"not a study's spec: {error}.") from error


def digest(spec: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of a spec or of plain JSON values."""
    values = spec if isinstance(spec, dict) else to_json(spec)
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def differences(a: Any, b: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Where two JSON values differ: (dotted path, value in a, value in b), in a's order."""
    if isinstance(a, dict) and isinstance(b, dict):
        found = []
        for name in [*a, *(k for k in b if k not in a)]:
            found += differences(a.get(name), b.get(name), f"{path}.{name}" if path else name)
        return found
    return [] if a == b else [(path, a, b)]
