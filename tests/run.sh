#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh [PYTEST-OPTION]...: what `make test` runs, with .venv or, where that could not be made, with
# the system's own pytest. It ends with what was not run.
set -u
cd "$(dirname "$0")/.." || exit 1

python=.venv/bin/python
if [ ! -e .venv/ready ]; then
    python=${PYTHON:-/usr/bin/python3}
    "$python" -c 'import pytest, hypothesis' 2>/dev/null || {
        echo "make test: needs the development tools, from PyPI by a network, or pytest and" \
            "hypothesis: apt install python3-pytest python3-hypothesis" >&2
        exit 1
    }
    echo "The development tools could not be installed: the system's own pytest is used." >&2
fi
several=
"$python" -c 'import xdist' 2>/dev/null && several='-n auto --dist worksteal'

# shellcheck disable=SC2086 # words are wanted
"$python" -m pytest $several -m 'not system and not packages and not pages' "$@"
status=$?
cat <<'END'

Not run here, but by `make check` (as root): what a validator and a browser say of the pages, the
packages' builds, the commands of the README in fresh Debian roots, and the service on booted
machines. What was skipped above says why.
END
exit $status
