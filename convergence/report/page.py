"""One page a study: reads its workdir, lays it out, writes it whole.

It works from files alone, so that a page can be drawn again; equal files give equal pages.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convergence.analysis.verdict import Verdict
from convergence.report import answer, exhibits
from convergence.report.exhibits import Table
from convergence.reporting import figures, records
from convergence.reporting.figures import DARK, LIGHT, Drawn
from convergence.reporting.records import Records
from convergence.reporting.workdir import Workdir

PAGE = "report.html"
CHILDREN = {
    "confirmation": "Confirmation: the recommended setting on unused seeds and test rows",
    "combination": "Combination: the changes that led alone, together",
}
TUNING = "tuning"  # told by the main study's own tables, not arm by arm


def write(path: str | Path) -> Path:
    """Draws the study's report into its folder, with the tables beside it; returns its path.

    Raises:
        UserError: there is no study, or its manifest is corrupt or of a newer version.
        StorageError: the disk refuses.
    """
    told = records.read(path)
    workdir = Workdir.open(path)
    text, tables = render(told)
    for table in tables:
        workdir.write_text(f"tables/{table.name}.md", table.markdown())
        workdir.write_text(f"tables/{table.name}.tex", table.tex())
    workdir.write_text(PAGE, text)
    return workdir.root / PAGE


def render(told: Records) -> tuple[str, list[Table]]:
    """The page as HTML, and the tables in it."""
    told, verdicts = sound(told)
    tables = exhibits.all_tables(told, verdicts)
    claims = [table for table in tables if table.name == "claims"]
    children = [
        (CHILDREN.get(name, name), _renamed(name, exhibits.all_tables(*sound(child))))
        for name, child in told.children.items()
        if not name.startswith(TUNING)
    ]
    drawn = figures.draw(told, verdicts)
    sections = {
        "answer": "Answer",
        "figures": "Figures",
        "tables": "Tables",
        "again": "Repeat",
        "provenance": "Provenance",
    }
    further = [table for table in tables if table not in claims]
    if not (further or children):
        del sections["tables"]
    context = {
        "sections": list(sections.items()),
        "title": told.study.name if told.study else told.root.name,
        "question": told.study.question if told.study else "",
        "banner": answer.banner(told),
        "status": told.status,
        "headline": answer.headline(told, verdicts),
        "facts": answer.facts(told),
        "recommendation": answer.recommendation(told),
        "claims": claims,
        "tables": further,
        "children": children,
        "figures": [shown(figure) for figure in drawn],
        "intervals": answer.intervals(told, verdicts),
        "cautions": answer.cautions(told, verdicts),
        "provenance": answer.provenance(told),
        "settings": answer.settings(told),
        "arms": [(arm, _changes(told, arm)) for arm in told.settings],
        "flagfile": told.texts.get("flags.txt", ""),
        "program": (told.study.name if told.study else "NAME").split("/")[0],
        "events": (told.root / "tb").is_dir(),
        "light": LIGHT.named(),
        "dark": DARK.named(),
    }
    every = [*tables, *(table for _, members in children for table in members)]
    return template().render(context), every


def sound(told: Records) -> tuple[Records, list[Verdict]]:
    """The records with their verdicts; a summary that says something else is left out, and told."""
    try:
        verdicts = figures.verdicts_of(told)
        exhibits.all_tables(told, verdicts)
        answer.recommendation(told)
        answer.headline(told, verdicts)
        figures.draw(told, verdicts)  # lays them out; nothing is painted yet
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if not told.summary:
            raise
        why = f"summary.json cannot be used ({type(error).__name__}: {error})."
        return dataclasses.replace(told, summary={}, missing=(*told.missing, why)), []
    return told, verdicts


def _renamed(name: str, tables: Sequence[Table]) -> list[Table]:
    return [dataclasses.replace(table, name=f"{name}-{table.name}") for table in tables]


def _changes(told: Records, arm: str) -> str:
    changes = told.changes.get(arm, {})
    return ", ".join(f"{name}: {_plain(value)}" for name, value in changes.items()) or "nothing"


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def shown(figure: Drawn) -> Mapping[str, Any]:
    """A figure as the templates take it."""
    from markupsafe import Markup

    return {
        "name": figure.name,
        "title": figure.title,
        "sentence": figure.sentence,
        "note": figure.note,
        "panels": [
            {
                "label": f"{figure.title}{f': {panel.title}' if panel.title else ''}",
                "svg": Markup(svg),  # our own drawing; its text was escaped where it was written
            }
            for panel, svg in zip(figure.panels, figure.svgs())
        ],
    }


def _visible(value: Any) -> Any:
    """Text without what would reorder or hide other text; line ends stay."""
    from markupsafe import Markup

    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(letter for letter in value if letter.isprintable() or letter in "\n\t")


def template(name: str = "page.html.jinja") -> Any:
    """A template of this folder."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
