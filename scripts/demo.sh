#!/usr/bin/env bash
# Sets everything up and runs the main job on embedded data; further flags go to the experiment.
set -euo pipefail
unset PYTHONHOME PYTHONPATH

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
bash "$root/scripts/setup.sh"
cd -- "$root"
exec .venv/bin/python -m experiments.five_challenges --preset=quick --workdir=runs/demo --overwrite "$@"
