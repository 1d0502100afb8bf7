"""scripts/judge.py, as people call it: on logs of others, on ours, and on what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.made import HOSTILE, Made
from helpers.markup import Page

from convergence import judged
from convergence.analysis.curves import judgement as says
from convergence.errors import UserError
from convergence.report import curves_page
from convergence.reporting import tables
from convergence.reporting.tensorboard import Writer

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "judge.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def logged(folder: Path, runs: int = 2) -> Path:
    """Runs of a settling loss, an accuracy and a learning rate."""
    rng = np.random.default_rng(0)
    for k in range(runs):
        writer = Writer(folder / f"run_{k}")
        for step in range(0, 400, 2):
            loss = 0.3 + np.exp(-step / 50) + 0.01 * rng.standard_normal()
            values = {"train/loss": loss, "val/accuracy": 1 - loss / 2, "lr": 0.1}
            writer.scalars(step, values)
        writer.close()
    return folder


def csv(path: Path, values: Sequence[Any], steps: Sequence[Any] | None = None) -> Path:
    at = range(len(values)) if steps is None else steps
    path.write_text("step,loss\n" + "".join(f"{s},{v}\n" for s, v in zip(at, values)))
    return path


def test_the_script_prints_one_line_a_curve_and_draws_a_page_that_needs_no_network(
    tmp_path: Path,
) -> None:
    page = tmp_path / "page.html"
    done = run(str(logged(tmp_path / "logs")), f"--html={page}")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 + 4
    assert all(tables.columns(line) <= tables.WIDTH for line in lines)
    assert lines[2].startswith("run_0 · train/loss")
    assert says.CONVERGED in lines[2]
    assert "no losses or scores by their names: lr" in done.stderr
    assert "better when higher, by name: val/accuracy" in done.stderr
    text = page.read_text()
    assert text.count("<svg") == 4
    assert "run_1 · val/accuracy" in text
    assert "src=" not in text
    assert 'href="http' not in text


def test_json_and_the_choice_of_tags(tmp_path: Path) -> None:
    done = run(str(logged(tmp_path / "logs", 1)), "--tag=accuracy", "--json")
    (one,) = json.loads(done.stdout)["curves"]
    assert (one["tag"], one["kind"], one["verdict"]) == ("val/accuracy", "score", says.CONVERGED)
    assert one["limit"]["low"] <= 0.85 <= one["limit"]["high"]


def test_mistakes_end_with_status_2_and_a_sentence(tmp_path: Path) -> None:
    done = run(str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("judge: ")
    assert "holds no event files" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"tag": ["los_"]}, "--tag: no tag holds los_; there are lr, train/loss, val/accuracy"),
        ({"higher": ["acc"]}, "--higher_is_better: there is no tag 'acc'"),
        ({"held_out": ["acc"]}, "--held_out: there is no tag 'acc'"),
    ],
)
def test_tags_that_are_not_there_are_named(
    tmp_path: Path, asked: dict[str, list[str]], told: str
) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        judged.judge_paths([str(logged(tmp_path, 1))], **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "steps", "verdict", "warning"),
    [
        ([1.0], None, says.UNKNOWN, ""),
        ([2.0] * 30, None, says.NOT_LEARNING, ""),
        ([1.0] * 5 + ["inf", "nan"], None, says.DIVERGED, "2 of 7 values not finite"),
        ([1 / k for k in range(1, 41)], [*range(20)] * 2, None, "several curves in one"),
        ([1 / k for k in range(1, 41)], [*range(20), *range(10, 30)], None, "started again at"),
        ([1 / k for k in range(1, 41)], [*range(20), *range(500, 520)], None, "no points between"),
    ],
)
def test_odd_curves_get_a_verdict_and_are_said_to_be_odd(
    tmp_path: Path, values: list[Any], steps: list[int] | None, verdict: str | None, warning: str
) -> None:
    found = judged.judge_paths([str(csv(tmp_path / "log.csv", values, steps))])
    (one,) = found.curves
    assert verdict is None or one.judgement.verdict == verdict
    assert warning in "; ".join(one.judgement.warnings)
    assert judged.table(found).splitlines()[2].startswith("loss")
    assert curves_page.render(found).count("<svg") == 1


def test_our_own_study_is_judged_by_arm_and_seed_and_any_name_is_harmless(tmp_path: Path) -> None:
    folder = Made(arms=("base", *HOSTILE), seeds=2).write(tmp_path / "study")
    found = judged.judge_paths([str(folder)])
    assert {one.curve.tag for one in found.curves} >= {"loss", "validation_accuracy"}
    assert len({one.name for one in found.curves if one.curve.tag == "loss"}) == 2 * (
        1 + len(HOSTILE)
    )
    page = Page(curves_page.render(found))
    assert page.unclosed == []
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "img", "iframe", "object", "embed", "base"} & set(page.tags)
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert all(tables.columns(line) <= tables.WIDTH for line in judged.table(found).splitlines())


def test_long_names_keep_both_ends_and_the_table_its_width(tmp_path: Path) -> None:
    name = judged.shortened("experiments/" + "x" * 80 + "/run_17 · train/loss", 30)
    assert len(name) == 30
    assert name.startswith("experi")
    assert name.endswith("/run_17 · train/loss")
    assert judged.shortened("run_1234567890 · validation_cross_entropy", 12) == "run_…entropy"
