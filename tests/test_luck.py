"""The experiment on randomness from flags to files: what it says, writes and refuses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from helpers import commands
from helpers.commands import Ended, launch, summary

from convergence import flags
from convergence.analysis.verdict import Verdict
from convergence.luck import wanted
from convergence.reporting import files

NAME = "randomness"
SMALL = ("--preset=smoke", "--hidden=4", "--batch_size=8", "--notensorboard")
CASES = {
    "classification": (*SMALL, "--dataset=iris", "--dropout=0.1"),
    "regression": (*SMALL, "--dataset=diabetes", "--batch_size=16"),
}
PARTS = ("sources", "twins", "consistency", "seeds")


@pytest.fixture(scope="module", params=CASES)
def ran(request: pytest.FixtureRequest, base: Path) -> tuple[str, Ended, Path]:
    """A finished smoke run, of a classification and of a regression."""
    ended, workdir = commands.once(base, f"luck-{request.param}", NAME, *CASES[request.param])
    return request.param, ended, workdir


def test_what_it_says(ran: tuple[str, Ended, Path]) -> None:
    """Protects the terminal: every question answered, in 80 columns, with no fault."""
    task, ended, workdir = ran
    assert ended.status == 0, ended.err
    assert max(map(len, ended.lines)) <= 80
    metric = "accuracy" if task == "classification" else "rmse"
    for part in (
        f"Spread of {metric} by what varies",
        "4 initialisations × 2 orders",
        "A flipped bit by learning rate",
        f"Spread of clean {metric} over seeds by dose",
        "Seeds of each setting that show a difference",
        "Claims, margin δ",
        "0a With all keys fixed a run repeats: 3 of 3",
    ):
        assert part in ended.out, part
    assert (workdir / "report.html").stat().st_size > 10_000


def test_what_it_writes(ran: tuple[str, Ended, Path]) -> None:
    """Protects readers of summary.json: the keys that its module promises, for every part."""
    task, _, workdir = ran
    told = summary(workdir)
    sources = [one["source"] for one in told["sources"]]
    expected = {"init", "order", "split", "rounding", "order, first epoch", "all sources vary"}
    assert set(sources) == expected | ({"dropout"} if task == "classification" else set())
    assert sources[-1] == "all sources vary"
    assert told["parts"] == list(PARTS)
    assert isinstance(told["none_is_harmless"], str)
    assert {"inits", "orders", "init", "order"} == set(told["crossed"])
    twins = told["twins"]
    assert [one["rate"] for one in twins["rates"]] == [0.001, 0.03]
    for one in twins["rates"]:
        assert len(one["distance"]["median"]) == len(twins["steps"])
        assert one["growth"]["pairs"] <= one["pairs"] == 4
    assert {"threshold", "growth_threshold", "fastest", "best"} <= set(twins)
    assert [one["dose"] for one in told["consistency"]["doses"]] == [0, 0.3]
    field = {"classification": "label_noise", "regression": "outliers"}[task]
    assert told["consistency"]["field"] == field
    needed = told["seeds_needed"]["differences"]
    margin = commands.manifest(workdir)["spec"]["run"]["margin"]
    assert [one["difference"] / margin for one in needed] == pytest.approx([0.5, 1, 2, 4])
    for one in needed:
        for count in (one["paired"], one["unpaired"]):
            low, estimate, high = (
                math.inf if count[name] is None else count[name]  # above the cap
                for name in ("low", "estimate", "high")
            )
            assert 2 <= low <= estimate <= high
    assert told["again"]["same"] is True
    assert len(told["again"]["trials"]) == 3


def test_claims_are_fixed_before_training(ran: tuple[str, Ended, Path]) -> None:
    """Protects the manifest: each verdict is on a claim that was written down beforehand."""
    _, _, workdir = ran
    told = summary(workdir)
    fixed = commands.manifest(workdir)["claims"]
    verdicts = [Verdict.from_json(one) for one in told["verdicts"]]
    assert [verdict.claim.to_json() for verdict in verdicts] == fixed
    ids = {one["id"] for one in fixed} | {one["id"] for one in told["not_applicable"]}
    assert ids == {"0a", "4a", "4b", "4c", "4e", "4g"}
    for verdict in verdicts:
        assert verdict.low <= verdict.effect <= verdict.high or math.isnan(verdict.effect)


def test_distances_are_there(ran: tuple[str, Ended, Path]) -> None:
    """Protects figures of the growth: twins.npz and the quartiles of summary.json agree."""
    _, _, workdir = ran
    stored, told = files.read_npz(workdir / "twins.npz"), summary(workdir)["twins"]
    assert stored["distance"].shape == (8, len(told["steps"]))
    table = files.read_parquet(workdir / "trials.parquet")
    for one in told["rates"]:
        mine = [k for k, t in enumerate(stored["trial"]) if table["arm"][t] == one["twin"]]
        median = np.median(stored["distance"][mine], axis=0)
        np.testing.assert_allclose(median, one["distance"]["median"], rtol=1e-12)


def test_repeated_rounding_stands_beside_the_twins(ran: tuple[str, Ended, Path]) -> None:
    """Protects the envelope of the growth's figure: from nothing, by last bits, at twins' steps."""
    told = summary(ran[2])["twins"]
    found = told["envelope"]
    assert found["rate"] == told["own"]
    assert set(found["steps"]) <= set(told["steps"])
    assert found["steps"][0] == 0
    assert found["steps"][-1] == told["steps"][-1]
    assert found["low"][0] == found["high"][0] == 0
    for low, middle, high in list(zip(found["low"], found["median"], found["high"]))[1:]:
        assert 0 <= low <= middle <= high < 0.1  # params are of the order of 1
    assert found["median"][-1] > 0
    assert found["amplitude"] > 0


def test_spreads_by_a_bit_are_those_of_the_trials(ran: tuple[str, Ended, Path]) -> None:
    """Protects claim 4b's table: spreads, moved pairs and the fastest rate, from trials.parquet."""
    task, _, workdir = ran
    told, table = summary(workdir)["twins"], files.read_parquet(workdir / "trials.parquet")
    metric, loss = {
        "classification": ("accuracy", "cross_entropy"),
        "regression": ("rmse", "rmse"),
    }[task]

    def of(arm: str, column: str) -> np.ndarray:
        rows = [k for k, name in enumerate(table["arm"]) if name == arm]
        return np.array([table[column][k] for k in sorted(rows, key=table["replica"].__getitem__)])

    losses = {}
    for one in told["rates"]:
        first, second = (of(one[name], f"clean_{metric}") for name in ("arm", "twin"))
        bit = np.sqrt(((first - second) ** 2).mean() / 2)
        seed = np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2)
        assert one["bit_sd"]["estimate"] == pytest.approx(bit, abs=1e-12)
        assert one["seed_sd"]["estimate"] == pytest.approx(seed)
        assert one["ratio"]["estimate"] == pytest.approx(bit / seed, abs=1e-9)
        assert one["moved"]["estimate"] == (first != second).mean()
        losses[one["rate"]] = np.log(of(one["arm"], f"train_{loss}")).mean()
        assert one["train"] == pytest.approx(np.exp(losses[one["rate"]]))
    assert told["fastest"]["rate"] == min(losses, key=losses.__getitem__)


