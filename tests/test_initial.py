"""The experiment on initial weights from flags to files: what it says, writes and refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import commands
from helpers.commands import Ended, launch, summary

from convergence import challenges, flags
from convergence.analysis.verdict import Verdict
from convergence.initial import design as designs
from convergence.initial import wanted
from convergence.spec import Setting

NAME = "weights"
SMALL = ("--preset=smoke", "--hidden=4", "--batch_size=8", "--notensorboard", "--dataset=iris")
PARTS = "initialisers,bias,grid,layers,surface,barrier"
WHOLE = (*SMALL, f"--parts={PARTS}")
DEEP = (*SMALL, "--parts=activations,depth,layers", "--activations=tanh,sigmoid", "--depths=1,3")
OWN = """import jax
def half(key, shape, dtype): return 0.5 * jax.random.normal(key, shape, dtype)
def wrong(key, shape, dtype): return jax.random.normal(key, (2, 2), dtype)
"""


@pytest.fixture(scope="module")
def ran(base: Path) -> tuple[Ended, Path]:
    """A finished smoke run."""
    return commands.once(base, "initial", NAME, *WHOLE)


def test_what_it_says(ran: tuple[Ended, Path]) -> None:
    """Protects the terminal: every question answered, in 80 columns, with no fault."""
    ended, workdir = ran
    assert ended.status == 0, ended.err
    assert max(map(len, ended.lines)) <= 80
    for part in (
        "accuracy on clean validation rows",
        "Steps to a training loss of",
        "Initial scale and learning rate",
        "Inside the network",
        "Barriers between ends",
        "Planes of descents",
        "Claims, margin of accuracy",
        "1c* most steps",
    ):
        assert part in ended.out, part
    assert "Recommended" in ended.out or "Withdrawn" in ended.out
    assert (workdir / "report.html").stat().st_size > 10_000
    for figure in ("scale_by_rate", "layers", "surfaces", "barriers"):
        assert f'id="{figure}' in (workdir / "report.html").read_text(), figure


def test_what_it_writes(ran: tuple[Ended, Path]) -> None:
    """Protects readers of summary.json: the keys that its module promises, for every part."""
    told = summary(ran[1])
    assert told["parts"] == PARTS.split(",")
    assert [one["arm"] for one in told["arms"]] == [one["arm"] for one in told["reached"]]
    assert told["arms"][0]["arm"] == "default"
    assert {"level", "start", "share", "span", "reason"} == set(told["target"])
    assert told["grid"]["scales"] == [0.1, 1, 10]
    assert len(told["grid"]["cells"]) == 9
    assert {one["outcome"] for one in told["reached"]} <= {"diverged", "useful", "too slow"}
    looked = {one["arm"]: one for one in told["layers"]}
    assert set(looked) == {"default", "init=zeros", "start x10", "start x0.1"}
    assert looked["default"]["steps"] == [0, 1, 2, 4, 8, 16, 24]
    assert looked["init=zeros"]["distinct"][0][0] == 1
    assert looked["default"]["distinct"][0][0] == 4
    assert [len(one["descents"]) for one in told["surfaces"]] == [1, 1, 2]
    assert np.shape(told["surfaces"][0]["loss"]) == (21, 21)
    for one in told["surfaces"][:2]:
        assert one["descents"][0]["places"][-1] == [0, 0]
    assert [one["what"] for one in told["barriers"]] == ["two seeds", "same start, other orders"]
    for one in told["barriers"]:
        assert one["height"]["estimate"] >= 0
        assert len(one["losses"]) == one["pairs"] == 1
    assert {"setting", "flags", "decision", "verdict"} == set(told["recommendation"])


def test_claims_stand_before_training(ran: tuple[Ended, Path]) -> None:
    """Protects the verdicts: each answers a claim that the manifest held before training."""
    told = summary(ran[1])
    verdicts = [Verdict.from_json(one).claim.to_json() for one in told["verdicts"]]
    asked = {(one["id"], one["statement"]) for one in told["not_applicable"]}
    before = commands.manifest(ran[1])["claims"]
    assert {one["id"] for one in before} == {"1a", "1b", "1c"}
    assert all(one["margin"] > 0 for one in before)
    for claim in before:
        assert claim in verdicts or (claim["id"], claim["statement"]) in asked


def test_surfaces_end_where_trials_end(ran: tuple[Ended, Path]) -> None:
    """Protects the drawn descent: its last loss is the grid's at the middle of its own plane."""
    for one in summary(ran[1])["surfaces"][:2]:
        x, y, loss = (np.array(one[name], np.float64) for name in ("x", "y", "loss"))
        line = one["descents"][0]
        near = loss[np.abs(y).argmin(), np.abs(x).argmin()]
        assert near == pytest.approx(line["losses"][-1], rel=0.2)
        assert line["losses"][-1] < line["losses"][0]


