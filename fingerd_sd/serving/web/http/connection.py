# SPDX-License-Identifier: MIT
"""One connection: aiohttp's protocol of one, with an end to everything that a client may drag out.

aiohttp parses and writes HTTP. What it leaves open is bounded here: how much is taken (heads.py),
and how a connection ends so that no reset overtakes its last answer. The keeper has the clocks.
"""

from __future__ import annotations

import asyncio
import logging
from enum import IntEnum
from http import HTTPStatus
from typing import Any, Protocol, cast

from aiohttp import web

from fingerd_sd.directory.answer import MAX_SHOWN
from fingerd_sd.serving.web.http.ending import Rest
from fingerd_sd.serving.web.http.heads import BAD, MAX_HEAD, Heads, Refusal
from fingerd_sd.serving.web.http.pieces import PIECE

log = logging.getLogger(__name__)

LINGER = 2.0  # seconds for which aiohttp waits for the rest of a body that nobody reads
FOREVER = 86400.0  # seconds: the keeper's deadlines are shorter


class State(IntEnum):
    """What a connection waits for: the head of a request, its answer, the next request, or only for
    the client to end. Only NEXT does not keep the process from leaving.
    """

    HEAD = 1
    ANSWER = 2
    NEXT = 3
    END = 4


class Keeper(Protocol):
    """What a connection needs of the service."""

    def turned(self, connection: Connection, before: State) -> None:
        """`connection` waits for something else than `before`, from now on."""

    def refused(self, connection: Connection, status: int, why: str) -> web.Response:
        """Return the answer to what is no request. `why`: a sentence, for the client."""

    def sent(self, connection: Connection, octets: int) -> None:
        """A response of so many octets, the head included, has been sent, or at least tried to."""

    def gone(self, connection: Connection) -> None:
        """The connection is closed."""


