# SPDX-License-Identifier: MIT
"""The file of this host, as the keeper writes it: by one thread, which reopens it if it fails."""

from __future__ import annotations

import asyncio
import errno
import logging
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.process.threads import Pool
from fingerd_sd.serving.publishing import tally, wire
from fingerd_sd.serving.publishing.wire import FULL, NOT_STORED, Refused
from fingerd_sd.serving.publishing.writing.changing import Looked
from fingerd_sd.serving.publishing.writing.embedded import Writer
from fingerd_sd.sources.published.person import Row

T = TypeVar("T")

log = logging.getLogger(__name__)


class Embedded:
    """Writes into the folder `state`; see Writing."""

    vouches = False

    def __init__(self, state: str) -> None:
        self.trouble = ""
        self._state = state
        self._writer: Writer | None = None
        self._writes = Pool(1, "keeper")

    async def publish(
        self, login: str, uid: int, asked: wire.Request, limits: PublishKeys, now: float
    ) -> Row | None:
        """See Writing."""
        return await self._write(lambda writer: writer.publish(login, uid, asked, limits, now))

    async def take_over(self, row: Row, now: float) -> bool:
        """See Writing. Nothing is brought to a file."""
        return False

    async def remove(self, login: str, _uid: int) -> bool:
        """See Writing."""
        return await self._write(lambda writer: writer.remove(login))

    async def person(self, login: str, uid: int) -> Row | None:
        """See Writing."""
        return await self._write(lambda writer: writer.person(login, uid))

    async def note(self, counts: tally.Counts, now: float) -> None:
        """See Writing."""
        await self._write(lambda writer: writer.note(counts, now))

    async def asked(self, login: str, now: float) -> dict[str, int]:
        """See Writing."""
        return await self._write(lambda writer: writer.asked(login, now))

    async def to_sweep(self, now: float) -> list[tuple[str, int]]:
        """See Writing. It opens the file, which rolls back what a killed keeper has left half
        written.
        """
        return await self._write(lambda writer: writer.to_sweep(now))

    async def sweep(self, looked: Looked, now: float) -> list[str]:
        """See Writing."""
        return await self._write(lambda writer: writer.sweep(set(looked.missing), now))

    async def close(self) -> None:
        """Close the file, when nothing is asked any more."""
        await asyncio.wrap_future(self._writes.submit(self._closed))

    def _closed(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _write(self, call: Callable[[Writer], T]) -> T:
        """Return what `call` makes of the file. Raises Refused if that fails; nothing is changed
        then.
        """
        return await asyncio.wrap_future(self._writes.submit(self._written, call))

    def _written(self, call: Callable[[Writer], T]) -> T:
        try:
            if self._writer is None:
                self._writer = Writer(self._state)
            done = call(self._writer)
        except (sqlite3.Error, OSError) as error:
            self._closed()
            self.trouble = f"nothing can be stored: {error}"
            log.error("%s", f"Not stored: {error}", extra={"event": "NOT_STORED"})
            raise _refused(error) from error
        self.trouble = ""
        return done


def _refused(error: Exception) -> Refused:
    full = "SQLITE_FULL" in getattr(error, "sqlite_errorname", "")
    if full or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return Refused(FULL, "nothing was stored: the disk is full; tell the administrator")
    return Refused(NOT_STORED, f"nothing was stored: {error}; tell the administrator")