@pytest.mark.slow
def test_depths_and_activations(base: Path, tmp_path: Path) -> None:
    """Protects arms with programs of their own: each has its row, its layers and a mean."""
    ended = launch(NAME, *DEEP, f"--workdir={tmp_path / 's'}")
    assert ended.status == 0, ended.err
    told = summary(tmp_path / "s")
    assert {one["depth"] for one in told["depths"]} == {1, 3}
    assert {one["activation"] for one in told["activations"]} == {"relu", "tanh", "sigmoid"}
    looked = {one["arm"]: one for one in told["layers"]}
    assert len(looked["depth 3, he_normal"]["layers"]) == 4
    assert looked["activation=tanh"]["saturated"][0][0] is not None
    assert told["grid"] is None
    assert told["surfaces"] == told["barriers"] == []


@pytest.mark.slow
def test_a_users_own_initialiser(base: Path, tmp_path: Path) -> None:
    """Protects a user's function: an arm of its own, its file's digest in the manifest."""
    own = tmp_path / "own.py"
    own.write_text(OWN)
    arguments = (*SMALL, "--parts=initialisers", f"--inits={own}:half,zeros")
    ended = launch(NAME, *arguments, f"--workdir={tmp_path / 's'}")
    assert ended.status == 0, ended.err
    assert f"init={own}:half" in {one["arm"] for one in summary(tmp_path / "s")["arms"]}
    assert list(commands.manifest(tmp_path / "s")["provenance"]["user_files"]) == [str(own)]
    wrong = launch(NAME, *SMALL, f"--init={own}:wrong", f"--workdir={tmp_path / 't'}")
    assert "returned float32[2, 2] for a kernel float32[4, 4]" in commands.refused(wrong, NAME)


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--learning_rate=1e30", "--steps=1", "--steps=0"])
def test_little_to_say(flag: str, base: Path, tmp_path: Path) -> None:
    """Protects odd studies: all diverged, one step, none – answers in words, no fault."""
    ended = launch(NAME, *WHOLE, flag, f"--workdir={tmp_path / 's'}")
    assert ended.status == 0, ended.err
    told = summary(tmp_path / "s")
    assert told["target"]["reason"] or flag == "--steps=1"


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--num_seeds=1", "--num_seeds: must be at least 2"),
        ("--inits=he_norml", "--inits: unknown initialiser 'he_norml'; did you mean 'he_normal'"),
        ("--inits=normal*x", "--inits: 'normal*x': what follows the star is not a number"),
        ("--inits=normal*-1", "--inits: 'normal*-1': a factor is at least 0"),
        ("--scales=0.1,x", "--scales: 'x' is not a number"),
        ("--rates=0", "--rates: 0 is out of range; must be above 0"),
        ("--depths=0", "--depths: '0' is not a whole number between 1 and 200"),
        ("--depths=2.5", "--depths: '2.5' is not a whole number"),
        ("--activations=rely", "--activations: unknown activation 'rely'"),
        ("--parts=layer", "--parts: unknown part 'layer'; did you mean 'layers'"),
        ("--parts=,", "--parts: is empty"),
        ("--reach=1", "--reach: 1 is out of range"),
        ("--probed=0", "--probed: 0 is out of range"),
        ("--width=0", "--width: 0 is out of range"),
        ("--learning_rate=0", "--learning_rate: must be above 0 here"),
        ("--init_scale=0", "--init_scale: must be above 0 here"),
        ("--vary=", "--vary: must name a source"),
    ],
)
def test_mistakes(flag: str, said: str, tmp_path: Path) -> None:
    """Protects users: each mistake is named with its flag, before a folder is touched."""
    ended = launch(NAME, *SMALL, flag, f"--workdir={tmp_path / 's'}")
    assert commands.refused(ended, NAME).startswith(said)
    assert not (tmp_path / "s").exists()


def test_flags_repeat_the_study(tmp_path: Path) -> None:
    """Protects flags.txt: what it writes asks for the same arms."""
    module = commands.experiment(NAME)

    def options(*arguments: str) -> flags.Options:
        return flags.from_arguments(arguments, NAME, module.PRESETS, "quick", wanted.EXTRA)

    first = options("--preset=smoke", "--scales=0.5", "--inits=normal*0.05,lsuv")
    (tmp_path / "flags.txt").write_text(first.flagfile_text())
    again = options(f"--flagfile={tmp_path / 'flags.txt'}")
    assert wanted.read(first) == wanted.read(again)
    assert (first.setting, first.run) == (again.setting, again.run)


def test_the_default_s_name() -> None:
    """Protects the choice of a start: it is held against the arm that the main job calls so."""
    assert designs.DEFAULT == challenges.DEFAULT


def test_arms_of_a_setting() -> None:
    """Protects the design: arms that change nothing are the default, and names do not clash."""
    setting = Setting().changed({"init": "he_normal", "bias": "prior", "init_scale": 2.0})
    made = designs.design(setting)
    names = [arm.name for arm in made.arms]
    assert len(set(names)) == len(names)
    assert names[0] == "default"
    assert "init=he_normal" not in names
    assert "bias=prior" not in names
    assert {"bias=zero", "bias=none"} <= set(names)
    assert dict(next(a.changes for a in made.arms if a.name == "init=normal*0.05")) == {
        "init": "normal",
        "init_scale": 0.1,
    }
    assert made.grid[1.0, 1.0].name == "default"
    user = designs.design(setting.changed({"model": "a.py:b"}))
    assert not user.depths
    assert not user.activations
