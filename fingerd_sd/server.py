# SPDX-License-Identifier: MIT
"""Sockets: accept, the fast path, deadlines, caps, drain.

The server takes connections in a loop of its own on the event loop's reader, and counts each in the
same step: so there is no moment at which a connection was taken and is not yet counted, and leaving
when idle loses nobody. Where a whole line is there at once and `Ruip.ready` has its answer, the
connection is served on the spot, with no transport and no task (the fast path); every other one is
held (connection.py). A listening socket is never shut down or listened on here: systemd owns it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from fingerd_sd.connection import AT_ONCE, RECEIVE, Connection, Readers, end_output, send_now
from fingerd_sd.policy import Client
from fingerd_sd.ruip import LIMIT, RESULTS, Answer, Ruip

log = logging.getLogger(__name__)

BATCH = 64  # accepts for one wake-up: more would starve slow clients and the watchdog
PAUSE = 0.25  # seconds without accepting where the machine is out of descriptors or memory
PAUSE_TOLD = 60.0  # seconds between two entries about that at the least
SWEEP = 0.25  # seconds that a deadline may be late: one timer serves all silent clients
EXPIRED = 16  # deadlines for one turn of the loop: thousands may be over at once
DRAIN_READING = 2.0  # seconds that a client may still take for its line once the service stops
MAX_LIMITED = 256  # clients over max_per_client that are told so with care; more just briefly
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Limits(NamedTuple):
    """What one client, and all together, may take: fingerd.toml(5), [server]."""

    query_timeout: float = 10  # seconds from accept to the end of the query line
    answer_timeout: float = 30  # seconds from the query to the last octet sent
    max_query: int = 1024  # octets, line end included
    max_connections: int = 4096  # open at once
    max_per_client: int = 64  # open at once from one IPv4 address or IPv6 /64


# Called once for each query: the answer, the client, octets sent, microseconds it took.
QueryLog = Callable[[Answer, Client, int, int], None]

# Accepts one connection; returns it and its peer's address as text, "" on AF_UNIX.
Taker = Callable[[], tuple[socket.socket, str]]


def taker(listener: socket.socket) -> Taker:
    """Return what accepts from `listener`.

    `socket.accept` spends as long on enumerations and names as the kernel on the connection, so the
    step below it is used where this Python has it. What that returns lacks `makefile` and `with`.
    """
    accept: Callable[[], tuple[int, Any]] | None = getattr(listener, "_accept", None)
    is_unix = listener.family == socket.AF_UNIX
    family, kind, proto = int(listener.family), int(listener.type), listener.proto

    def take() -> tuple[socket.socket, str]:
        sock: Any  # a socket.socket, or the type below it
        if accept is None:
            sock, address = listener.accept()
        else:
            fd, address = accept()
            sock = socket.SocketType(family, kind, proto, fd)
        return sock, "" if is_unix else address[0]

    return take


class Server:
    """Serves listening sockets by `ruip`. `ruip`, `limits` and `query_log` may be exchanged at any
    time; what is under way is finished by the old ones.

    `counts`: queries by result since the start. `taken`: connections accepted since the start;
    `active_at`: when the last one came or went, in monotonic seconds. `paused`: why nothing can be
    accepted now, "" where it can. `on_change` is called once when any of these changes, and is then
    to be set again. `on_limited` is called for each query that was limited, instead of the query
    log.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ruip: Ruip,
        limits: Limits,
        query_log: QueryLog | None,
    ) -> None:
        self.loop = loop
        self.ruip = ruip
        self.limits = limits
        self.query_log = query_log
        self.counts = dict.fromkeys(RESULTS, 0)
        self.taken = 0
        self.active_at = loop.time()
        self.paused = ""
        self.readers = Readers(loop)
        self.on_change: Callable[[], None] | None = None
        self.on_limited: Callable[[Client], None] | None = None
        self._listeners: list[socket.socket] = []
        self._accepting = False
        self._stopped = False
        self._held: set[Connection] = set()
        self._deadlines: dict[Connection, float] = {}  # of lines not yet whole
        self._per_client: dict[str, int] = {}
        self._limited = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._resumer: asyncio.TimerHandle | None = None
        self._pause_told = -PAUSE_TOLD  # monotonic seconds
        self._all_gone = asyncio.Event()

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._held)

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Accept from `listeners`: listening stream sockets, which are made non-blocking."""
        for listener in listeners:
            listener.setblocking(False)
            self._listeners.append(listener)
        self._resume()

    def stop_accepting(self) -> None:
        """Take no connection any more: what comes now waits in the backlog for the next process."""
        self._stopped = True
        self._pause()

    async def drain(self) -> None:
        """Return when no connection is open. Those whose line is not whole get DRAIN_READING
        seconds for it: who waits in the backlog is waiting for them.
        """
        self.stop_accepting()
        latest = self.loop.time() + DRAIN_READING
        self._deadlines = {c: min(at, latest) for c, at in self._deadlines.items()}
        self._disarm()
        self._arm()
        if self._held:
            self._all_gone.clear()
            await self._all_gone.wait()

    # --- accepting ---

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            for listener in self._listeners:
                self.loop.remove_reader(listener)

    def _resume(self) -> None:
        if self._resumer is not None:
            self._resumer.cancel()
            self._resumer = None
        if not self._accepting and not self._stopped:
            self._accepting = True
            for listener in self._listeners:
                self.loop.add_reader(listener, self._accept, taker(listener))

    def _accept(self, take: Taker) -> None:
        """Take what waits at a listening socket, at most BATCH connections."""
        for _ in range(BATCH):
            if len(self._held) >= self.limits.max_connections:
                self._pause()  # until one is closed
                return
            try:
                sock, peer = take()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._out_of(error)
                    return
                continue  # that connection failed before it was taken: accept(2)
            if self.paused:
                self.paused = ""
            self._serve(sock, peer)

    def _out_of(self, error: OSError) -> None:
        """Pause, since accepting at once again would spin; what comes waits in the backlog."""
        self.paused = f"accepting is paused: {error.strerror}"
        now = self.loop.time()
        if now >= self._pause_told + PAUSE_TOLD:
            self._pause_told = now
            log.warning(
                "Accepting is paused until descriptors or memory are free: %s; %d connections are"
                " open",
                error.strerror,
                len(self._held),
                extra={"event": "ACCEPT_PAUSED"},
            )
        if self.on_change is not None:
            self._changed()
        self._pause()
        self._resumer = self.loop.call_later(PAUSE, self._resume)

    # --- serving ---

    def _serve(self, sock: socket.socket, peer: str) -> None:
        self.taken += 1
        started = self.active_at = time.monotonic()
        if self.on_change is not None:
            self._changed()
        octets: bytes | None
        try:
            octets = sock.recv(RECEIVE, AT_ONCE)
        except (BlockingIOError, InterruptedError):
            octets = None
        except OSError:  # reset before it was taken
            sock.close()
            return
        client = self.ruip.policy.client(peer)
        if self._per_client and self._is_over(client):
            self._refuse(sock, peer, client, octets, started)
            return
        # Only whole lines are ever ready, so that this is one line and nothing behind it.
        if octets and octets[-1] == 0x0A:
            answer = self.ruip.ready(octets, client, started)
            if answer is not None:
                sent = send_now(sock, answer.octets)
                if sent == len(answer.octets):
                    end_output(sock)
                    sock.close()
                    self.done(answer, client, sent, started)
                    return
                self._hold(Connection(self, sock, peer, client.key)).send_rest(
                    answer, sent, client, started
                )
                return
        self._hold(Connection(self, sock, peer, client.key)).begin(octets)

    def _is_over(self, client: Client) -> bool:
        return self._per_client.get(client.key, 0) >= self.limits.max_per_client

    def _refuse(
        self,
        sock: socket.socket,
        peer: str,
        client: Client,
        octets: bytes | None,
        started: float,
    ) -> None:
        """Tell a client that it has too many connections open. Its line may still be on the way, so
        that closing would reset the answer away: a bounded number of such is closed with care.
        """
        answer = self.ruip.limited(octets or b"")
        sent = send_now(sock, answer.octets)
        end_output(sock)
        self.done(answer, client, sent, started)
        is_line = octets is not None and octets.find(b"\n") == len(octets) - 1
        if not is_line and self._limited < MAX_LIMITED:
            self._limited += 1
            self._hold(Connection(self, sock, peer, "")).linger()
        else:
            sock.close()

    # --- what connection.Keeper asks for ---

    def _hold(self, connection: Connection) -> Connection:
        self._held.add(connection)
        if connection.key:
            self._per_client[connection.key] = self._per_client.get(connection.key, 0) + 1
        deadline = self._deadlines[connection] = self.loop.time() + self.limits.query_timeout
        if self._sweeper is not None and deadline + SWEEP < self._sweeper.when():
            self._disarm()  # a reload has made deadlines shorter
        self._arm()
        return connection

    def line_is_there(self, connection: Connection) -> None:
        """The deadline for the query line no longer applies to `connection`."""
        self._deadlines.pop(connection, None)

    def closed(self, connection: Connection) -> None:
        """`connection` is gone: forget it, and accept again where that waited for one to go."""
        self.active_at = time.monotonic()
        if self.on_change is not None:
            self._changed()
        self._deadlines.pop(connection, None)
        self._held.discard(connection)
        if connection.key:
            left = self._per_client[connection.key] - 1
            if left:
                self._per_client[connection.key] = left
            else:
                del self._per_client[connection.key]
        else:
            self._limited -= 1
        if not self._held:
            self._all_gone.set()
        if self._resumer is None:
            self._resume()

    def done(self, answer: Answer, client: Client, sent: int, started: float) -> None:
        """Count and log one query."""
        self.counts[answer.result] += 1
        if answer.result == LIMIT:
            if self.on_limited is not None:
                self.on_limited(client)
        elif self.query_log is not None:
            self.query_log(answer, client, sent, int((time.monotonic() - started) * 1e6))

    def _changed(self) -> None:
        tell, self.on_change = self.on_change, None
        if tell is not None:
            tell()

    # --- deadlines ---

    def _arm(self) -> None:
        """Have the oldest deadline looked at when it is over; one timer serves all."""
        if self._sweeper is None and self._deadlines:
            self._sweeper = self.loop.call_at(min(self._deadlines.values()) + SWEEP, self._sweep)

    def _disarm(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _sweep(self) -> None:
        self._sweeper = None
        now = self.loop.time()
        late = (c for c, deadline in self._deadlines.items() if deadline <= now)
        some = list(islice(late, EXPIRED))  # the oldest stand first, unless a reload came between
        for connection in some:
            connection.expire()
        if len(some) == EXPIRED:
            self._sweeper = self.loop.call_at(now, self._sweep)
        else:
            self._arm()
