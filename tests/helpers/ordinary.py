# SPDX-License-Identifier: MIT
"""Calls as an ordinary user, to whom permissions mean something; and homes for it."""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

from . import needs
from .needs import NOBODY

T = TypeVar("T")

__all__ = ["NOBODY", "as_ordinary_user", "reachable_folder"]


def as_ordinary_user(call: Callable[[], T]) -> T:
    """Return what `call` returns, called as an ordinary user: in a child process where this one may
    read everything. What it returns or raises must be picklable.
    """
    if needs.reading_anything():
        return call()
    needs.right(needs.becoming_nobody)
    _flush()
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads: none is needed
        child = os.fork()
    if child == 0:
        _in_child(call, writing)
    os.close(writing)
    with open(reading, "rb") as stream:
        octets = stream.read()
    os.waitpid(child, 0)
    returned, value = pickle.loads(octets)
    if not returned:
        raise value
    return cast(T, value)


def _in_child(call: Callable[[], object], writing: int) -> None:
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        result: tuple[bool, object] = (True, call())
    except BaseException as error:
        result = (False, error)
    try:
        _flush()
        with open(writing, "wb") as stream:
            stream.write(pickle.dumps(result))
    finally:
        os._exit(0)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """Yield a new folder that an ordinary user can reach, as it cannot reach root's tmp_path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
        for folder in [path, *path.iterdir()]:  # an ordinary user must be able to remove it
            if folder.is_dir() and not folder.is_symlink():
                folder.chmod(0o755)