class Connection(web.RequestHandler):
    """A connection from `peer`, an IP address as text, "" on AF_UNIX. `key`: for what it counts
    against `max_per_client`; "": for nothing. `over`: whether its client has too many.

    `ended`: whether the client sends no more. `noted`: what the service wants to know of a request
    when its response has been sent.
    """

    __slots__ = (
        *("_ending", "_flooded", "_given", "_heads", "_keeper", "_last", "_pending"),
        *("ended", "key", "noted", "over", "peer", "state"),
    )

    def __init__(self, keeper: Keeper, server: web.Server, peer: str, key: str, over: bool) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=FOREVER,
            tcp_keepalive=False,
            access_log=cast(Any, None),  # the keeper logs
            logger=log,
            max_line_size=MAX_HEAD,  # heads.py says what is too large
            max_field_size=MAX_HEAD,
            max_headers=MAX_HEAD,
            lingering_time=LINGER,
            auto_decompress=False,
        )
        self.peer = peer
        self.key = key
        self.over = over
        self.noted: Any = None
        self.state = State.HEAD
        self._keeper = keeper
        self._heads = Heads()
        self._given = b""  # the head that aiohttp has now
        self._pending = False  # whether aiohttp has a request that is not answered yet
        self._flooded = False  # whether too much has come meanwhile
        self._last = False  # whether the last answer has gone
        self._ending: asyncio.Transport | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; asyncio.Protocol.connection_made."""
        if isinstance(transport, asyncio.WriteTransport):
            transport.set_write_buffer_limits(PIECE)
        super().connection_made(transport)

    def turn(self, state: State) -> None:
        """Wait for something else."""
        before, self.state = self.state, state
        self._keeper.turned(self, before)

    @property
    def line(self) -> bytes:
        """The first line of the request that has come, or of what has come of it."""
        return (self._given or self._heads.begun(MAX_SHOWN)).partition(b"\r")[0]

    def data_received(self, data: bytes) -> None:
        """Take octets; asyncio.Protocol.data_received."""
        if self._last:  # aiohttp reads the rest of a body, for LINGER seconds
            super().data_received(data)
            return
        self._heads.feed(data)
        if not self._pending:
            self._go_on()
        if self._pending and len(self._heads) > MAX_HEAD:  # a body, or far too many requests
            self._heads.rest()
            self._flooded = True
            if isinstance(self.transport, asyncio.Transport):
                self.transport.pause_reading()

    def _go_on(self) -> None:
        """Hand the next head to aiohttp if it has come."""
        head = self._heads.next()
        if head is None:
            if self.state is State.NEXT and self._heads and not self.ended:
                self.turn(State.HEAD)
            return
        self.turn(State.ANSWER)
        if isinstance(head, Refusal):
            self.refuse(*head)
            return
        self._given, self._pending = head, True
        try:
            super().data_received(head)
        except ValueError:  # yarl's, of what is no address
            self.refuse(*BAD)

    def eof_received(self) -> Any:
        """Go on only for what is asked already; asyncio.Protocol.eof_received."""
        self.ended = True
        return self._pending or None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection; asyncio.Protocol.connection_lost."""
        super().connection_lost(exc)
        self._keeper.gone(self)

    def log_access(self, request: web.BaseRequest, response: web.StreamResponse, time: Any) -> None:
        """Note that `response` has gone; aiohttp calls this once for each, whatever came of it."""
        self._given, self._pending = b"", False
        self._keeper.sent(self, response.body_length)
        if self.transport is None or self.transport.is_closing():
            return
        if response.keep_alive and not self._flooded:
            self.turn(State.NEXT)
            self._go_on()
        elif response.status >= 400 or self._flooded:
            self._linger()
        else:
            self._last = True
            super().data_received(self._heads.rest())

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.Response:
        """Return the answer where there was no request, or a bug; as web.RequestHandler does."""
        if status >= 500:
            extra = {"event": "INTERNAL_ERROR"}
            log.error("Internal error: %s", exc, exc_info=exc, extra=extra)
            return self._keeper.refused(self, 500, "Internal error in server")
        return self._keeper.refused(self, *BAD)

    def expire(self) -> None:
        """End, since what the connection waited for has not come in time."""
        if self.state is State.HEAD and self._heads and self.transport is not None:
            self.refuse(HTTPStatus.REQUEST_TIMEOUT, "The request took too long")
        elif self.ended and self._unsent:
            self.ended = False  # it gets the time of any other
            self.turn(State.NEXT)
        else:
            self.abort()

    @property
    def _unsent(self) -> bool:
        transport = self.transport
        return isinstance(transport, asyncio.Transport) and transport.get_write_buffer_size() > 0

    def abort(self) -> None:
        """End at once."""
        transport = self._ending or self.transport
        if isinstance(transport, asyncio.Transport):
            transport.abort()

    def refuse(self, status: int, why: str) -> None:
        """Answer what is not given to aiohttp, and end the connection."""
        response = self._keeper.refused(self, status, why)
        octets = bytes(response.body) if isinstance(response.body, bytes) else b""
        lines = [f"HTTP/1.1 {response.status} {response.reason}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        lines += [f"Content-Length: {len(octets)}", "Connection: close", "", ""]
        octets = "\r\n".join(lines).encode() + octets
        if isinstance(self.transport, asyncio.Transport):
            self.transport.write(octets)
        self._keeper.sent(self, len(octets))
        self._linger()

    def _linger(self) -> None:
        """End the output, and drop what still comes: closing at once would send a reset, which
        takes an answer away that the client has not read yet.
        """
        transport = self.transport
        if not isinstance(transport, asyncio.Transport):
            return
        self.turn(State.END)
        self.transport = None  # so that aiohttp, which is told that it is gone, does not close it
        self._ending = transport
        transport.resume_reading()
        transport.set_protocol(Rest(transport, self._closed))
        super().connection_lost(None)
        if transport.can_write_eof():
            transport.write_eof()

    def _closed(self) -> None:
        self._keeper.gone(self)
