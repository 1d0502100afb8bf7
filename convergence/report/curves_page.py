"""A self-contained page of judged curves, in the style of a study's report."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from convergence.analysis.curves import VERDICTS
from convergence.judged import Found, Judged, detail, sure
from convergence.report.exhibits import Table
from convergence.report.page import shown, template
from convergence.reporting import files, tables
from convergence.reporting.figures import DARK, LIGHT, Drawn
from convergence.reporting.figures.judged import panel

MOST_DRAWN = 60  # panels of a page: each takes some ten kilobytes


def write(path: str | Path, found: Found) -> Path:
    """Writes the page of the curves; returns its path.

    Raises:
        StorageError: the disk refuses.
    """
    target = Path(path).expanduser()
    files.write_bytes(target, render(found).encode())
    return target


def render(found: Found) -> str:
    """The page as HTML."""
    counts = Counter(one.judgement.verdict for one in found.curves)
    told = [f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict]]
    count = len(found.curves)
    cautions = [
        f"{one.name}: {'; '.join(one.judgement.warnings)}."
        for one in found.curves
        if one.judgement.warnings
    ]
    drawn = _figures(found)
    left = count - sum(len(figure.panels) for figure in drawn)
    notes = [*found.notes, *([f"{left} curves are not drawn."] if left else [])]
    context = {
        "title": f"{count} curve{'s' if count != 1 else ''} judged",
        "headline": f"{', '.join(told)}.",
        "sections": [("answer", "Answer"), ("figures", "Figures")],
        "verdicts": _table(found),
        "cautions": [*notes, *cautions],
        "figures": [shown(figure) for figure in drawn],
        "light": LIGHT.named(),
        "dark": DARK.named(),
    }
    return str(template("curves.html.jinja").render(context))


def _table(found: Found) -> Table:
    rows = tuple(
        (
            tables.clean(one.name),
            one.judgement.verdict,
            sure(one.judgement),
            tables.number(one.judgement.last),
            detail(one.judgement),
            one.judgement.sentence,
        )
        for one in found.curves
    )
    note = (
        "Intervals are of 95 % and of the noise along one curve, with its autocorrelation; not of"
        " other seeds. Gain: what ten times the length would still bring. Sure: the verdict's"
        " chance, had all been as likely beforehand."
    )
    headers = ("curve", "verdict", "sure", "last", "limit, gain or step", "why")
    return Table("verdicts", "Verdict on each curve", headers, rows, note)


def _figures(found: Found) -> list[Drawn]:
    """One figure a verdict, each with its fair share of the panels that a page can hold."""
    groups: dict[str, list[Judged]] = {verdict: [] for verdict in VERDICTS}
    for one in found.curves:
        groups[one.judgement.verdict].append(one)
    groups = {verdict: members for verdict, members in groups.items() if members}
    room, drawn = MOST_DRAWN, []
    for k, (verdict, members) in enumerate(sorted(groups.items(), key=lambda g: len(g[1]))):
        chosen = members[: max(room // (len(groups) - k), 1)]
        room -= len(chosen)
        panels = tuple(
            panel(one.name, one.curve.tag, one.curve.steps, one.curve.values, one.judgement)
            for one in chosen
        )
        drawn.append(
            Drawn(
                f"verdict-{k}",
                verdict.capitalize(),
                chosen[0].judgement.sentence if len(chosen) == 1 else f"{len(members)} curves.",
                panels,
                "Band: the fitted limit's interval. Upright lines: where it broke or was best.",
            )
        )
    return sorted(drawn, key=lambda figure: VERDICTS.index(figure.title.lower()))
