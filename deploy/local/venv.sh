#!/usr/bin/env bash
# Makes .venv from requirements-dev.txt, with the project itself installed for editing; nothing to do the second time.
# While pip downloads, the local parts (Kafka, PostgreSQL, Redis) are brought and the fold is compiled in the background.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf '%s\n' "$*"; }

find_python() {
    local name
    for name in "${PYTHON:-python3}" python3.11 python3.12 python3.13 /usr/bin/python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

as_root_apt() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "missing here: $*. Install it (as root on Debian: apt-get install $*)." >&2
        exit 1
    fi
    say "  apt-get install $*"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o DPkg::Lock::Timeout=600 "$@" >/dev/null
}

python=$(find_python) || { as_root_apt python3 python3-venv; python=$(find_python); } || {
    say "Python 3.11 or later is needed; PYTHON=/path/to/python3.12 names one." >&2
    exit 1
}
# pyproject.toml too: the editable install has the list of packages and commands from there
stamp=.venv/stamp-$({ cat requirements.txt requirements-dev.txt pyproject.toml; pwd; "$python" -V; } |
    "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:16])')
if [ -e "$stamp" ] && [ -x .venv/bin/field ]; then
    .venv/bin/python -m deploy.local.native || true # both have said why; all else goes on without them
    .venv/bin/python -m deploy.local.page || true
    exit 0
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || as_root_apt python3-venv

say "making .venv with $("$python" -V) and, meanwhile, bringing the parts"
"$python" -m deploy.local.bring &
parts=$!
"$python" -m deploy.local.native &
native=$!
rm -f .venv/stamp-*
here="$("$python" -V) in $(pwd)"
# a folder that was moved or made by another Python is made anew; one that pip was interrupted in goes on
if [ -e .venv/made ] && [ "$(cat .venv/made)" != "$here" ]; then
    "$python" -m venv --clear .venv
else
    "$python" -m venv .venv
fi
printf '%s\n' "$here" > .venv/made
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
say "installing $(grep -c == requirements.txt) packages and those of the tests by pip: a minute or two the first time"
pip install -r requirements-dev.txt
pip install --no-deps --editable .
wait "$parts" || true # a failure there is told again, and better, by whatever needs the parts
wait "$native" || true
: > "$stamp"
say "  .venv is ready"
.venv/bin/python -m deploy.local.page || true
