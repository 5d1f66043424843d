# SPDX-License-Identifier: MIT
"""What happens to a connection: the fast path, caps, drain.

A connection is taken (accept.py) and counted in the same step. It is never taken but not yet
counted, so an idle exit loses no client. If a whole line is there at once and `Ruip` has its
answer without waiting, the server answers on the spot, with no transport and no task (the fast
path). Every other connection is held (held.py).
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence

from fingerd_sd.config.server import Limits
from fingerd_sd.directory.answer import LIMIT, RESULTS, Answer
from fingerd_sd.directory.ruip import Begun, Ruip
from fingerd_sd.policy.rules import Client, Here
from fingerd_sd.process.descriptors import for_connections
from fingerd_sd.serving.finger.first import said_at_once
from fingerd_sd.serving.finger.held import Connection
from fingerd_sd.serving.finger.sockets import AT_ONCE, RECEIVE, end_output, send_now
from fingerd_sd.serving.waiting.accept import Acceptor
from fingerd_sd.serving.waiting.bursts import Burst, nothing
from fingerd_sd.serving.waiting.deadlines import Deadlines
from fingerd_sd.serving.waiting.floor import Floor
from fingerd_sd.serving.waiting.readers import Readers

DRAIN_READING = 2.0  # seconds that a client still gets for its line when the service stops
MAX_LIMITED = 256  # clients over max_per_client told with care at once; others just briefly

# Called once for each query: the answer, the client, octets sent, microseconds it took.
QueryLog = Callable[[Answer, Client, int, int], None]


class Server:
    """Serves listening sockets by `ruip`. `ruip`, `limits` and `query_log` may be exchanged at any
    time; the old ones finish what is under way.

    `counts`: queries by result since the start. `taken`: connections accepted since the start;
    `active_at`: when the last one came or went, in monotonic seconds. `on_change` is called once
    when any of these, or `paused`, changes; it must then be set again. `on_limited` is called for
    each limited query, in place of the log. `burst`: see Burst. `acceptors[0]` is for `start`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ruip: Ruip,
        limits: Limits,
        query_log: QueryLog | None,
        burst: Burst = nothing,
    ) -> None:
        self.loop = loop
        self.ruip = ruip
        self.limits = limits
        self.query_log = query_log
        self.counts = dict.fromkeys(RESULTS, 0)
        self.taken = 0
        self.active_at = loop.time()
        self.readers = Readers(loop)
        self.burst = burst
        self.floor = Floor(loop, burst)
        self.on_change: Callable[[], None] | None = None
        self.on_limited: Callable[[Client], None] | None = None
        self.connections: set[Connection] = set()
        held = self.connections
        self.acceptors = [Acceptor(loop, self._serve, held, self.is_full, self.changed, burst)]
        self._deadlines: Deadlines[Connection] = Deadlines(loop, Connection.expire)  # of lines
        self._answers: Deadlines[Connection] = Deadlines(loop, Connection.expire)
        self._room = for_connections()
        self._per_client: dict[str, int] = {}
        self._limited = 0
        self._all_gone = asyncio.Event()

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self.connections)

    @property
    def paused(self) -> str:
        """Why nothing can be accepted now; "" if it can."""
        full = f"all {len(self.connections)} connections are taken" if self.is_full() else ""
        return next((one.paused for one in self.acceptors if one.paused), full)

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Accept from `listeners`: listening stream sockets, which are made non-blocking."""
        self.ruip.directory.prepare()
        self.acceptors[0].start(listeners)

    def stop_accepting(self) -> None:
        """Accept no more connections: new ones wait in the backlog for the next process."""
        for acceptor in self.acceptors:
            acceptor.stop()

    async def drain(self) -> None:
        """Return when no connection is open. Clients whose line is not whole get DRAIN_READING
        seconds for it, since the clients in the backlog wait for them.
        """
        self.stop_accepting()
        self._deadlines.bound(self.loop.time() + DRAIN_READING)
        if self.connections:
            self._all_gone.clear()
            await self._all_gone.wait()

    def abandon(self) -> None:
        """End the connections that are open, without waiting for anything."""
        for connection in tuple(self.connections):
            connection.abandon()

    # --- serving ---

    def is_full(self) -> bool:
        """Whether no more connections may be open."""
        return len(self.connections) >= min(self.limits.max_connections, self._room)

    def count(self) -> float:
        """Count a connection that was taken; return when that was, in monotonic seconds."""
        self.taken += 1
        self.active_at = time.monotonic()
        if self.on_change is not None:
            self.changed()
        return self.active_at

    def _serve(self, sock: socket.socket, peer: str) -> None:
        started = self.count()
        octets: bytes | None
        try:
            octets = sock.recv(RECEIVE, AT_ONCE)
        except (BlockingIOError, InterruptedError):
            octets = None
        except OSError:  # reset before it was taken
            sock.close()
            return
        self.begin(sock, peer, octets, started)

    def begin(
        self,
        sock: socket.socket,
        peer: str,
        octets: bytes | None,
        started: float,
        here: Here | None = None,
    ) -> None:
        """Serve a connection that was counted, from the first `octets`; None: none came yet.
        `here`: where the client has connected to, if not to `sock`.
        """
        client = self.ruip.policy.client(peer)
        if self._per_client.get(client.key, 0) >= self.limits.max_per_client:
            self._refuse(sock, peer, client, octets, started)
            return
        said = said_at_once(sock, octets, self.ruip, self.limits.max_query, client, started, here)
        if said is None:
            self.hold(Connection(self, sock, peer, client.key, here)).begin(octets)
        elif isinstance(said, Begun):
            held = self.hold(Connection(self, sock, peer, client.key, here), True)
            held.wait_for(self.ruip, said, False, started)
        elif (sent := send_now(sock, said.octets)) == len(said.octets):
            end_output(sock)
            sock.close()
            self.done(said, client, sent, started)
        else:
            held = self.hold(Connection(self, sock, peer, client.key, here))
            held.send_rest(said, sent, client, started)

    def _refuse(
        self,
        sock: socket.socket,
        peer: str,
        client: Client,
        octets: bytes | None,
        started: float,
    ) -> None:
        """Tell a client that it has too many connections open. Its line may still be on the way,
        so that closing would reset the answer away: close a bounded number of these with care.
        """
        answer = self.ruip.limited(octets or b"")
        sent = send_now(sock, answer.octets)
        end_output(sock)
        self.done(answer, client, sent, started)
        is_line = octets is not None and octets.find(b"\n") == len(octets) - 1
        if not is_line and self._limited < MAX_LIMITED:
            self._limited += 1
            self.hold(Connection(self, sock, peer, "")).linger()
        else:
            sock.close()

    # --- what keeper.Keeper asks for ---

    def hold(self, connection: Connection, whole: bool = False) -> Connection:
        """Count `connection`. It has query_timeout for its line from now on, if not `whole` yet."""
        self.connections.add(connection)
        if connection.key:
            self._per_client[connection.key] = self._per_client.get(connection.key, 0) + 1
        if not whole:
            self._deadlines.set(connection, self.loop.time() + self.limits.query_timeout)
        return connection

    def line_is_there(self, connection: Connection) -> None:
        """The deadline for the query line no longer applies to `connection`."""
        self._deadlines.drop(connection)

    def answer_is_due(self, connection: Connection, at: float) -> None:
        """Let `connection` expire at `at`, in the loop's seconds, without its answer."""
        self._answers.set(connection, at)

    def answer_is_there(self, connection: Connection) -> None:
        """The deadline for the answer no longer applies to `connection`."""
        self._answers.drop(connection)

    def closed(self, connection: Connection) -> None:
        """`connection` is gone: forget it, and accept again if accepting has waited for that."""
        self.active_at = time.monotonic()
        if self.on_change is not None:
            self.changed()
        self._deadlines.drop(connection)
        self._answers.drop(connection)
        self.connections.discard(connection)
        if connection.key:
            left = self._per_client[connection.key] - 1
            if left:
                self._per_client[connection.key] = left
            else:
                del self._per_client[connection.key]
        elif connection.key is not None:
            self._limited -= 1
        if not self.connections:
            self._all_gone.set()
        for acceptor in self.acceptors:
            acceptor.resume()

    def done(
        self, answer: Answer, client: Client, sent: int, started: float, ended: float = 0
    ) -> None:
        """Count and log one query, which ended at `ended`, in monotonic seconds; 0: now."""
        self.counts[answer.result] += 1
        if answer.result == LIMIT:
            if self.on_limited is not None:
                self.on_limited(client)
        elif self.query_log is not None:
            self.query_log(answer, client, sent, int(((ended or time.monotonic()) - started) * 1e6))

    def changed(self) -> None:
        """Call `on_change`."""
        tell, self.on_change = self.on_change, None
        if tell is not None:
            tell()
