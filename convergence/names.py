"""Every name that a flag may offer, in one place that imports nothing heavy.

The modules that implement the names (``losses``, ``schedules``, …) are tested to offer these.
"""

from __future__ import annotations

import math

DATASETS = (
    "digits",
    "breast_cancer",
    "wine",
    "iris",
    "diabetes",
    "mnist1d",
    "teacher_regression",
    "teacher_classification",
    "file",
)
TASKS = ("classification", "regression")
PREPROCESSING = ("standardise", "minmax", "none")
MODELS = ("linear", "mlp", "cnn", "gru")
ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu", "silu", "elu", "leaky_relu", "identity")
INITIALISERS = (
    "default",
    "zeros",
    "constant",
    "normal",
    "uniform",
    "lecun_normal",
    "lecun_uniform",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "orthogonal",
    "lsuv",
)
BIASES = ("zero", "prior", "none")
CLASSIFICATION_LOSSES = (
    "cross_entropy",
    "focal",
    "gce",
    "mae_probability",
    "sce",
    "hinge",
    "square",
)
REGRESSION_LOSSES = ("mse", "rmse", "mae", "huber", "log_cosh", "quantile")
LOSSES = CLASSIFICATION_LOSSES + REGRESSION_LOSSES
# Meant to run without a tuned rate, at the one that their documentation gives.
RATE_FREE = {
    "prodigy": 1.0,
    "dadapt_adamw": 1.0,
    "dog": 1.0,
    "dowg": 1.0,
    "cocob": 1.0,
    "mechanize_sgd": 1.0,
    "mechanize_adam": 1.0,
    "momo": 1.0,
    "momo_adam": 0.01,
}
OPTIMIZERS = (
    *("sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "lion", "muon"),
    *("schedule_free_sgd", "schedule_free_adamw"),
    *RATE_FREE,
)
SCHEDULES = (
    "constant",
    "linear",
    "cosine",
    "cosine_restarts",
    "exponential",
    "time_based",
    "inverse_sqrt",
    "drop",
    "polynomial",
    "one_cycle",
    "triangular",
    "wsd",
    "plateau",
)
# Order matters: the index of a source is part of its stream's name check, new ones go last.
SOURCES = ("init", "order", "dropout", "augment", "corrupt", "split", "rounding")
CLASSIFICATION_METRICS = ("accuracy", "cross_entropy", "brier")
REGRESSION_METRICS = ("rmse", "mae", "r2")
METRICS = CLASSIFICATION_METRICS + REGRESSION_METRICS
HIGHER_IS_BETTER = ("accuracy", "r2")
# What a metric's mean can be at all: an interval is not shown beyond it.
RANGES = {
    "accuracy": (0.0, 1.0),
    "brier": (0.0, 2.0),
    "cross_entropy": (0.0, math.inf),
    "rmse": (0.0, math.inf),
    "mae": (0.0, math.inf),
    "r2": (-math.inf, 1.0),
}
SAVE_PARAMS = ("auto", "all", "none")
PRESETS = ("smoke", "quick", "paper")
