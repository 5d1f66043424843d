# SPDX-License-Identifier: MIT
"""Answers of other units, each of which listens on a socket of its own: RFC 1288 §2.5.5.

The question is the name and CRLF; then nothing more is sent, and all that comes up to the end is
the answer. So the finger service runs nobody's code: systemd starts the unit, in its own sandbox.
A connection that is reset is a failure: the unit has died, or has closed without reading the
question.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from fingerd_sd.config.table import Table
from fingerd_sd.directory.cache import Cache
from fingerd_sd.directory.source import MAX_LISTED, SourceError
from fingerd_sd.process.threads import Pool
from fingerd_sd.protocol.ages import stand_in
from fingerd_sd.protocol.entry import Absent, Text
from fingerd_sd.protocol.text import decode
from fingerd_sd.sources.unit.place import MAX_PATH, USER, Place

log = logging.getLogger(__name__)

GRACE = 1.0  # seconds after the deadline, which this source keeps itself
MAX_TIMEOUT = 3600.0  # seconds
MAX_TTL = 365 * 86400.0  # seconds
MAX_KEPT = 8 << 20  # octets of answers that may stand in
MAX_OUTPUT = 1 << 20  # octets
MAX_RUNNING = 256  # connections
CHUNK = 65536  # octets read at once
THREADS = 2  # for the folder, which may be on a disk
AGAIN = 0.05  # seconds until a socket is tried again for which too many wait


class Options(NamedTuple):
    """`timeout`: seconds for one query, waiting included. `ttl`: seconds for which an answer, an
    absence too, may be reused. `max_output`: octets. `max_running`: connections at once.
    """

    timeout: float = 5
    ttl: float = 5
    stale: float = 86400
    max_output: int = 65536
    max_running: int = 16


def read(table: Table, name: str) -> UnitSource:
    """Return the source that a `[[source]]` table describes; mistakes go to the table."""
    place = _read_path(table)
    options = Options(
        timeout=table.seconds("timeout", 5, 0.1, MAX_TIMEOUT),
        ttl=table.seconds("ttl", 5, 0, MAX_TTL),
        stale=table.seconds("stale", 86400, 0, MAX_TTL),
        max_output=table.integer("max_output", 65536, 1, MAX_OUTPUT, "octets"),
        max_running=table.integer("max_running", 16, 1, MAX_RUNNING, "connections"),
    )
    table.close()
    return UnitSource(name, place, options)


def _read_path(table: Table) -> Place:
    path = table.text("path", "")
    folder, _, file = path.rpartition("/")
    before, _, after = file.partition(USER)
    place = Place(folder or "/", before, after)
    expected = f'expected a path such as "/run/finger/{USER}"'
    if not os.path.isabs(path):
        table.wrong("path", expected + (f', not "{path}"' if path else ""))
    elif path.count(USER) != 1 or USER not in file:
        table.wrong("path", f"{expected}, with {USER} once, in its last part")
    elif "\0" in path:
        table.wrong("path", "a path cannot hold a NUL character")
    elif place.file("x") is None:
        table.wrong("path", f"too long for a socket, which may have {MAX_PATH} octets: unix(7)")
    return place


class UnitSource:
    """Asks other units. A `Source`, which also lists them. `clock`: monotonic seconds."""

    def __init__(
        self,
        name: str,
        place: Place,
        options: Options = Options(),  # noqa: B008  # a frozen value
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.timeout = options.timeout + GRACE
        self.lifetime = options.ttl
        self._place = place
        self._options = options
        self._clock = clock
        self._kept: Cache[str, tuple[str, float]] = Cache(MAX_KEPT)  # a text, and since when
        self._pool = Pool(THREADS, name)
        self._places = asyncio.Semaphore(options.max_running)

    async def find(self, user: str) -> Text | Absent:
        """Return what the unit of `user` says. Raises SourceError if nobody listens, or the answer
        is too long, too late or not whole, and no old one may stand in.
        """
        file = self._place.file(user)
        if file is None:
            return Absent("no socket can have this name")
        path = os.path.join(self._place.folder, file)
        options = self._options
        try:
            found = await self._find(user, file, path)
        except SourceError as error:
            now = self._clock()
            kept = self._kept.get(user, now)
            if kept is None:
                raise
            log.warning(
                "Source %s gives an old answer: %s",
                self.name,
                error,
                extra={"event": "SOURCE_FAILED", "fields": {"FINGER_SOURCE": self.name}},
            )
            return stand_in(kept[0], now - kept[1], path, str(error), options.ttl)
        self._kept.drop(user)
        if isinstance(found, Text) and options.stale:
            now = self._clock()
            until = now + options.ttl + options.stale
            self._kept.put(user, (found.text, now), 4 * len(found.text), until)
        return found

    async def _find(self, user: str, file: str, path: str) -> Text | Absent:
        options = self._options
        waiting = True
        try:
            async with asyncio.timeout(options.timeout), self._places:
                waiting = False
                connection = await self._connect(file)
                if connection is None:
                    return Absent(f"{path}: no such socket")
                with connection:
                    octets = await _ask(connection, user, options.max_output)
        except TimeoutError:
            busy = f"; {options.max_running} were asked all the time" if waiting else ""
            raise SourceError(f"{path}: no answer in {options.timeout:g} s{busy}") from None
        except OSError as error:
            raise SourceError(f"{path}: {_why(error)}") from None
        if len(octets) > options.max_output:
            raise SourceError(f"{path}: more than max_output, {options.max_output} octets")
        text = decode(octets)
        if not text.strip():
            return Absent(f"{path}: an empty answer")
        return Text(text, path)

    async def who(self) -> Sequence[str]:
        """Return the names of the sockets that there are."""
        listed = self._pool.submit(self._place.users, MAX_LISTED)
        try:
            return await asyncio.wrap_future(listed)
        except OSError as error:
            raise SourceError(f"{self._place.folder}: {_why(error)}") from None

    async def _connect(self, file: str) -> socket.socket | None:
        while True:
            made = self._pool.submit(self._place.connect, file)
            try:
                return await asyncio.wrap_future(made)
            except BlockingIOError:
                await asyncio.sleep(AGAIN)
            except asyncio.CancelledError:
                made.add_done_callback(_close)
                raise


def _close(made: Future[socket.socket | None]) -> None:
    """Close a connection that nobody waits for any more."""
    if not made.cancelled() and made.exception() is None:
        connection = made.result()
        if connection is not None:
            connection.close()


async def _ask(connection: socket.socket, user: str, limit: int) -> bytes:
    """Return all octets of the answer, or more than `limit` of them."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, user.encode("utf-8", "surrogateescape") + b"\r\n")
    connection.shutdown(socket.SHUT_WR)
    octets = bytearray()
    while len(octets) <= limit and (some := await loop.sock_recv(connection, CHUNK)):
        octets += some
    return bytes(octets)


def _why(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens"
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return "closed before its end: the unit has died, or has not read the question"
    if isinstance(error, PermissionError):
        return "permission denied; has the socket's unit SocketGroup=fingerd-sd?"
    return error.strerror or str(error)
