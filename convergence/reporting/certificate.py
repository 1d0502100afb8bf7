"""The certificate of the bits contract in a study's folder: written by who verifies, read by all.

It speaks of the records that it was made from, by their digests: beside others it proves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from convergence.errors import UserError
from convergence.reporting import files
from convergence.reporting.workdir import Workdir

CERTIFICATE = "certificate.json"
RECORDS = ("fingerprints.npz", "sketches.npz")  # what is compared


def digests(workdir: Workdir) -> dict[str, str]:
    """SHA-256 of each of the study's records of bits; "" where there is none to read."""
    found = {}
    for name in RECORDS:
        try:
            found[name] = hashlib.sha256(workdir.path(name).read_bytes()).hexdigest()
        except OSError:
            found[name] = ""
    return found


def read(workdir: Workdir) -> dict[str, Any]:
    """The study's certificate; empty where there is none that can be read."""
    try:
        found = files.read_json(workdir.path(CERTIFICATE))
    except (OSError, UserError, files.CorruptFile):
        return {}
    return found if isinstance(found, dict) else {}


def line(workdir: Workdir) -> str:
    """What the certificate says, for a reader of the study; "" where there is none."""
    told = read(workdir)
    if not told:
        return ""
    if not speaks_of(told, workdir):
        return "none that counts: certificate.json is of other records"
    return f"{told.get('sentence') or 'nothing was verified.'} ({told.get('at')})"


def speaks_of(told: Mapping[str, Any], workdir: Workdir) -> bool:
    """Whether a certificate is of this study and of the records that are here now."""
    same = told.get("study") == workdir.manifest.get("spec_digest")
    return same and told.get("records") == digests(workdir)
