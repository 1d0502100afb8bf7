"""What every experiment does around its study: load, check, open the workdir, run, write, tell."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shlex
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convergence import data, names, results, spec
from convergence.analysis.arms import arm_summary
from convergence.analysis.telling import counted
from convergence.analysis.verdict import Claim
from convergence.flags import Options
from convergence.history import History
from convergence.live import Live
from convergence.reporting import files, provenance, tables, tensorboard
from convergence.reporting.progress import Progress, duration
from convergence.reporting.workdir import Workdir
from convergence.sources import effective
from convergence.spec import Arm, StudySpec
from convergence.study import Machine, Study, resolve
from convergence.training.blocks import Want
from convergence.training.population import Population

SUMMARY = "tables/summary.txt"
SECONDS_PER_FLOP = 1 / 20e9  # of one CPU core on small matrices; for --dry_run's estimate only
SECONDS_PER_PROGRAM = 6.0  # to compile one
ALIKE = "note: nothing that --vary names has an effect here: all seeds will be the same run"
UNTRAINED = "note: 0 steps: nothing was trained, all figures are of the initial weights"
LEFTOVERS = ("", "blocks", "checkpoints", "params", "tables")  # folders with files half-written


@dataclasses.dataclass
class Laboratory:
    """One experiment at work.

    Attributes:
        options: what the user asked for.
        study: the resolved spec.
        dataset: its data.
        workdir: the open folder.
        populations: the programs compiled so far.
    """

    options: Options
    study: StudySpec
    dataset: data.Dataset
    workdir: Workdir
    populations: dict[Any, Population] = dataclasses.field(default_factory=dict)

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value of the study's metric is better."""
        return self.study.run.metric in names.HIGHER_IS_BETTER

    @property
    def untrained(self) -> bool:
        """Whether no trial takes a step."""
        settings = [self.study.arm_setting(arm).train for arm in self.study.arms]
        return not any(train.steps or train.epochs for train in settings)

    def claim(
        self,
        id: str,
        statement: str,
        treatment: str,
        control: str,
        family: str,
        kind: Any = "superiority",
        challenge: int | None = None,
    ) -> Claim:
        """A claim that the treatment's metric is better (or as good), with the study's margin."""
        run = self.study.run
        return Claim(
            id=id,
            statement=statement,
            treatment=treatment,
            control=control,
            kind=kind,
            direction=1 if self.higher_is_better else -1,
            metric=run.metric,
            margin=run.margin,
            family=family,
            challenge=challenge,
        )

    def conduct(
        self, study: StudySpec, workdir: Workdir, title: str, want: Want | None = None
    ) -> History:
        """Runs a study to its end, with progress, and writes its records."""
        want = want or Want()
        sweep(workdir)
        with Progress(title) as bar, contextlib.ExitStack() as stack:
            runner = Study(
                study,
                self.dataset,
                want=want,
                workdir=workdir,
                progress=lambda done, total, diverged: bar.update(done, total, diverged),
                machine=Machine.here(self.options.workers),
                populations=self.populations,
            )
            if self.options.tensorboard:
                steps, trials = runner.cadence.eval_steps(), self.options.tensorboard_trials
                live = Live(runner.plan, steps, workdir.path("tb"), trials)
                runner.watcher = stack.enter_context(contextlib.closing(live))
            history = runner.run()
        results.write(history, workdir, test=want.test)
        return history

    def close(self, summary: Mapping[str, Any], text: str) -> None:
        """Writes the summary and the closing text, marks the study finished, and prints."""
        text = narrow(f"{text}\n\n{UNTRAINED}" if self.untrained else text)
        self.workdir.write_json("summary.json", summary)
        self.workdir.write_text(SUMMARY, text + "\n")
        if self.workdir.messages:
            self.workdir.update(messages=self.workdir.messages)
        for message in self.workdir.messages:
            print(narrow(f"note: {message}"))
        print(text)
        self.workdir.mark("finished")
        nested = (self.workdir.path(name) for name in self.workdir.manifest["children"])
        for workdir in (self.workdir, *map(Workdir.open, nested)):
            workdir.remove_blocks()
        if failed := draw_report(self.workdir):
            print(narrow(f"note: {failed}"))
        print(closing(self.workdir, self.options))


