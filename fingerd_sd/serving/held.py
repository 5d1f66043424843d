# SPDX-License-Identifier: MIT
"""One connection that could not be served on the spot: its line, its answer, its end.

A connection costs little while its client is silent: an object with slots and an entry in an epoll,
no transport, no task, no timer, no callback. Only an answer that must be waited for, or that does
not fit the socket's buffer, gets a task. It knows its keeper's rules, but not how connections are
accepted.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Coroutine
from typing import Protocol

from fingerd_sd.config.server import Limits
from fingerd_sd.directory.answer import TIMEOUT, Answer
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.policy.rules import Client
from fingerd_sd.protocol.query import line_length
from fingerd_sd.serving.readers import Readers
from fingerd_sd.serving.sockets import AT_ONCE, RECEIVE, end_output, send_now

log = logging.getLogger(__name__)
CHUNK = 65536  # octets of an answer between two looks at how much has gone
LINGER = 2.0  # seconds to go on reading what a client still sends after its answer
LINGER_OCTETS = 1 << 22  # octets of the same: a client that is still talking then loses its answer


class Keeper(Protocol):
    """What a connection needs of the server."""

    loop: asyncio.AbstractEventLoop
    ruip: Ruip
    limits: Limits
    readers: Readers

    def line_is_there(self, connection: Connection) -> None:
        """The query deadline no longer applies."""

    def closed(self, connection: Connection) -> None:
        """The connection is gone."""

    def done(self, answer: Answer, client: Client, sent: int, started: float) -> None:
        """A query has been answered with `sent` octets; `started` in monotonic seconds."""


class Connection:
    """A connection that is held. `key`: what `max_per_client` counts it for, "" for nothing."""

    __slots__ = ("_buffer", "_keeper", "_reading", "_task", "key", "peer", "sock")

    def __init__(self, keeper: Keeper, sock: socket.socket, peer: str, key: str) -> None:
        self.sock = sock
        self.peer = peer
        self.key = key
        self._keeper = keeper
        self._buffer = b""
        self._reading = False
        self._task: asyncio.Task[None] | None = None

    def begin(self, octets: bytes | None) -> None:
        """Go on from `octets`, the first that came; None: none yet; b"": the client is done."""
        if octets is not None:
            self._took(octets)
        else:
            self._read_on()

    def send_rest(self, answer: Answer, sent: int, client: Client, started: float) -> None:
        """Go on sending `answer` after `sent` octets, since the socket's buffer is full."""
        self._keeper.line_is_there(self)
        self._spawn(self._send_rest(answer, sent, client, False, started))

    def linger(self) -> None:
        """Only read and drop what the client still sends, then close: its answer has gone out."""
        self._keeper.line_is_there(self)
        self._spawn(self._finish(True))

    def expire(self) -> None:
        """Close without an answer: the line took too long."""
        ruip = self._keeper.ruip
        client = ruip.policy.client(self.peer)
        self._keeper.done(ruip.late(self._buffer), client, 0, time.monotonic())
        self.close()

    def close(self) -> None:
        """Close at once. A second call does nothing."""
        if self.sock.fileno() < 0:
            return
        if self._reading:
            self._reading = False
            self._keeper.readers.forget(self.sock.fileno())
        self.sock.close()
        self._keeper.closed(self)

    def _read_on(self) -> None:
        if not self._reading:
            self._reading = True
            self._keeper.readers.add(self.sock.fileno(), self)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._keeper.readers.remove(self.sock.fileno())

    def readable(self) -> None:
        """Take what has come."""
        try:
            octets = self.sock.recv(RECEIVE, AT_ONCE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # reset
            self.close()
            return
        self._took(octets)

    def _took(self, octets: bytes) -> None:
        """Look whether the line is whole now; `octets` is b"" where the client is done sending."""
        buffer = self._buffer = self._buffer + octets
        limit = self._keeper.limits.max_query
        length = line_length(buffer) or (0 if octets else len(buffer))
        if not length and not octets:  # not one octet came
            self.close()
        elif not length and len(buffer) <= limit:
            self._read_on()
        else:
            self._keeper.line_is_there(self)
            self._answer(buffer[:length], len(buffer) > length, not 0 < length <= limit)

    def _answer(self, line: bytes, more: bool, too_long: bool) -> None:
        """Answer `line` at once where that can be done, else in a task. `more`: octets that nobody
        asked for came behind it.
        """
        started = time.monotonic()
        ruip = self._keeper.ruip
        client = ruip.policy.client(self.peer)
        if too_long:
            answer = ruip.malformed(self._buffer[: self._keeper.limits.max_query], client)
            more = True
        else:
            ready = ruip.ready(line, client, started)
            if ready is None:
                self._spawn(self._answer_later(ruip, line, client, more, started))
                return
            answer = ready
        sent = send_now(self.sock, answer.octets)
        if sent < len(answer.octets) or more:
            self._spawn(self._send_rest(answer, sent, client, more, started))
            return
        end_output(self.sock)
        self._keeper.done(answer, client, sent, started)
        self.close()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._stop_reading()
        self._task = self._keeper.loop.create_task(work)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """However the task ended, the connection is closed; a bug in it is logged."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "Internal error: %s", error, exc_info=error, extra={"event": "INTERNAL_ERROR"}
            )
        self.close()

    async def _answer_later(
        self, ruip: Ruip, line: bytes, client: Client, more: bool, started: float
    ) -> None:
        try:
            async with asyncio.timeout(self._keeper.limits.answer_timeout):
                answer = await ruip.answer(line, client)
        except TimeoutError:
            answer = ruip.failed(line)
        sent = send_now(self.sock, answer.octets)
        await self._send_rest(answer, sent, client, more, started)

    async def _send_rest(
        self, answer: Answer, sent: int, client: Client, more: bool, started: float
    ) -> None:
        """Send what is left of `answer` after `sent` octets, then finish. The deadline counts from
        `started`: fingerd.toml(5), answer_timeout.
        """
        self.sock.setblocking(False)
        view = memoryview(answer.octets)
        try:
            async with asyncio.timeout_at(started + self._keeper.limits.answer_timeout):
                while sent < len(view):
                    try:
                        sent += self.sock.send(view[sent : sent + CHUNK])
                    except (BlockingIOError, InterruptedError):
                        await self._writable()
        except TimeoutError:
            answer = answer._replace(result=TIMEOUT)
        except OSError:  # the client is gone: what it got is what it got
            pass
        end_output(self.sock)
        self._keeper.done(answer, client, sent, started)
        await self._finish(more)

    async def _writable(self) -> None:
        """Return when the socket may take more. Not by `loop.sock_sendall`: where that fails, the
        error, its frame and its future hold each other, and the answer, until Python collects them.
        """
        loop = self._keeper.loop
        ready = asyncio.Event()
        loop.add_writer(self.sock, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self.sock)

    async def _finish(self, more: bool) -> None:
        """Close, but never so that a reset overtakes the answer: where the client has sent more
        than its line, or is known to (`more`), read and drop, within a bound, until it is done.
        """
        loop = self._keeper.loop
        left = LINGER_OCTETS
        try:
            self.sock.setblocking(False)
            async with asyncio.timeout(LINGER):
                while left > 0:
                    if not more:
                        octets = self.sock.recv(CHUNK)  # BlockingIOError: nothing came, all is well
                    else:
                        octets = await loop.sock_recv(self.sock, CHUNK)
                    if not octets:
                        break
                    more = True
                    left -= len(octets)
        except (TimeoutError, OSError):
            pass
        self.close()
