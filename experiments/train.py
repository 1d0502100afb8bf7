"""Train one setting many times: where does it end, and how far do its seeds spread?

Command:  python -m experiments.train --dataset=digits --num_seeds=16
Cost:     seconds for a small network on a small dataset
Expect:   the metric's mean over seeds with an interval, its spread, and how many seeds diverged;
          curves per arm in TensorBoard. With --twin, each trial has a twin whose first weights
          differ in one bit. With --test the test split is read, once, at the end.
"""

from __future__ import annotations

from convergence import flags
from convergence.flags import Options
from convergence.spec import Arm

PRESETS: flags.Presets = {
    "smoke": {"steps": 20, "num_seeds": 2, "hidden": (16,), "lanes": 4},
    "quick": {"steps": 1100, "num_seeds": 8},
    "paper": {"steps": 1100, "num_seeds": 64},
}
EXTRA = {"test": (False, "score the test split too, once, where each trial ends")}


def main(options: Options) -> None:
    """Runs the experiment."""
    from convergence.laboratory import arm_table, open_laboratory
    from convergence.training.blocks import Want
    from convergence.wording import arm_notes, arm_text

    question = "Where does this setting end, and how far do its seeds spread?"
    with open_laboratory(options, question, (Arm("base"),)) as laboratory:
        if laboratory is None:
            return
        test = bool(options.extra["test"])
        history = laboratory.conduct(
            laboratory.study, laboratory.workdir, "training", Want(test=test)
        )
        metric = laboratory.study.run.metric
        splits = ("train", "validation", *(["test"] if test else []))
        rows = [row for split in splits for row in arm_table(history, metric, split)]
        parts = [
            f"{metric} on {split} rows (intervals speak of seeds)\n"
            + arm_text([row for row in rows if row["split"] == split])
            for split in splits
        ]
        notes = arm_notes(rows)
        if test:
            notes.append("note: the test split was read; a choice made by it needs other rows")
            laboratory.workdir.update(test_read=True)
        parts += ["\n".join(notes)] if notes else []
        laboratory.close({"arms": rows}, "\n\n".join(parts))


if __name__ == "__main__":
    flags.launch(main, name="train", presets=PRESETS, default_preset="quick", extra=EXTRA)
