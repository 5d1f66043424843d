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
from collections.abc import Callable, Iterable, Sequence

from fingerd_sd.config.server import Limits
from fingerd_sd.directory.answer import LIMIT, RESULTS, Answer
from fingerd_sd.directory.ruip import Begun, Ruip
from fingerd_sd.policy.rules import Client
from fingerd_sd.process.descriptors import for_connections
from fingerd_sd.serving.finger.first import Taken, said_at_once
from fingerd_sd.serving.finger.held import Connection
from fingerd_sd.serving.finger.sockets import AT_ONCE, RECEIVE, end_output, send_now
from fingerd_sd.serving.waiting.accept import Acceptor
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
    each limited query, in place of the query log.
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
        self.readers = Readers(loop)
        self.floor = Floor(loop)
        self.on_change: Callable[[], None] | None = None
        self.on_limited: Callable[[Client], None] | None = None
        self._held: set[Connection] = set()
        self._acceptor = Acceptor(loop, self._serve, self._held, self._is_full, self._changed)
        self._deadlines: Deadlines[Connection] = Deadlines(loop, Connection.expire)  # of lines
        self._answers: Deadlines[Connection] = Deadlines(loop, Connection.expire)
        self._room = for_connections()
        self._per_client: dict[str, int] = {}
        self._limited = 0
        self._all_gone = asyncio.Event()

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._held)

    @property
    def paused(self) -> str:
        """Why nothing can be accepted now; "" if it can."""
        full = f"all {len(self._held)} connections are taken" if self._is_full() else ""
        return self._acceptor.paused or full

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Accept from `listeners`: listening stream sockets, which are made non-blocking."""
        self.ruip.directory.prepare()
        self._acceptor.start(listeners)

    def adopt(self, taken: Iterable[Taken]) -> None:
        """Go on with connections that serving/finger/first.py took for this server."""
        for one in taken:
            self.taken += 1
            client = self.ruip.policy.client(one.peer)
            if one.said is None:
                self._begin(one.sock, one.peer, one.octets, one.started)
            elif isinstance(one.said, Begun):
                held = self._hold(Connection(self, one.sock, one.peer, client.key))
                held.wait_for(self.ruip, one.said, False, one.started)
            elif one.ended:
                self.done(one.said, client, one.sent, one.started, one.ended)
            else:
                held = self._hold(Connection(self, one.sock, one.peer, client.key))
                held.send_rest(one.said, one.sent, client, one.started)

    def stop_accepting(self) -> None:
        """Accept no more connections: new ones wait in the backlog for the next process."""
        self._acceptor.stop()

    async def drain(self) -> None:
        """Return when no connection is open. Clients whose line is not whole get DRAIN_READING
        seconds for it, since the clients in the backlog wait for them.
        """
        self.stop_accepting()
        self._deadlines.bound(self.loop.time() + DRAIN_READING)
        if self._held:
            self._all_gone.clear()
            await self._all_gone.wait()

    def abandon(self) -> None:
        """End the connections that are open, without waiting for anything."""
        for connection in tuple(self._held):
            connection.abandon()

    # --- serving ---

    def _is_full(self) -> bool:
        return len(self._held) >= min(self.limits.max_connections, self._room)

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
        self._begin(sock, peer, octets, started)

    def _begin(self, sock: socket.socket, peer: str, octets: bytes | None, started: float) -> None:
        """Serve a connection that was counted, from the first `octets`; None: none came yet."""
        client = self.ruip.policy.client(peer)
        if self._per_client and self._is_over(client):
            self._refuse(sock, peer, client, octets, started)
            return
        said = said_at_once(sock, octets, self.ruip, self.limits.max_query, client, started)
        if said is None:
            self._hold(Connection(self, sock, peer, client.key)).begin(octets)
        elif isinstance(said, Begun):
            held = self._hold(Connection(self, sock, peer, client.key))
            held.wait_for(self.ruip, said, False, started)
        elif (sent := send_now(sock, said.octets)) == len(said.octets):
            end_output(sock)
            sock.close()
            self.done(said, client, sent, started)
        else:
            held = self._hold(Connection(self, sock, peer, client.key))
            held.send_rest(said, sent, client, started)

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
            self._hold(Connection(self, sock, peer, "")).linger()
        else:
            sock.close()

    # --- what held.Keeper asks for ---

    def _hold(self, connection: Connection) -> Connection:
        self._held.add(connection)
        if connection.key:
            self._per_client[connection.key] = self._per_client.get(connection.key, 0) + 1
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
            self._changed()
        self._deadlines.drop(connection)
        self._answers.drop(connection)
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
        self._acceptor.resume()

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

    def _changed(self) -> None:
        tell, self.on_change = self.on_change, None
        if tell is not None:
            tell()
