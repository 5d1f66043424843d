# SPDX-License-Identifier: MIT
"""One connection: aiohttp's protocol of one, with an end to everything that a client may drag out.

aiohttp parses and writes HTTP. What it leaves open is bounded here: how large a head may be, and
how a connection ends so that no reset overtakes its last answer. The keeper has the clocks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum
from http import HTTPStatus
from typing import Any, Protocol, cast

from aiohttp import web

log = logging.getLogger(__name__)

MAX_HEAD = 32768  # octets of the request's line and its headers: other sites' cookies may come too
LINGER = 2.0  # seconds for which aiohttp waits for the rest of a body that nobody reads
MAX_DROPPED = 1 << 20  # octets that may come after the last answer
LINE_TOO_LARGE = HTTPStatus.REQUEST_URI_TOO_LONG  # RFC 9110 §15.5.15
HEAD_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE  # RFC 6585 §5
NO_REQUEST = "This is no request of HTTP/1.1"
FOREVER = 86400.0  # seconds: the keeper's deadlines are shorter


class State(Enum):
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

    def sent(self, connection: Connection, response: web.StreamResponse) -> None:
        """`response` has been sent, or at least tried to."""

    def gone(self, connection: Connection) -> None:
        """The connection is closed."""


class Connection(web.RequestHandler):
    """A connection from `peer`, an IP address as text, "" on AF_UNIX. `key`: for what it counts
    against `max_per_client`; "": for nothing. `over`: whether its client has too many.

    `ended`: whether the client sends no more. `noted`: what the service wants to know of a request
    when its response has been sent.
    """

    __slots__ = (
        *("_ending", "_head", "_keeper", "_line", "_pending"),
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
            max_line_size=MAX_HEAD,  # so that it is said here what is too large
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
        self._head = 0  # octets since the last head ended
        self._line = False  # whether its first line has ended
        self._pending = False  # whether the head of a request has come that is not answered yet
        self._ending: asyncio.Transport | None = None
        self.ended = False

    def turn(self, state: State) -> None:
        """Wait for something else."""
        before, self.state = self.state, state
        self._keeper.turned(self, before)

    def data_received(self, data: bytes) -> None:
        """Take octets; asyncio.Protocol.data_received."""
        if self.state is State.NEXT:
            self.turn(State.HEAD)
        # A head ends in an empty line. What is counted too much of a body does not matter: a
        # connection with a body ends with its answer.
        ended = data.find(b"\n\r\n")
        self._head += len(data) if ended < 0 else ended
        if self._head > MAX_HEAD and self.state is State.HEAD:
            line_ended = self._line or b"\n" in data[: MAX_HEAD + 1]
            self.refuse(
                HEAD_TOO_LARGE if line_ended else LINE_TOO_LARGE, "The request is too large"
            )
            return
        self._line = self._line or b"\n" in data
        if ended >= 0:
            self._pending = True
            self._head = len(data) - data.rfind(b"\n\r\n")
        try:
            super().data_received(data)
        except ValueError:  # yarl's, of what is no address
            self.refuse(HTTPStatus.BAD_REQUEST, NO_REQUEST)

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
        self._head, self._line, self._pending = 0, False, False
        self._keeper.sent(self, response)
        if self.transport is None or self.transport.is_closing():
            return
        if response.keep_alive:
            self.turn(State.NEXT)
        elif response.status >= 400:
            self._linger()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.Response:
        """Return the answer where there was no request, or a bug; as web.RequestHandler does."""
        if self.state is State.HEAD:
            self.turn(State.ANSWER)
        if status >= 500:
            extra = {"event": "INTERNAL_ERROR"}
            log.error("Internal error: %s", exc, exc_info=exc, extra=extra)
            return self._keeper.refused(self, 500, "Internal error in server")
        return self._keeper.refused(self, 400, NO_REQUEST)

    def expire(self) -> None:
        """End, since what the connection waited for has not come in time."""
        if self.state is State.HEAD and self._head and self.transport is not None:
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
        """Answer what aiohttp does not take for a request, or would answer in its own version; and
        end the connection.
        """
        response = self._keeper.refused(self, status, why)
        octets = bytes(response.body) if isinstance(response.body, bytes) else b""
        lines = [f"HTTP/1.1 {response.status} {response.reason}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        lines += [f"Content-Length: {len(octets)}", "Connection: close", "", ""]
        if isinstance(self.transport, asyncio.Transport):
            self.transport.write("\r\n".join(lines).encode() + octets)
        self._keeper.sent(self, response)
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
        transport.set_protocol(_Rest(transport, self._closed))
        super().connection_lost(None)
        if transport.can_write_eof():
            transport.write_eof()

    def _closed(self) -> None:
        self._keeper.gone(self)


class _Rest(asyncio.Protocol):
    """What is left of a connection after its last answer: octets are dropped until it is closed, or
    until they are too many.
    """

    def __init__(self, transport: asyncio.Transport, closed: Callable[[], None]) -> None:
        self._transport = transport
        self._closed = closed
        self._dropped = 0  # octets

    def data_received(self, data: bytes) -> None:
        """Drop octets; asyncio.Protocol.data_received."""
        self._dropped += len(data)
        if self._dropped > MAX_DROPPED:
            self._transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end; asyncio.Protocol.connection_lost."""
        self._closed()