@pytest.mark.parametrize("part", [pytest.param("twins", marks=pytest.mark.slow), "seeds"])
def test_one_part_alone(part: str, base: Path, tmp_path: Path) -> None:
    """Protects users of --parts: what was not asked for is neither trained nor told."""
    ended = launch(NAME, *CASES["regression"], f"--parts={part}", f"--workdir={tmp_path / 's'}")
    assert ended.status == 0, ended.err
    told = summary(tmp_path / "s")
    assert told["sources"] == []
    assert told["crossed"] is None
    assert told["consistency"] is None
    assert (told["twins"] is None) == (part != "twins")
    assert (told["seeds_needed"] is None) == (part != "seeds")
    assert len(told["arms"]) == (4 if part == "twins" else 2)
    assert (tmp_path / "s" / "twins.npz").exists() == (part == "twins")


@pytest.mark.parametrize(
    "flag",
    [
        "--learning_rate=1e30",
        *(
            pytest.param(flag, marks=pytest.mark.slow)
            for flag in ("--num_seeds=2", "--steps=1", "--steps=0", "--vary=init", "--rates=0.001")
        ),
    ],
)
def test_little_to_say(flag: str, base: Path, tmp_path: Path) -> None:
    """Protects odd studies: all diverged, two seeds, one step – answers in words, no fault."""
    ended = launch(NAME, *CASES["regression"], flag, f"--workdir={tmp_path / 's'}")
    assert ended.status == 0, ended.err
    told = summary(tmp_path / "s")
    if "learning_rate" in flag:
        reasons = {one["reason"] for one in told["verdicts"]}
        assert reasons == {"every trial diverged", "no pair has a slope"}
        assert {one["decision"] for one in told["verdicts"]} == {"not applicable"}
    if "num_seeds" in flag:
        assert {one["decision"] for one in told["verdicts"]} == {"undecided"}


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--num_seeds=1", "--num_seeds: must be at least 2"),
        ("--rates=0.1,x", "--rates: 'x' is not a number"),
        ("--rates=0", "--rates: 0 is out of range; must be above 0"),
        ("--rates=nan", "--rates: nan is out of range"),
        ("--doses=0.1,0.1", "--doses: a slope needs at least two"),
        ("--doses=0,1.5", "--doses: 1.5 is out of range; must be between 0 and 1"),
        ("--settings=0", "--settings: 0 is out of range"),
        ("--crossed=1", "--crossed: 1 is no crossing"),
        ("--grids=0", "--grids: 0 is out of range"),
        ("--grids=3", "--grids: 3 grids share 4 seeds"),
        ("--parts=twin", "--parts: unknown part 'twin'; did you mean 'twins'?"),
        ("--parts=,", "--parts: is empty"),
        ("--vary=", "--vary: nothing: seeds that share"),
        ("--vary=rounding,dropout", "--vary: rounding,dropout: seeds that share"),
        ("--learning_rate=0", "--learning_rate: must be above 0 here"),
        ("--lanes=4", "--lanes: 4 are too few"),
    ],
)
def test_mistakes(flag: str, said: str, tmp_path: Path) -> None:
    """Protects users: each mistake is named with its flag, before a folder is touched."""
    ended = launch(NAME, *CASES["regression"], flag, f"--workdir={tmp_path / 's'}")
    assert commands.refused(ended, NAME).startswith(said)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("parts", ["", "--parts=seeds", "--parts=twins"])
