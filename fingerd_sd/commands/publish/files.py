# SPDX-License-Identifier: MIT
"""What a user has written, read with the user's own rights: ~/.plan and its like, or a file named.

Links are followed wherever they lead: the user may read what is there, and says that it is to be
shown. What is no regular file is refused, since a FIFO has no end and a device has no text.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fingerd_sd.protocol.text import decode

# The atoms, and the files in the home that hold them: the first that is there.
FILES = {"plan": (".plan",), "project": (".project",), "key": (".pgpkey", ".pubkey")}
MAX_READ = (
    1 << 20
)  # octets: the most that max_size in [publish] can allow; the keeper has the limit


class Unreadable(Exception):  # noqa: N818  # a mistake of the user's, no fault
    """The text cannot be had; what is said is one line."""


class Found(NamedTuple):
    """What the home holds now. `texts`: by atom; `missing`: atoms without a file; `looked`: every
    path that was looked for.
    """

    texts: dict[str, str]
    missing: tuple[str, ...]
    looked: tuple[Path, ...]


def in_home() -> Found:
    """Return the texts of the user's home ($HOME). Raises Unreadable if one cannot be read."""
    home = Path("~").expanduser()
    if not home.is_dir():
        raise Unreadable(f"your home, {home}, is not there: nothing is published")
    texts: dict[str, str] = {}
    for atom, names in FILES.items():
        for name in names:
            text = _read_if_there(home / name)
            if text is not None:
                texts[atom] = text
                break
    missing = tuple(atom for atom in FILES if atom not in texts)
    looked = tuple(home / name for names in FILES.values() for name in names)
    return Found(texts, missing, looked)


def of(name: str) -> str:
    """Return the text of the file `name`; "-": standard input. Raises Unreadable."""
    if name == "-":
        return _text(sys.stdin.buffer, "standard input")
    text = _read_if_there(Path(name))
    if text is None:
        raise Unreadable(f"{name}: there is no such file")
    return text


def _read_if_there(path: Path) -> str | None:
    """Return the text of the file `path`; None: there is none. Raises Unreadable."""
    try:
        # Looked at before it is opened, as opening alone does something to some devices.
        _check(path, path.stat())
        # Should it be a FIFO by now, this does not wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        if path.is_symlink():
            raise Unreadable(f"{path}: is a link to a file that is not there") from None
        return None
    except OSError as error:
        raise Unreadable(f"{path}: cannot be read: {error.strerror}") from None
    with open(fd, "rb") as file:
        _check(path, os.fstat(fd))
        return _text(file, str(path))


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        pipe = f": `fingerd-sd publish --plan - < {path}` reads one" if _is_pipe(status) else ""
        raise Unreadable(f"{path}: is not a regular file{pipe}")


def _is_pipe(status: os.stat_result) -> bool:
    return stat.S_ISFIFO(status.st_mode)


def _text(file: BinaryIO, name: str) -> str:
    try:
        octets = file.read(MAX_READ + 1)
    except OSError as error:
        raise Unreadable(f"{name}: cannot be read: {error.strerror}") from None
    if len(octets) > MAX_READ:
        raise Unreadable(f"{name}: is too large to publish: more than {MAX_READ} octets")
    return decode(octets)
