# SPDX-License-Identifier: MIT
"""Finger as a service: what the process of process/life.py serves on the sockets of port 79.

It exchanges one reading of the configuration for the next, and logs limited clients.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fingerd_sd.config.mistakes import Mistake
from fingerd_sd.config.server import Limits
from fingerd_sd.directory.ruip import Begun, Ruip
from fingerd_sd.policy.rules import Client
from fingerd_sd.process.descriptors import for_connections
from fingerd_sd.serving.finger.first import Taken
from fingerd_sd.serving.finger.held import Connection
from fingerd_sd.serving.finger.server import QueryLog, Server
from fingerd_sd.serving.waiting.bursts import Burst, nothing
from fingerd_sd.serving.waiting.limited import LimitedLog

if TYPE_CHECKING:
    from fingerd_sd.serving.finger.proxied.front import Proxied

CLOSE = 2.0  # seconds that the sources get to close what they keep open, at the exit


class Setup(NamedTuple):
    """One reading of the configuration. `idle_exit`: seconds, 0 for never."""

    ruip: Ruip
    limits: Limits
    query_log: QueryLog | None
    idle_exit: float
    warnings: tuple[Mistake, ...] = ()


class State(NamedTuple):
    """How the role is at one moment. `accepted`: connections since the start. `open`: connections
    now, of `most`. `paused`: why none can be accepted; "" if they can. `ruip`: what answers.
    `limited`: clients in the last minute.
    """

    accepted: int
    open: int
    most: int
    paused: str
    ruip: Ruip
    limited: int


class Finger:
    """Serves finger by `setup`, and what was taken for it before; see process/served.py. `proxied`:
    the sockets that are for balancers. `burst`: see Burst.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        setup: Setup,
        taken: Iterable[Taken] = (),
        proxied: Collection[socket.socket] = (),
        burst: Burst = nothing,
    ) -> None:
        self._loop = loop
        self._ruip = setup.ruip
        self._taken = taken
        self._proxied = proxied
        self._front: Proxied | None = None
        self._server = Server(loop, setup.ruip, setup.limits, setup.query_log, burst)
        self._limited = LimitedLog(loop)
        self._server.on_limited = self._limited.count
        self._closing: set[asyncio.Task[None]] = set()  # the setups before this one

    @property
    def on_change(self) -> Callable[[], None] | None:
        """Called once when `counts`, `trouble` or `open` changes; it must then be set again."""
        return self._server.on_change

    @on_change.setter
    def on_change(self, call: Callable[[], None] | None) -> None:
        self._server.on_change = call

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return self._server.open

    @property
    def active_at(self) -> float:
        """When the last connection came or went, in monotonic seconds."""
        return self._server.active_at

    @property
    def trouble(self) -> str:
        """What is wrong at the moment, in words; "" where nothing is."""
        return "; ".join(filter(None, (self._server.paused, self._ruip.trouble)))

    @property
    def counts(self) -> str:
        """How many queries there were, by result."""
        counts = self._server.counts
        by_result = ", ".join(f"{count} {result}" for result, count in counts.items() if count)
        number = sum(counts.values())
        total = "1 query" if number == 1 else f"{number} queries"
        return f"{total} ({by_result})" if by_result else total

    @property
    def state(self) -> State:
        """How the role is now, in figures."""
        server = self._server
        most = min(server.limits.max_connections, for_connections())
        limited = self._limited.clients
        return State(server.taken, server.open, most, server.paused, self._ruip, limited)

    def watch_limited(self, watch: Callable[[Client], None]) -> None:
        """Call `watch` too for each limited query. It costs nothing where nobody calls this."""

        def both(client: Client) -> None:
            watch(client)
            self._limited.count(client)

        self._server.on_limited = both

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Accept from `listeners`; see Server."""
        self._ruip.directory.start(self._server.changed)
        adopt(self._server, self._taken)
        self._taken = ()
        self._server.start([one for one in listeners if one not in self._proxied])
        if self._proxied:
            from fingerd_sd.serving.finger.proxied.front import Proxied

            self._front = Proxied(self._server)
            self._front.start([one for one in listeners if one in self._proxied])

    def use(self, setup: Setup) -> None:
        """Serve by `setup` from now on; the old sources are closed after their last look-up."""
        closing = self._loop.create_task(self._ruip.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self._ruip = self._server.ruip = setup.ruip
        self._ruip.directory.start(self._server.changed)
        self._server.limits = setup.limits
        self._server.query_log = setup.query_log
        self._limited.rest()  # log_client may allow less from now on

    def give_back(self) -> None:
        """Forget kept answers, clients, and what sources can have again. Not rates: who makes
        memory short would be allowed to ask anew.
        """
        self._ruip.forget()
        self._ruip.policy.forget_clients()
        self._ruip.directory.give_back()
        if self._front is not None:
            self._front.give_back()

    def stop_accepting(self) -> None:
        """Accept no more connections; see Server."""
        self._server.stop_accepting()

    async def drain(self) -> None:
        """Return when no connection is open; see Server."""
        await self._server.drain()

    async def close(self) -> None:
        """Let the sources close what they keep open, now that no client is waited for."""
        self._server.abandon()
        closing = [self._loop.create_task(self._ruip.close(cancel=True)), *self._closing]
        await asyncio.wait(closing, timeout=CLOSE)
        self._limited.rest()


def adopt(server: Server, taken: Iterable[Taken]) -> None:
    """Have `server` go on with connections that first.py took for it."""
    for one in taken:
        server.taken += 1
        client = server.ruip.policy.client(one.peer)
        if one.said is None:
            server.begin(one.sock, one.peer, one.octets, one.started)
        elif isinstance(one.said, Begun):
            held = server.hold(Connection(server, one.sock, one.peer, client.key), True)
            held.wait_for(server.ruip, one.said, False, one.started)
        elif one.ended:
            server.done(one.said, client, one.sent, one.started, one.ended)
        else:
            held = server.hold(Connection(server, one.sock, one.peer, client.key))
            held.send_rest(one.said, one.sent, client, one.started)
