# SPDX-License-Identifier: MIT
"""All connections: caps, deadlines, drain.

A connection is taken and counted in the same step, as on port 79, so that an idle exit loses
nobody. One that waits for another request is not counted as open: it keeps nobody from leaving.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from aiohttp import web

from fingerd_sd.config.server import Limits
from fingerd_sd.process.descriptors import for_connections
from fingerd_sd.serving.waiting.accept import Acceptor
from fingerd_sd.serving.waiting.deadlines import Deadlines
from fingerd_sd.serving.web.http.connection import Connection, State

DRAIN_READING = 2.0  # seconds that a client still gets for its request when the service stops
KEPT_ALIVE = 75.0  # seconds between two requests: longer than nginx keeps its own connections
SENT_BY = 1.0  # seconds after answer_timeout, in which an answer that came late can still say so
LINGER = 2.0  # seconds for which octets are dropped that come after the last answer
MAX_OVER = 256  # connections over max_per_client that are answered; others are closed at once

_OVER = "over"  # what counts those


class Answers(Protocol):
    """What connections need of the service."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the response to `request`."""

    def refused(self, connection: Connection, status: int, why: str) -> web.Response:
        """Return the response to what is no request. `why`: a sentence, for the client."""

    def sent(self, connection: Connection, octets: int) -> None:
        """A response of so many octets, the head included, has been sent, or at least tried to."""

    def key_of(self, peer: str) -> str:
        """Return for whom a connection from `peer` counts; "": for nobody, it is a proxy's."""

    def changed(self) -> None:
        """The number of connections has changed."""


class Connections:
    """Accepts connections for `answers`. `limits` may be exchanged at any time.

    `active_at`: when one last came or went, in the loop's seconds; `draining`: whether the process
    is about to leave; `per_client`: how much of `max_per_client` each client takes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, answers: Answers, limits: Limits) -> None:
        self.answers = answers
        self.limits = limits
        self.active_at = loop.time()
        self.draining = False
        self.per_client: Counter[str] = Counter()
        self._loop = loop
        self._server = web.Server(answers.handle, loop=loop)
        self._all: set[Connection] = set()
        self._next: dict[Connection, None] = {}  # that wait for a request, the longest first
        self._deadlines: dict[State, Deadlines[Connection]] = {
            state: Deadlines(loop, Connection.expire) for state in State
        }
        self._acceptor = Acceptor(loop, self._take, self._all, self._is_full, answers.changed)
        self._room = for_connections()
        self._connecting: set[asyncio.Task[None]] = set()
        self._all_gone = asyncio.Event()

    @property
    def open(self) -> int:
        """How many are open, without those that wait for another request."""
        return len(self._all) - len(self._next)

    @property
    def kept_alive(self) -> int:
        """How many wait for another request."""
        return len(self._next)

    @property
    def paused(self) -> str:
        """Why nothing can be accepted now; "" if it can."""
        full = len(self._all) >= self._most and not self._next
        return self._acceptor.paused or (f"all {self._most} connections are taken" if full else "")

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Accept from `listeners`: listening stream sockets, which are made non-blocking."""
        self._acceptor.start(listeners)

    def stop(self) -> None:
        """Accept no more: new ones wait for the next process."""
        self._acceptor.stop()

    async def drain(self) -> None:
        """Return when none is open. Clients whose request is not whole get DRAIN_READING seconds
        for it. Those that wait for another request are closed, unless that has come already.
        """
        self.stop()
        self.draining = True
        for _ in range(2):  # so that what has come is read
            await asyncio.sleep(0)
        for connection in tuple(self._next):
            connection.expire()
        self._deadlines[State.HEAD].bound(self._loop.time() + DRAIN_READING)
        while self._all:
            self._all_gone.clear()
            await self._all_gone.wait()

    def abandon(self) -> None:
        """Close all that are open, without waiting for anything."""
        for connection in tuple(self._all):
            connection.abort()

    # --- what the acceptor asks for ---

    @property
    def _most(self) -> int:
        return min(self.limits.max_connections, self._room)

    def _is_full(self) -> bool:
        """Whether no more can be taken. What has waited longest for a request gives way."""
        if len(self._all) < self._most:
            return False
        if self._next:
            next(iter(self._next)).abort()
        return True

    def _take(self, sock: socket.socket, peer: str) -> None:
        self.active_at = self._loop.time()
        key = self.answers.key_of(peer)
        over = bool(key) and self.per_client[key] >= self.limits.max_per_client
        if over and self.per_client[_OVER] >= MAX_OVER:
            sock.close()
            return
        connection = Connection(self, self._server, peer, _OVER if over else key, over)
        self._all.add(connection)
        if connection.key:
            self.per_client[connection.key] += 1
        self._deadlines[State.HEAD].set(connection, self._loop.time() + self._wait(State.HEAD))
        # The loop holds tasks by weak references only.
        task = self._loop.create_task(self._connect(connection, sock))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        self.answers.changed()

    async def _connect(self, connection: Connection, sock: socket.socket) -> None:
        whole = socket.socket(fileno=sock.detach())  # the acceptor's lacks what asyncio asks for
        whole.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(lambda: connection, whole)
        except OSError:  # it was reset meanwhile
            whole.close()
            self.gone(connection)

    def less(self, key: str) -> None:
        """Let `key` take one less of `max_per_client`."""
        self.per_client[key] -= 1
        if not self.per_client[key]:
            del self.per_client[key]

    # --- what connection.Keeper asks for ---

    def refused(self, connection: Connection, status: int, why: str) -> web.Response:
        """Return the response to what is no request; see Answers."""
        return self.answers.refused(connection, status, why)

    def sent(self, connection: Connection, octets: int) -> None:
        """A response has been sent; see Answers."""
        self.active_at = self._loop.time()
        self.answers.sent(connection, octets)

    def turned(self, connection: Connection, before: State) -> None:
        """`connection` waits for something else than `before`."""
        self._deadlines[before].drop(connection)
        if before is State.NEXT:
            self._next.pop(connection, None)
        state = connection.state
        wait = self._wait(state)
        if state is State.NEXT and connection.ended:
            wait = 0  # but for what it has sent already
        self._deadlines[state].set(connection, self._loop.time() + wait)
        if state is State.NEXT:
            self._next[connection] = None
            if self.draining:
                connection.expire()

    def gone(self, connection: Connection) -> None:
        """`connection` is closed."""
        if connection not in self._all:
            return
        if connection not in self._next:
            self.active_at = self._loop.time()
        self._deadlines[connection.state].drop(connection)
        self._all.discard(connection)
        self._next.pop(connection, None)
        if connection.key:
            self.less(connection.key)
        if not self._all:
            self._all_gone.set()
        self._acceptor.resume()
        self.answers.changed()

    def _wait(self, state: State) -> float:
        """Return for how many seconds a connection may be in `state`."""
        if state is State.NEXT:
            return KEPT_ALIVE
        if state is State.ANSWER:
            return self.limits.answer_timeout + SENT_BY
        if state is State.END:
            return LINGER
        return DRAIN_READING if self.draining else self.limits.query_timeout
