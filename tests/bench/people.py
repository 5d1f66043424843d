# SPDX-License-Identifier: MIT
"""The many users of *first asking*: lists of names, a database, accounts with homes.

What takes long to make is kept in build.py's cache, whatever of ours it depends on in its name.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from ..helpers import needs
from . import build
from .build import CACHE, UnavailableError

TREE = Path(__file__).parents[2]
DATABASE = Path("fingerd_sd/sources/static")  # the code that decides what is in a database
TEXT = "Happy and well"
PLAN = "Happy and well, and at work on what the project page says.\n"
FIRST_UID = 20000  # of nss.c
NSSWITCH = "passwd: files bench\ngroup: files\nhosts: files\n"


def names(count: int) -> Path:
    """Return a file of `count` names, one a line: u0000000, u0000001 and so on."""
    return _written(f"names-{count}", (f"u{number:07d}\n" for number in range(count)))


def toml(count: int) -> Path:
    """Return the same users for a static source, each with a text."""
    lines = (f'u{number:07d} = "{TEXT}"\n' for number in range(count))
    return _written(f"users-{count}.toml", lines)


def database(count: int, python: str) -> Path:
    """Return the same users as `fingerd-sd compile` makes a database of them."""
    code = b"".join(file.read_bytes() for file in sorted((TREE / DATABASE).glob("*.py")))
    made = CACHE / f"users-{count}-{hashlib.sha256(code).hexdigest()[:12]}.db"
    if not made.exists():
        lines = (f'{{"u{number:07d}": "{TEXT}"}}\n' for number in range(count))
        with _written(f"users-{count}.json", lines).open("rb") as users:
            argv = [python, "-m", "fingerd_sd", "compile", "-", str(made)]
            try:
                subprocess.run(
                    argv, stdin=users, cwd=TREE, check=True, capture_output=True, timeout=600
                )
            except subprocess.SubprocessError as error:
                raise UnavailableError(f"no database of {count} users: {error}") from error
    return made


def accounts(count: int, at_home: bool = True) -> tuple[str, dict[str, str]]:
    """Return the shell commands that mount `count` accounts, and the environment they need.

    Their names are b0000000 and so on, each has a home with a plan (none has if not `at_home`), and
    NSS finds them at once by a service of its own (servers/nss.c).
    """
    if at_home and (why := needs.giving_away()):
        raise UnavailableError(f"homes belong to their users: {why}")
    library = CACHE / f"nss-{count}"
    library.mkdir(parents=True, exist_ok=True)
    flags = ("-shared", "-fPIC", f"-DACCOUNTS={count}")
    build.compiled("nss", *flags, made=library / "libnss_bench.so.2")
    switch = _written("nsswitch.conf", [NSSWITCH])
    mounts = f"mount --bind '{switch}' /etc/nsswitch.conf"
    if at_home:
        mounts += f"; mount --bind '{_homes(count)}' /home"
    return mounts, {"LD_LIBRARY_PATH": str(library)}


def _homes(count: int) -> Path:
    homes, done = CACHE / f"homes-{count}", CACHE / f"homes-{count}.made"
    if not done.exists():
        for number in range(count):
            home, uid = homes / f"b{number:07d}", FIRST_UID + number
            home.mkdir(parents=True, exist_ok=True)
            plan = home / ".plan"
            plan.write_text(PLAN)
            os.chown(plan, uid, uid)
            os.chown(home, uid, uid)
        done.touch()
    return homes


def _written(name: str, lines: Iterable[str]) -> Path:
    file = CACHE / name
    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{name}.{os.getpid()}")
        with part.open("w") as out:
            out.writelines(lines)
        part.replace(file)
    return file
