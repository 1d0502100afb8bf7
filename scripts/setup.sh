#!/usr/bin/env bash
# Makes or reuses .venv from requirements.lock. demo.sh and test.sh call it; alone it does no harm.
#
# The packages are checked against the lock's hashes. The project itself is not built (that would
# need the network): a .pth file in .venv puts the checkout on Python's path. A stamp in .venv with
# the lock's SHA-256 is written last, so a second call needs no network, and an installation that
# was interrupted is noticed and done again. PYTHON=/path/to/python chooses the interpreter.
set -euo pipefail
unset PYTHONHOME PYTHONPATH

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
lock=$root/requirements.lock
stamp=$venv/.requirements.sha256
python=$venv/bin/python

say() { printf 'setup: %s\n' "$*" >&2; }

# Why an interpreter will not do; nothing if it will.
unfit() {
  "$1" - 2>/dev/null <<'EOF' || echo "does not run"
import sys
if sys.version_info < (3, 11):
    print("is %d.%d, too old" % sys.version_info[:2])
else:
    try:
        import ensurepip, venv
    except ImportError:
        print("has no venv or pip: install python%d.%d-venv" % sys.version_info[:2])
EOF
}

find_python() {
  local candidate reason told=""
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    reason=$(unfit "$candidate")
    if [ -z "$reason" ]; then
      command -v "$candidate"
      return
    fi
    told+=" $candidate $reason;"
  done
  say "Python 3.11 or later with venv and pip is needed.${told:+ Found:${told%;}.}"
  return 1
}

# The lock's digest, or nothing where .venv's Python does not run or is too old.
lock_digest() {
  [ -x "$python" ] && "$python" - "$lock" 2>/dev/null <<'EOF'
import hashlib, sys
if sys.version_info >= (3, 11):
    print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())
EOF
}

install() {
  say "installing the packages of requirements.lock into .venv (once; some minutes and 1.5 GB)"
  local quiet=--quiet
  [ -t 2 ] && quiet=--progress-bar=on
  rm -f -- "$stamp" # from here on .venv is half-made
  PIP_USER=0 "$python" -m pip install --disable-pip-version-check --no-input "$quiet" \
    --require-hashes --only-binary=:all: -r "$lock" >&2 || {
    say "the packages could not be installed; the first time needs the network. Run it again."
    exit 1
  }
}

if command -v flock >/dev/null 2>&1; then # two scripts at once: the second waits
  exec 9<"$lock"
  flock 9 || true
fi

digest=$(lock_digest || true)
if [ -z "$digest" ] || [ ! -s "$stamp" ]; then
  interpreter=$(find_python)
  if [ -e "$venv" ]; then
    say "the .venv that is there is half-made or broken; making it again with $interpreter"
  else
    say "making .venv with $interpreter"
  fi
  "$interpreter" -m venv --clear "$venv"
  digest=$(lock_digest)
  install
elif [ "$(cat -- "$stamp")" != "$digest" ]; then
  say "requirements.lock has changed since .venv was made"
  install
else
  say "reusing .venv, which agrees with requirements.lock"
fi

# Written every time: the checkout may have been moved.
"$python" - "$root" <<'EOF'
import pathlib, sys, sysconfig
path = pathlib.Path(sysconfig.get_path("purelib"), "convergence-checkout.pth")
if not path.exists() or path.read_text(encoding="utf-8") != sys.argv[1] + "\n":
    path.write_text(sys.argv[1] + "\n", encoding="utf-8")
EOF
printf '%s\n' "$digest" >"$stamp.new"
mv -f -- "$stamp.new" "$stamp"
