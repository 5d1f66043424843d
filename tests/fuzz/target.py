# SPDX-License-Identifier: MIT
"""What a target is, what all of them share, and what was found with them."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

from fingerd_sd.process import threads as pool
from fingerd_sd.protocol.text import is_printable

T = TypeVar("T")

CORPUS = Path(__file__).parent / "corpus"  # seeds and found cases, by target
SEPARATOR = b"\n----\n"  # between the parts of a case: so that those of text can be read


@cache
def ram() -> Path | None:
    """Return where files cost no disk, if one may write there."""
    shared = Path("/dev/shm")
    try:
        with tempfile.TemporaryFile(dir=shared):
            return shared
    except OSError:
        return None


@dataclass(frozen=True)
class Target:
    """`check` takes any octets, and raises where a property does not hold of them. `words`: what an
    engine strews in. `runs`: inputs of a bounded run, of a few seconds where atheris guides;
    without it, a twentieth of them. `longest`: octets of an input.
    """

    name: str
    check: Callable[[bytes], None]
    words: tuple[bytes, ...] = ()
    runs: int = 5000
    longest: int = 4096

    @property
    def folder(self) -> Path:
        """Where its corpus is."""
        return CORPUS / self.name

    def cases(self) -> list[Path]:
        """Return the files of its corpus."""
        return sorted(self.folder.glob("*"))


def keep(folder: Path, octets: bytes) -> Path:
    """Write a case that was found into `folder`, under the name that libFuzzer would give it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"crash-{hashlib.sha1(octets).hexdigest()}"
    path.write_bytes(octets)
    return path


def parts(octets: bytes, count: int) -> list[bytes]:
    """Return `octets` as `count` parts; those that are not there are empty."""
    found = octets.split(SEPARATOR, count - 1)
    return found + [b""] * (count - len(found))


def quiet(work: Coroutine[None, None, T]) -> T:
    """Return what `work` returns, run in a new loop; its threads go as soon as they are done, since
    thousands of such would wait for more.
    """
    with patch.object(pool, "IDLE", 0.0):
        return asyncio.run(work)


def any_text(octets: bytes) -> str:
    """Return any string: with lone surrogates too, as JSON and names of files may have them."""
    return octets.decode("utf-8", "surrogateescape")


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a new folder."""
    with tempfile.TemporaryDirectory(dir=ram()) as name:
        yield Path(name)


def assert_sendable(octets: bytes) -> None:
    """RFC 1288 §2.2 and §3.3: UTF-8, nothing but printable characters and tabs, lines in CRLF."""
    *lines, rest = octets.decode("utf-8").split("\r\n")
    assert not rest, "the last line does not end"
    assert lines, "no line at all"
    assert is_printable("".join(lines).replace("\t", ""))
