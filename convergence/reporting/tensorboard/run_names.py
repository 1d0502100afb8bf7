"""Folder names of TensorBoard's runs."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

PROGRESS, TRIALS = "progress", "trials"  # folders of runs that are no arm's
EVENT_FILES = "events.out.tfevents."
MOST_SELECTED = 40  # of more runs TensorBoard's older dashboards select none by themselves
_LONGEST = 80


def safe_name(name: str) -> str:
    """A folder's name for an arm: plain characters only, and different for different arms.

    >>> safe_name("loss=gce spoiled"), safe_name("../x")
    ('loss=gce spoiled', 'x-d6b96a97')
    """
    plain = re.sub(r"[^A-Za-z0-9._=+, -]+", "_", name).strip(" ._-")[:_LONGEST].rstrip()
    if plain and plain == name and plain.lower() not in (PROGRESS, TRIALS):
        return plain
    tail = hashlib.sha256(name.encode("utf-8", errors="surrogatepass")).hexdigest()[:8]
    return f"{plain}-{tail}" if plain else tail


def trial_name(arm: str, replica: int) -> str:
    """The run of one trial, below the folder of all runs.

    >>> trial_name("schedule=cosine", 3)
    'trials/schedule=cosine/seed_0003'
    """
    return f"{TRIALS}/{safe_name(arm)}/seed_{replica:04d}"


def run_count(folder: str | Path) -> int:
    """How many runs TensorBoard lists of the folder of all runs."""
    return len({path.parent for path in Path(folder).rglob(f"{EVENT_FILES}*")})
