"""Puts a recommended setting to the test – unused seeds, test rows read once – and tells of it."""

from __future__ import annotations

import dataclasses
import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from convergence import appraisal, spec
from convergence import laboratory as lab
from convergence.analysis.verdict import Verdict
from convergence.history import History
from convergence.reporting import provenance, tables
from convergence.spec import StudySpec
from convergence.study import resolve
from convergence.training.blocks import Want

NAME = "confirmation"
QUESTION = "Does the recommended setting beat the default on unused seeds and test rows?"
FEWEST = 16  # seeds of the confirmation, at least, unless the study has very few
Changes = Sequence[tuple[str, Any]]


def nested(
    laboratory: lab.Laboratory,
    name: str,
    question: str,
    arms: tuple[spec.Arm, ...],
    run: spec.RunSpec,
    want: Want,
    base: Mapping[str, Any] | None = None,
) -> History:
    """A further study inside the workdir, where it can in the programs of the main one.

    Args:
        name: of its folder, one plain file name.
        base: changes to the main study's setting, before those of the arms.
    """
    study = laboratory.study
    setting = study.setting.changed(base or {})
    further = StudySpec(f"{study.name}/{name}", question, setting, run, arms, study.arms)
    further = resolve(spec.validate(further), laboratory.dataset)
    claims = [appraisal.confirmation_claim(run).to_json()] if want.test else []
    child = laboratory.workdir.child(
        name,
        spec.to_json(further),
        provenance.collect(laboratory.dataset.digest, lab.user_files(further)),
        allow_drift=laboratory.options.allow_drift,
        claims=claims,
    )
    with child:
        history = laboratory.conduct(further, child, name, want)
        split = "test" if want.test else "validation"
        rows = lab.arm_table(history, run.metric, split)
        verdicts = [appraisal.confirm(history).to_json()] if want.test else []
        child.write_json("summary.json", {"arms": rows, "verdicts": verdicts})
        if not child.finished:
            child.mark("finished")
        laboratory.workdir.messages += [f"{name}: {message}" for message in child.messages]
    return history


def seeds(count: int) -> int:
    """How many seeds confirm a study of so many."""
    return 2 * count if count < 4 else max(count, FEWEST)


def confirm(
    laboratory: lab.Laboratory,
    changes: Changes,
    used: int = 0,
    base: Mapping[str, Any] | None = None,
) -> Verdict:
    """Whether the default with these changes beats the default, on test rows and unused seeds.

    Where it does, ``recommended.txt`` is written: a flagfile of the whole setting.

    Args:
        changes: fields of the setting and their recommended values.
        used: replicas that have been seen, from the study's first one on (0: the study's own).
        base: changes to the study's setting that both are tested under.
    """
    run = laboratory.study.run
    unused = dataclasses.replace(
        run,
        first_replica=run.first_replica + (used or run.num_seeds),
        num_seeds=seeds(run.num_seeds),
    )
    arms = appraisal.confirmation_arms(tuple(changes))
    tested = nested(laboratory, NAME, QUESTION, arms, unused, Want(test=True), base)
    verdict = appraisal.confirm(tested)
    if verdict.decision == "holds":
        kept = laboratory.options.flagfile_text().rstrip()
        text = "\n".join([kept, *flags(changes)]) + "\n"
        laboratory.workdir.write_text("recommended.txt", text)
    return verdict


def flag_value(value: Any) -> str:
    """A field's value as its flag takes it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return shlex.quote(f"{value:.6g}" if isinstance(value, float) else str(value))


def flags(changes: Iterable[tuple[str, Any]]) -> list[str]:
    """The flags that make these changes."""
    return [f"--{name}={flag_value(value)}" for name, value in changes]


def told(changes: Changes, verdict: Verdict) -> str:
    """Whether the recommended setting stood the test, with the flags that make it."""
    effect = tables.estimate(verdict.effect, verdict.low, verdict.high)
    count = f"{verdict.n} of {verdict.seeds}" if verdict.n < verdict.seeds else str(verdict.n)
    tested = (
        f"  {verdict.claim.metric} {effect} against the default,\n"
        f"  on test rows with {count} unused seeds (interval: {verdict.speaks_of})"
    )
    setting = "\n    ".join(textwrap.wrap(" ".join(flags(changes)), 74, break_long_words=False))
    if verdict.decision == "holds":
        return f"Recommended, confirmed:\n    {setting}\n{tested}"
    why = f"{verdict.decision}{f', {verdict.reason}' if verdict.reason else ''}"
    return (
        f"Withdrawn ({why}):\n    {setting}\n{tested}\n"
        "  It led on validation rows but was not confirmed: keep the default setting."
    )


def summary(name: str | None, changes: Changes, verdict: Verdict | None) -> dict[str, Any]:
    """A study's ``recommendation``, as summary.json has it and the report reads it.

    Args:
        name: of the setting that was put to the test, None where there was none.
        verdict: on it, None where nothing was tested.
    """
    return {
        "setting": name,
        "flags": flags(changes),
        "decision": verdict.decision if verdict else "nothing to confirm",
        "verdict": verdict.to_json() if verdict else None,
    }
