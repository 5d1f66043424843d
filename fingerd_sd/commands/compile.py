# SPDX-License-Identifier: MIT
"""`fingerd-sd compile`: make a database of users, for a static source."""

from __future__ import annotations

import sys
from pathlib import Path

from fingerd_sd.commands.exits import EX_CONFIG, EX_OK, EX_UNAVAILABLE
from fingerd_sd.config.mistakes import ConfigError, Mistake
from fingerd_sd.sources.static import compile as making


def compile_users(users: Path, database: Path) -> int:
    """Write `users`, TOML or "-" for lines of JSON on standard input, into the file `database`."""
    mistakes: list[Mistake] = []
    if users == Path("-"):
        tables = making.from_lines(sys.stdin.buffer, mistakes)
    else:
        tables = making.from_toml(users, mistakes)
    try:
        count = making.write(tables, mistakes, database)
    except ConfigError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
        return EX_CONFIG
    except OSError as error:
        print(f"{database}: cannot be written: {error}", file=sys.stderr)
        return EX_UNAVAILABLE
    print(f"{database}: in order; users: {count}")
    return EX_OK
