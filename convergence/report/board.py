"""The report inside TensorBoard: its answer and tables as text, its figures as images."""

from __future__ import annotations

from pathlib import Path

from convergence.report import answer, exhibits, page
from convergence.reporting import figures, records, tables, tensorboard
from convergence.reporting.tensorboard import Picture


def write(path: str | Path) -> None:
    """Writes the study's report beside its event files; an earlier report there is replaced.

    Raises:
        UserError: there is no study, or its manifest is corrupt or of a newer version.
        StorageError: the disk refuses.
    """
    told, verdicts = page.sound(records.read(path))
    texts = {"report/answer": tables.escape(answer.headline(told, verdicts))}
    for table in exhibits.all_tables(told, verdicts):
        texts[f"report/{table.name}"] = table.markdown()
    pictures = {
        f"figures/{one.name}": Picture(one.png(), one.title, tables.escape(one.sentence))
        for one in figures.draw(told, verdicts)
    }
    tensorboard.write_report(Path(path) / "tb", texts, pictures)
