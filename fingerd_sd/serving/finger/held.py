# SPDX-License-Identifier: MIT
"""One connection that could not be served on the spot: its line, its answer, its end.

A connection costs little while its client is silent, or while its answer is looked up: an object
with slots, no transport, no task, no timer. Only an answer that does not fit the socket's buffer
gets a task. It knows its keeper's rules, but not how connections are accepted.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Coroutine
from fcntl import ioctl
from functools import partial
from termios import FIONREAD
from typing import TYPE_CHECKING, NamedTuple

from fingerd_sd.directory.answer import FOUND, TIMEOUT, Answer
from fingerd_sd.directory.ruip import Begun, Ruip, Timed
from fingerd_sd.policy.rules import Client, Here
from fingerd_sd.protocol.query import line_length
from fingerd_sd.serving.finger.ending import linger, send_rest
from fingerd_sd.serving.finger.sockets import AT_ONCE, RECEIVE, connected_to, end_output, send_now

if TYPE_CHECKING:
    from fingerd_sd.serving.finger.keeper import Keeper

_NONE = bytes(4)  # a C int: no octets


class Asked(NamedTuple):
    """A query that waits for its answer. `more`, `started`: as of `Connection._answer`."""

    ruip: Ruip
    begun: Begun
    more: bool
    started: float


class Connection:
    """A held connection. `key`: the client for which `max_per_client` counts it; "": it is one too
    many; None: it is not known yet whose it is. `here`: as in Server.begin.
    """

    __slots__ = (
        "_asked",
        "_buffer",
        "_here",
        "_keeper",
        "_reading",
        "_task",
        "key",
        "peer",
        "sock",
    )

    def __init__(
        self,
        keeper: Keeper[Connection],
        sock: socket.socket,
        peer: str,
        key: str | None,
        here: Here | None = None,
    ) -> None:
        self.sock = sock
        self.peer = peer
        self.key = key
        self._keeper = keeper
        self._here = here
        self._buffer = b""
        self._reading = False
        self._asked: Asked | None = None
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

    def wait_for(self, ruip: Ruip, begun: Begun, more: bool, started: float) -> None:
        """Answer `begun`, whose line is whole, once `ruip` can."""
        self._stop_reading()
        self._asked = Asked(ruip, begun, more, started)
        self._keeper.answer_is_due(self, started + self._keeper.limits.answer_timeout)
        ruip.wait(begun).then(self._looked_up)

    def linger(self) -> None:
        """Only read and drop what the client still sends, then close: its answer has gone out."""
        self._keeper.line_is_there(self)
        self._spawn(self._finish(True))

    def expire(self) -> None:
        """Close without an answer if the line took too long; if the answer did, say so."""
        ruip = self._keeper.ruip
        if self._asked is not None:
            self._release(self._asked, (ruip.failed(self._asked.begun.line), 0))
            return
        client = ruip.policy.client(self.peer)
        self._keeper.done(ruip.late(self._buffer), client, 0, time.monotonic())
        self.close()

    def close(self) -> None:
        """Close at once, without the answer if one is waited for. A second call does nothing."""
        self._asked = None
        if self._reading:
            self._reading = False
            self._keeper.readers.forget(self.sock.fileno())
        if self.sock.fileno() >= 0:
            self.sock.close()
            self._keeper.closed(self)

    def abandon(self) -> None:
        """End at once: the process leaves."""
        if self._task is None:
            self.close()
        else:  # its end closes the connection
            self._task.cancel()

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
        """See if the line is whole now. `octets`: b"" if the client is done sending."""
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
        """Answer `line` at once if possible. `more`: whether unwanted octets came behind it."""
        started = time.monotonic()
        ruip = self._keeper.ruip
        client = ruip.policy.client(self.peer)
        said: Answer | Begun | None
        if too_long:
            said = ruip.malformed(self._buffer[: self._keeper.limits.max_query], client)
            more = True
        else:
            here = self._here or partial(connected_to, self.sock)
            said = ruip.ready(line, client, started) or ruip.begin(line, client, started, here)
        if isinstance(said, Begun):
            self.wait_for(ruip, said, more, started)
        else:
            self._send(said, client, more, started)

    def _looked_up(self, said: Timed) -> None:
        """Send the answer, but not one of nobody (an empty list has no source) before its time."""
        asked, floor = self._asked, self._keeper.limits.miss_time
        if asked is None:  # it took too long
            return
        if floor and (said[0].result != FOUND or not said[0].source):
            self._keeper.floor.hold(partial(self._release, asked, said), asked.started, floor)
        else:
            self._release(asked, said)

    def _release(self, asked: Asked, said: Timed) -> None:
        if self._asked is None:  # it took too long
            return
        self._asked = None
        self._keeper.answer_is_there(self)
        try:
            answer, more = asked.ruip.settle(asked.begun, said), asked.more or self._went_on()
            self._send(answer, asked.begun.client, more, asked.started)
        except Exception as error:  # a bug: others are released after this one
            self.broken(error)

    def _went_on(self) -> bool:
        """Whether octets came while the client waited: closing would reset the answer away."""
        # Mostly there are none, and for recv(2) that is an exception, which takes longer.
        return ioctl(self.sock.fileno(), FIONREAD, _NONE) != _NONE

    def _send(self, answer: Answer, client: Client, more: bool, started: float) -> None:
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

    def broken(self, error: BaseException) -> None:
        """Close the connection, and log the bug that ends it."""
        extra = {"event": "INTERNAL_ERROR"}
        logging.getLogger(__name__).error("Internal error: %s", error, exc_info=error, extra=extra)
        self.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        self.close() if error is None else self.broken(error)

    async def _send_rest(
        self, answer: Answer, sent: int, client: Client, more: bool, started: float
    ) -> None:
        """Send what is left of `answer` after `sent` octets, then finish. The deadline counts from
        `started`: fingerd.toml(5), answer_timeout.
        """
        until = started + self._keeper.limits.answer_timeout
        sent, late = await send_rest(self._keeper.loop, self.sock, answer.octets, sent, until)
        if late:
            answer = answer._replace(result=TIMEOUT)
        end_output(self.sock)
        self._keeper.done(answer, client, sent, started)
        await self._finish(more)

    async def _finish(self, more: bool) -> None:
        await linger(self._keeper.loop, self.sock, more)
        self.close()
