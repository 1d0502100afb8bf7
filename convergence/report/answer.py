"""What a study answers, in words: the headline, the recommendation, and what each interval means.

Strings only; the page escapes them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from convergence import wording
from convergence.analysis.statistics import from_strict
from convergence.analysis.verdict import Verdict
from convergence.reporting import tables
from convergence.reporting.figures.intervals import counts
from convergence.reporting.records import Records

MOST_NAMED = 4  # claims that a warning names one by one
STATUS = {
    "failed": "This study failed",
    "interrupted": "This study was interrupted",
    "running": "This study had not ended when the report was drawn",
}


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """What to change, and whether it stood the test.

    Attributes:
        title: a few words.
        decision: holds, fails, undecided or '' where nothing was put to the test.
        sentence: effect and interval, or why there is nothing.
        flags: of the setting that was put to the test.
        flagfile: all flags of the confirmed setting, '' where none was confirmed.
    """

    title: str
    decision: str
    sentence: str
    flags: tuple[str, ...]
    flagfile: str


def recommendation(records: Records) -> Recommendation | None:
    """The recommendation in the summary; None for a study that makes none."""
    told = records.summary.get("recommendation")
    if not isinstance(told, Mapping):
        return None
    flags = tuple(str(flag) for flag in told.get("flags") or ())
    if not told.get("verdict"):
        some = bool(records.summary.get("choices"))
        why = (
            "No change led the default on validation rows by a standard error; nothing was put to"
            " the test, and no test row was read."
            if some
            else "No setting could be held against the default (too few seeds, or its trials"
            " diverged)."
        )
        return Recommendation("Keep the default setting", "", why, (), "")
    verdict = Verdict.from_json(told["verdict"])
    seeds = f"{verdict.n} of {verdict.seeds}" if verdict.n < verdict.seeds else str(verdict.n)
    effect = _effect(verdict)
    tested = (
        f"{effect} against the default, on test rows with {seeds} unused seeds"
        f" (interval: {verdict.speaks_of})."
    )
    if verdict.decision == "holds":
        flagfile = records.texts.get("recommended.txt", "")
        return Recommendation("Recommended, confirmed", "holds", tested, flags, flagfile)
    why = verdict.decision + (f", {verdict.reason}" if verdict.reason else "")
    kept = " It led on validation rows but was not confirmed: keep the default setting."
    title = f"Withdrawn: keep the default setting ({why})"
    return Recommendation(title, verdict.decision, tested + kept, flags, "")


def _effect(verdict: Verdict) -> str:
    told = tables.estimate(verdict.effect, verdict.low, verdict.high)
    return f"{verdict.claim.metric} {'+' if verdict.effect > 0 else ''}{told}"


def headline(records: Records, verdicts: Sequence[Verdict]) -> str:
    """The answer in a sentence or two."""
    if records.status != "finished" and not records.summary:
        return "There is no answer yet: the study did not come to its end."
    made = recommendation(records)
    first = [v for v in verdicts if v.claim.family == "primary"] or list(verdicts)
    parts = []
    if made and made.decision == "holds":
        parts.append(f"Change the setting: {' '.join(made.flags)}.")
    elif made:
        parts.append("Keep the default setting.")
    if first:
        parts.append(f"{counts(first)}.")
        if held := _held(first):
            parts.append(held)
    elif not made:
        parts.append(_means(records))
    return " ".join(parts)


def _held(verdicts: Sequence[Verdict]) -> str:
    """The claims that hold, the largest effects first."""
    held = [v for v in verdicts if v.decision == "holds"]
    held.sort(key=lambda v: -abs(v.effect) if math.isfinite(v.effect) else 0.0)
    told = [
        f"{v.claim.statement} ({tables.number(v.claim.direction * v.effect)})"
        for v in held[:MOST_NAMED]
    ]
    rest = len(held) - len(told)
    return f"Shown: {'; '.join(told)}{f'; and {rest} more' if rest else ''}." if told else ""


def _means(records: Records) -> str:
    """The means of a study that claims nothing."""
    told = [one for one in records.summary.get("arms") or () if one["split"] != "train"]
    if not told:
        return "No trial was scored."
    best = told[-1]  # the split that is furthest from training
    mean = best["mean"]
    estimate, low, high = (from_strict(mean[name]) for name in ("estimate", "low", "high"))
    if math.isnan(estimate):
        return "No trial finished: all diverged."
    text = f"{best['metric']} on {best['split']} rows: {tables.number(estimate, 4)}"
    finished = best["n"] - best["diverged_count"]
    if finished < 2:
        return f"{text}, of one seed that finished: its spread is unknown."
    sd = tables.number(from_strict(best["sd"]))
    return (
        f"{text} on average over {finished} seeds, 95 % interval {tables.interval(low, high)},"
        f" standard deviation {sd}."
    )


def banner(records: Records) -> str:
    """What to say above the report of a study that did not finish; '' for one that did."""
    if records.status not in STATUS:
        return ""
    text = f"{STATUS[records.status]}; what follows is drawn from what it left."
    error = str(records.manifest.get("error") or "")
    if error:
        text += f" It ended with: {tables.clean(error)[:500].rstrip('.')}."
    if records.blocks:
        text += (
            f" {records.blocks} finished block{'s' * (records.blocks != 1)} of trials are kept:"
            " the study continues with --resume."
        )
    return text


def intervals(records: Records, verdicts: Sequence[Verdict]) -> list[tuple[str, str]]:
    """What the intervals of this report speak of: what is meant, and of what."""
    kinds = {verdict.speaks_of for verdict in verdicts}
    made = records.summary.get("recommendation")
    if isinstance(made, Mapping) and made.get("verdict"):
        kinds.add(Verdict.from_json(made["verdict"]).speaks_of)
    found = {}
    if "seeds and rows" in kinds:
        found["seeds and rows"] = (
            "what would be found with other seeds and with other rows drawn as these were. Claims"
            " and the recommendation are about your data, and speak of both unless marked *."
        )
    if "seeds" in kinds or records.summary.get("arms"):
        found["seeds"] = (
            "what would be found with other seeds on these very rows. Means of arms, spreads, and"
            " claims marked * speak of seeds alone."
        )
    if verdicts:
        methods = ", ".join(dict.fromkeys(verdict.method for verdict in verdicts))
        found["corrected"] = (
            "bounds of claims are those the decision rests on: corrected (Holm) so that, over all"
            " claims of one table, false ‘holds’ come with a chance of at most 2.5 %, and false"
            f" ‘fails’ likewise ({methods}). The margin, {_margin(records)}, is the smallest"
            " difference worth acting on, and was fixed before training."
        )
    if "loss_mean" in records.curves:
        found["bands"] = "of curves show where seeds lay; they are no confidence intervals."
    return list(found.items())


def _margin(records: Records) -> str:
    run = records.study.run if records.study else None
    return f"{tables.number(run.margin)} in {run.metric}" if run else "as the study's spec has it"


def cautions(records: Records, verdicts: Sequence[Verdict]) -> list[str]:
    """What a reader should know before trusting the figures."""
    found = []
    for warning, about in wording.warnings_by_claim(verdicts).items():
        claims = "; ".join(about) if len(about) <= MOST_NAMED else f"{len(about)} claims"
        found.append(f"{warning} ({claims}).")
    rows = records.summary.get("arms") or ()
    found += [one.removeprefix("note: ") for one in wording.arm_notes(rows)]
    diverged = sum(status == "diverged" for status in records.trials.get("status", ()))
    if diverged:
        count = len(records.trials["status"])
        found.append(f"{diverged} of {count} trials diverged; they are counted and in no mean.")
    if records.manifest.get("test_read"):
        found.append("The test split was read; a choice made by it needs other rows.")
    drift = records.manifest.get("drift") or ()
    if drift:
        fields = ", ".join(str(one.get("field")) for one in drift if isinstance(one, Mapping))
        found.append(f"Resumed under changed conditions ({fields}): its bits may differ.")
    found += [str(one) for one in records.manifest.get("messages") or ()]
    found += list(records.missing)
    return [tables.clean(one) for one in dict.fromkeys(found) if one]


def provenance(records: Records) -> list[tuple[str, str]]:
    """Where the figures come from: names and values."""
    manifest = records.manifest
    source: Mapping[str, Any] = manifest["provenance"]
    times = [one for one in manifest["times"] if isinstance(one, Mapping)]
    device, cpu, git = (_mapping(source.get(name)) for name in ("device", "cpu", "git"))
    versions = _mapping(source.get("versions"))
    found = {
        "status": " → ".join(f"{one.get('status')} {one.get('at')}" for one in times),
        "command": " ".join(map(str, manifest.get("command") or ())),
        "data": _data(records),
        "data digest": source.get("data_digest"),
        "spec digest": manifest.get("spec_digest"),
        "git revision": f"{git.get('revision')}{' (edited)' if git.get('dirty') else ''}"
        if git
        else "not from a checkout",
        "source digest": source.get("source_digest"),
        "user's files": ", ".join(
            f"{k}: {v}" for k, v in _mapping(source.get("user_files")).items()
        ),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "device": f"{device.get('count')} × {device.get('kind')} ({device.get('platform')})",
        "processor": f"{cpu.get('model')}, {cpu.get('usable')} usable cores",
        "system": " ".join(map(str, _mapping(source.get("system")).values())),
        "XLA flags": source.get("xla_flags"),
        "JAX settings": ", ".join(f"{k}={v}" for k, v in _mapping(source.get("jax")).items()),
        "drift": "; ".join(_drifts(manifest.get("drift"))),
        "bits verified": records.certificate,
        "looks": str(len(manifest.get("looks") or ())) if manifest.get("looks") else "",
    }
    return [(name, tables.clean(value)) for name, value in found.items() if value]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _drifts(value: Any) -> list[str]:
    drifts = [one for one in value or () if isinstance(one, Mapping)]
    return [f"{one.get('field')}: {one.get('was')} → {one.get('now')}" for one in drifts]


def _data(records: Records) -> str:
    if not records.study:
        return ""
    data = records.study.setting.data
    return data.data_path or data.dataset


def facts(records: Records) -> list[tuple[str, str]]:
    """The study at a glance: names and values."""
    study = records.study
    if not study:
        return []
    run, trials = study.run, records.trials.get("status", ())
    seeds = f"{run.num_seeds}" + (f" from {run.first_replica} on" if run.first_replica else "")
    higher = "higher" if records.metric in ("accuracy", "r2") else "lower"
    return [
        ("data", _data(records)),
        ("model", study.setting.model.model),
        ("metric", f"{run.metric} ({higher} is better), margin {tables.number(run.margin)}"),
        ("arms", str(len(study.arms))),
        ("seeds", seeds),
        ("varied", ", ".join(run.vary) or "nothing"),
        ("trials", f"{len(trials)} trained" if trials else "none recorded"),
        ("date", str(_last_time(records))[:10]),
    ]


def _last_time(records: Records) -> str:
    times = [one for one in records.manifest["times"] if isinstance(one, Mapping)]
    return str(times[-1].get("at", "")) if times else ""


def settings(records: Records) -> list[tuple[str, str]]:
    """The base setting, field by field."""
    if not records.study:
        return []
    parts = records.study.setting
    return [
        (field.name, ",".join(map(str, value)) if isinstance(value, tuple) else str(value))
        for part in (parts.data, parts.model, parts.train, records.study.run)
        for field in dataclasses.fields(part)
        for value in [getattr(part, field.name)]
    ]