def draw_report(workdir: Workdir) -> str:
    """Draws the study's report; what went wrong, or ''.

    A page that could not be drawn takes nothing from a study that was trained, and must not hide
    what ended one that was not.
    """
    from convergence.report import board, page

    try:
        page.write(workdir.root)
        if workdir.path("tb").is_dir():
            board.write(workdir.root)
    except Exception as error:
        return (
            f"the report could not be drawn ({type(error).__name__}: {error}); all results are"
            " there, scripts/report.py draws it again."
        )
    return ""


def user_files(study: StudySpec) -> dict[str, str]:
    """SHA-256 of the user's own files that the study runs, by path."""
    settings = [study.arm_setting(arm) for arm in study.arms]
    own = (text for s in settings for text in (s.model.model, s.model.init, s.train.loss))
    told = {text for text in own if ":" in text}
    paths = sorted({text.rpartition(":")[0] for text in told})
    return {
        path: hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest() for path in paths
    }


def sweep(workdir: Workdir) -> None:
    """Removes the halves of files that an earlier run was killed while writing."""
    for folder in (workdir.path(name) if name else workdir.root for name in LEFTOVERS):
        for half in folder.glob(f".*{files.TEMPORARY_SUFFIX}"):
            half.unlink(missing_ok=True)


def narrow(text: str) -> str:
    """The text with lines that are too wide for a terminal broken at spaces and indented."""
    lines = []
    for line in text.splitlines():
        if tables.columns(line) > tables.WIDTH:
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            lines += textwrap.wrap(
                line,
                tables.WIDTH,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
        else:
            lines.append(line)
    return "\n".join(lines)


def opening_command(path: Path) -> str:
    """The command that opens a file in the system's own viewer."""
    opener = {"darwin": "open", "win32": "explorer"}.get(sys.platform, "xdg-open")
    return shlex.join([opener, str(path)])


def closing(workdir: Workdir, options: Options) -> str:
    """The last lines: where the results are and how to look at them."""
    lines = [f"Workdir: {options.workdir}"]
    if (workdir.root / "report.html").is_file():
        lines.append(f"Report: {opening_command(options.workdir / 'report.html')}")
    if options.tensorboard and (workdir.root / "tb").is_dir():
        lines.append(f"TensorBoard: {tensorboard.command(options.workdir / 'tb')}")
        if tensorboard.run_count(workdir.root / "tb") > tensorboard.MOST_SELECTED:
            lines.append("  (it selects none of so many runs: press “Toggle all runs” there)")
    return "\n".join(lines)


@contextlib.contextmanager
def open_laboratory(
    options: Options,
    question: str,
    arms: Any,
    claims: Any = None,
    base: Mapping[str, Any] | None = None,
    further: str = "",
) -> Iterator[Laboratory | None]:
    """Loads and checks everything, then opens the workdir; yields None where nothing is to be run.

    Args:
        options: what the user asked for.
        question: what the study asks, in one sentence.
        arms: the arms, or a function from the dataset to them.
        claims: a function from the laboratory to its claims, written down before training.
        base: changes to the base setting that the experiment insists on.
        further: what --dry_run says of trials that come on top, depending on the results.

    Raises:
        UserError: data, settings or workdir do not fit.
    """
    dataset = data.load(options.setting.data)
    chosen: Sequence[Arm] = arms(dataset) if callable(arms) else arms
    study = StudySpec(
        options.name, question, options.setting.changed(base or {}), options.run, tuple(chosen)
    )
    study = resolve(spec.validate(study), dataset)
    # Says what does not fit before a folder is touched.
    runner = Study(study, dataset, Machine.here(options.workers))
    if options.dry_run:
        print(estimate_text(runner, further))
        yield None
        return
    workdir = Workdir.prepare(
        options.workdir,
        spec.to_json(study) | ({"extra": dict(options.extra)} if options.extra else {}),
        provenance.collect(dataset.digest, user_files(study)),
        overwrite=options.overwrite,
        resume=options.resume,
        allow_drift=options.allow_drift,
    )
    with reported(workdir):
        if workdir.finished:
            sweep(workdir)  # it may have been killed when nothing but its report was missing
            if not workdir.path("report.html").exists() and (failed := draw_report(workdir)):
                print(narrow(f"note: {failed}"))
            print(f"The study in {options.workdir} is finished; nothing is left to run.\n")
            with contextlib.suppress(OSError):
                print(workdir.path(SUMMARY).read_text("utf-8"))
            print(closing(workdir, options))
            yield None
            return
        laboratory = Laboratory(options, study, dataset, workdir)
        if workdir.manifest["claims"] is None:  # on resumption too, if killed before they were told
            told = [claim.to_json() for claim in claims(laboratory)] if claims else []
            workdir.update(claims=told)
        if not workdir.path("flags.txt").exists():
            workdir.write_text("flags.txt", options.flagfile_text())
        print(opening(study, runner, options), file=sys.stderr)
        yield laboratory


@contextlib.contextmanager
def reported(workdir: Workdir) -> Iterator[None]:
    """The open workdir; a study that ends before its time leaves a report of what there is."""
    try:
        with workdir:
            yield
    except BaseException:
        if workdir.manifest["status"] in ("failed", "interrupted"):
            draw_report(workdir)
        raise


def opening(study: StudySpec, runner: Study, options: Options) -> str:
    """Three lines on what is about to run."""
    plan, dataset = runner.plan, runner.plan.dataset
    view = plan.view(0, int(plan.replicas[0]))
    rows = f"{len(view.train)} training, {len(view.validation)} validation, {len(plan.test)} test"
    varied = effective(study.setting, study.run.vary)
    alike = "" if varied or study.run.num_seeds == 1 else f"\n{ALIKE}"
    return (
        f"{study.name}: {counted(len(study.arms), 'arm')} × {counted(study.run.num_seeds, 'seed')}"
        f" on {dataset.name}, {counted(plan.total_steps, 'step')}\n"
        f"rows: {rows}; metric {study.run.metric}, margin {tables.number(study.run.margin)}\n"
        f"workdir: {options.workdir}{alike}"
    )


def estimate_text(runner: Study, further: str = "") -> str:
    """What --dry_run says."""
    told = runner.estimate()
    run = runner.plan.study.run
    batch = max(setting.train.batch_size for setting in runner.plan.settings)
    flops = 6.0 * told["parameters"] * batch * told["steps"]
    seconds = flops * SECONDS_PER_FLOP / len(runner.machine.workers)
    seconds += SECONDS_PER_PROGRAM * told["programs"]
    lanes = min(run.lanes, told["trials"])
    memory = lanes * told["parameters"] * 4 * 4 / 2**20
    disk = told["saved_bytes"] / 2**20
    return narrow(
        f"{counted(told['trials'], 'trial')} in {counted(told['programs'], 'program')},"
        f" {counted(told['steps'], 'step')} in all;\n"
        f"about {memory:.0f} MiB of state beside JAX's own, {disk:.0f} MiB of final params on disk;"
        f" roughly {duration(seconds)} on"
        f" {counted(len(runner.machine.workers), 'worker')}, compiling included (dense layers;"
        f" convolutions and recurrent ones take longer).{further}\n"
        "Nothing was trained and nothing written."
    )


def arm_table(history: History, metric: str, split: str, seed: int = 0) -> list[dict[str, Any]]:
    """One summary an arm: `arm_summary` of its seeds, as strict JSON with the arm's name.

    Args:
        seed: of the bootstrap's generator; each arm has its own stream.
    """
    rows = []
    for index, arm in enumerate(history.arm_names):
        rng = np.random.default_rng([seed, index])
        values = history.of_arm(arm, metric, split)
        summary = arm_summary(values, rng, copies=history.copies(arm))
        rows.append({"arm": arm, "split": split, "metric": metric} | summary.to_json())
    return rows
