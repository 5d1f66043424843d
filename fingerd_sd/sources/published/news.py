# SPDX-License-Identifier: MIT
"""Whether anybody has published or taken back anything: a count that the keeper keeps in a file.

The file is mapped, so a look at the count is a look into memory. The keeper makes the file once and
counts in its place, after each change has reached the disk and before its user is told so.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable

FILE = "generation"
SIZE = 8  # octets: an unsigned number, little-endian
LOOK = 0.1  # seconds between two looks for a file that nobody has made yet


class Generation:
    """The count in the file at `path`. `clock`: monotonic seconds."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._mapped: memoryview | None = None
        self._file: tuple[int, int] | None = None  # device and inode
        self._next_look = 0.0  # monotonic seconds

    def count(self) -> int:
        """Return the count as it is now, in this machine's order of octets, without a system call
        once the file is there; -1 while it is not.
        """
        mapped = self._mapped
        return self._look() if mapped is None else mapped[0]

    def _look(self) -> int:
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + LOOK
            self.renew()
        return -1 if self._mapped is None else self._mapped[0]

    def renew(self) -> None:
        """Map the file if it is there by now, or is another one than before."""
        try:
            found = os.stat(self._path)
            if self._file == (found.st_dev, found.st_ino):
                return
            with open(self._path, "rb") as file:
                opened = os.fstat(file.fileno())
                mapped = mmap.mmap(file.fileno(), SIZE, mmap.MAP_SHARED, mmap.PROT_READ)
        except (OSError, ValueError):  # not there, not readable, or not whole yet
            return
        self._mapped = memoryview(mapped).cast("Q")
        self._file = opened.st_dev, opened.st_ino
