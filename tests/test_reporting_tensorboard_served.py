"""TensorBoard itself, on loopback, over the event files of 2,000 trials in 50 arms."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from helpers import boards
from helpers.studies import laid
from test_reporting_tensorboard_root import png

from convergence import data
from convergence.history import History
from convergence.plan import Plan
from convergence.reporting.tensorboard import write_report
from convergence.spec import Arm, DataSpec, ModelSpec, TrainSpec
from convergence.study import cadence
from convergence.training.curve import bin_count

pytestmark = pytest.mark.slow
ARMS, SEEDS, STEPS = 50, 40, 2000
SECONDS = 30.0  # generous: it takes 2 to 3 on two busy cores
ARM = "rate=0.01 schedule=cosine"
STATUSES = [f"STATUS_{name}" for name in ("UNKNOWN", "SUCCESS", "FAILURE", "RUNNING")]


def made_up() -> History:
    """Records of trials that were never run."""
    rates, shapes = 0.001 * np.arange(1, 11), ("constant", "cosine", "linear", "drop", "wsd")
    arms = tuple(
        Arm.of(f"rate={rate:g} schedule={shape}", learning_rate=float(rate), schedule=shape)
        for rate in rates
        for shape in shapes
    )
    told, train = DataSpec(dataset="digits"), TrainSpec(steps=STEPS)
    plan = Plan(laid(told, ModelSpec(hidden=(4,)), train, arms, num_seeds=SEEDS), data.load(told))
    steps, trials = np.array(cadence(plan).eval_steps()), len(plan.trials)
    rng = np.random.default_rng(0)
    rise = 1 - np.exp(-5 * steps / STEPS)
    score = rise * rng.normal(0.9, 0.02, (trials, 1)) + rng.normal(0, 0.01, (trials, len(steps)))
    bins = {
        f"bin_{name}": rng.random((trials, bin_count(STEPS)), np.float32)
        for name in ("mean", "min", "max", "improving")
    }
    arrays = {
        "raw": rng.random((trials, 256), np.float32),
        "first_bad": np.where(rng.random(trials) < 0.01, 9, -1),
        "steps_done": np.full(trials, STEPS),
        **bins,
    }
    for metric in ("accuracy", "cross_entropy", "brier"):
        arrays[f"eval/validation/{metric}"] = score.astype(np.float32)
        arrays[f"final/train/{metric}"] = score[:, -1].astype(np.float32)
    return History(plan, steps, arrays)


class Board:
    """A TensorBoard that is running."""

    def __init__(self, address: str) -> None:
        self.address = address

    @property
    def whole(self) -> bool:
        """Whether every run has been read (they are listed before)."""
        texts = self.told("plugin/text/tags")
        return len(self.told("runs")) == len(texts) == ARMS + 1 and all(texts.values())

    def ask(self, path: str, query: dict[str, Any] | None = None, body: Any = None) -> bytes:
        """What it answers."""
        url = f"{self.address}data/{path}?{urlencode(query or {})}"
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            assert answer.status == 200
            return answer.read()

    def told(self, path: str, query: dict[str, Any] | None = None, body: Any = None) -> Any:
        """What it answers, as JSON."""
        return json.loads(self.ask(path, query, body))


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """All runs read; the address is this machine's own."""
    folder = boards.written(made_up(), tmp_path_factory.mktemp("served"))
    write_report(folder, {"report/arms": "| a |\n| --- |\n| 1 |"}, {"figures/one": png()})
    began = time.monotonic()
    arguments = [f"--logdir={folder}", "--host=127.0.0.1", "--port=0", "--load_fast=false"]
    command = [sys.executable, "-m", "tensorboard.main", *arguments]
    log = Path(str(folder) + ".log")
    with open(log, "wb") as stream, subprocess.Popen(command, stderr=stream) as process:
        try:
            found = None
            while found is None and time.monotonic() < began + SECONDS:
                time.sleep(0.1)
                found = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())
            assert found, log.read_text()
            shown = Board(found[0])
            while not shown.whole and time.monotonic() < began + SECONDS:
                time.sleep(0.1)
            assert shown.whole
            yield shown
        finally:
            process.terminate()


def test_scalars_and_bands(board: Board) -> None:
    """Protects Scalars and Custom Scalars: each arm's bands, and the layout that draws them."""
    tags = board.told("plugin/scalars/tags")
    assert len(tags) == ARMS
    where = {"run": ARM, "tag": "accuracy/validation/mean"}
    assert [step for _, step, _ in board.told("plugin/scalars/scalars", where)][-1] == STEPS
    (category,) = board.told("plugin/custom_scalars/layout")["category"]
    for chart in category["chart"]:
        (series,) = chart["margin"]["series"]
        assert chart["title"].startswith("in_flight") or set(series.values()) <= set(tags[ARM])


def test_histograms(board: Board) -> None:
    """Protects Histograms and Distributions: one an evaluation, over an arm's seeds."""
    assert set(board.told("plugin/histograms/tags")[ARM]) == {"accuracy/validation", "loss/train"}
    where = {"run": ARM, "tag": "accuracy/validation"}
    assert len(board.told("plugin/histograms/histograms", where)) == 21
    assert len(board.told("plugin/distributions/tags")) == ARMS


def test_hparams(board: Board) -> None:
    """Protects HParams: domains of what differs, and a session an arm with its metrics."""
    experiment = board.told("plugin/hparams/experiment", body={"experimentName": ""})
    infos = {info["name"]: info for info in experiment["hparamInfos"]}
    assert infos["schedule"]["domainDiscrete"] == sorted(infos["schedule"]["domainDiscrete"])
    assert infos["learning_rate"]["domainInterval"] == {"minValue": 0.001, "maxValue": 0.01}
    assert [name for name, info in infos.items() if info["differs"]] == [
        "learning_rate",
        "schedule",
    ]
    asked = {"experimentName": "", "allowedStatuses": STATUSES, "colParams": []}
    groups = board.told(
        "plugin/hparams/session_groups", body=asked | {"startIndex": 0, "sliceSize": 100}
    )["sessionGroups"]
    assert len(groups) == ARMS
    assert {len(group["metricValues"]) for group in groups} == {4}
    ends = {group["sessions"][0]["status"] for group in groups}
    assert ends == {"STATUS_SUCCESS", "STATUS_FAILURE"}


def test_images_and_text(board: Board) -> None:
    """Protects Images and Text: the report's figures and tables are served as they were."""
    (shown,) = board.told("plugin/images/images", {"run": ".", "tag": "figures/one", "sample": 0})
    assert board.ask(f"plugin/images/individualImage?{shown['query']}") == png()
    assert board.told("plugin/text/tags")["."] == ["report/arms"]
    (text,) = board.told("plugin/text/text", {"run": ".", "tag": "report/arms"})
    assert "<table>" in text["text"]