def test_flags_repeat_the_study(parts: str, tmp_path: Path) -> None:
    """Protects flags.txt: what it writes asks for the same arms in the same lanes."""
    module = commands.experiment(NAME)

    def options(*arguments: str) -> flags.Options:
        found = flags.from_arguments(arguments, NAME, module.PRESETS, "quick", wanted.EXTRA)
        return wanted.with_lanes(found, wanted.read(found))

    first = options("--preset=smoke", "--settings=9", *filter(None, [parts]))
    (tmp_path / "flags.txt").write_text(first.flagfile_text())
    again = options(f"--flagfile={tmp_path / 'flags.txt'}")
    assert wanted.read(first) == wanted.read(again)
    assert (first.setting, first.run) == (again.setting, again.run)


def test_lanes_for_a_whole_seed() -> None:
    """Protects pairs: where lanes were not given there are enough for every arm of a seed."""
    module = commands.experiment(NAME)
    arguments = ["--settings=20", "--dropout=0.1"]
    options = flags.from_arguments(arguments, NAME, module.PRESETS, "quick", wanted.EXTRA)
    asked = wanted.read(options)
    arms = asked.design(options, "classification").arms
    assert len(arms) > options.run.lanes
    assert wanted.with_lanes(options, asked).run.lanes == len(arms) + len(arms) % 2
