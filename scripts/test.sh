#!/usr/bin/env bash
# Sets everything up and passes the tests: lint, types, tests with coverage.
#
#   bash scripts/test.sh [--all] [pytest's arguments]
#
# --all adds the slow tests. With arguments of pytest's (a file, -k …) coverage is not judged.
set -euo pipefail
unset PYTHONHOME PYTHONPATH

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
bash "$root/scripts/setup.sh"
cd -- "$root"
python=$root/.venv/bin/python

slow=()
arguments=()
for argument in "$@"; do
  if [ "$argument" = --all ]; then slow=(--slow); else arguments+=("$argument"); fi
done

heading() { printf '\n== %s\n' "$*"; }

heading "lint (ruff)"
"$python" -m ruff check .
"$python" -m ruff format --check .

heading "types (mypy)"
"$python" -m mypy

heading "tests (pytest)"
log=$(mktemp)
trap 'rm -f -- "$log"' EXIT
colour=no
[ -t 1 ] && colour=yes
"$python" -m coverage erase
status=0
"$python" -m coverage run -m pytest -n 2 --durations=10 --color="$colour" \
  ${slow[@]+"${slow[@]}"} ${arguments[@]+"${arguments[@]}"} | tee -- "$log" || status=$?

if [ ${#arguments[@]} -eq 0 ] && [ "$status" -eq 0 ]; then
  heading "line coverage of convergence/ (at least 90 %)"
  "$python" -m coverage combine --quiet
  "$python" -m coverage report --skip-covered --fail-under=90 || status=$?
fi

heading "result"
tail -n 1 -- "$log"
[ "$status" -eq 0 ] && echo "all passed" || echo "FAILED"
exit "$status"
