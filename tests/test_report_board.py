"""The report inside TensorBoard: the same tables and figures as on its page."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import boards, commands
from helpers.commands import launch

from convergence.report import board, exhibits, page
from convergence.reporting import figures, records
from convergence.reporting.tensorboard.images import size


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study's folder."""
    base = tmp_path_factory.getbasetemp()
    with commands.programs_kept(base):
        arguments = (*commands.SMALL, "--schedules=cosine;linear")
        ended, folder = commands.once(base, "board", "schedules", *arguments)
    assert ended.status == 0, ended.err
    return folder


def test_tables_and_figures_of_the_page(workdir: Path) -> None:
    """Protects TensorBoard's Text and Images: every table and figure of the page is there."""
    told, verdicts = page.sound(records.read(workdir))
    back, kinds = boards.read(workdir / "tb"), boards.plugins(workdir / "tb")
    for table in exhibits.all_tables(told, verdicts):
        assert back[f"report/{table.name}"] == [(1, table.markdown().encode())]
        assert kinds[f"report/{table.name}"] == "text"
    drawn = figures.draw(told, verdicts)
    assert drawn
    for figure in drawn:
        ((step, (width, height, png)),) = back[f"figures/{figure.name}"]
        assert step == 1
        assert (int(width), int(height)) == size(png)
        about = boards.accumulator(workdir / "tb").SummaryMetadata(f"figures/{figure.name}")
        assert about.plugin_data.plugin_name == "images"
        assert about.display_name == figure.title
    assert back["report/answer"][0][1]


def test_layout_and_columns_stay(workdir: Path) -> None:
    """Protects the other dashboards: drawing the report again purges neither bands nor HParams."""
    board.write(workdir)
    assert len(boards.read(workdir / "tb")["custom_scalars__config__"]) == 1
    assert boards.experiment(workdir / "tb").hparam_infos
    assert len(boards.read(workdir / "tb")["report/answer"]) == 1


def test_no_events_no_board(tmp_path: Path) -> None:
    """Protects --notensorboard: the report makes no folder of its own there."""
    ended = launch(
        "train", *commands.SMALL, "--steps=2", "--notensorboard", f"--workdir={tmp_path}"
    )
    assert ended.status == 0, ended.err
    assert (tmp_path / "report.html").is_file()
    assert not (tmp_path / "tb").exists()
