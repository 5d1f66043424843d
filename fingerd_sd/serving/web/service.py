# SPDX-License-Identifier: MIT
"""The web as a service: what the process of process/life.py serves on the sockets of finger-web.

It knows the setup, names the client of each request, and counts and logs what has been answered.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from aiohttp import web
from multidict import CIMultiDictProxy

from fingerd_sd.config.mistakes import Mistake
from fingerd_sd.config.server import Limits
from fingerd_sd.directory.answer import BAD, FAILED, LIMIT, RESULTS, TIMEOUT, Answer, shown_of
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.policy.rules import Client, Policy
from fingerd_sd.protocol.reply import LIMITED
from fingerd_sd.serving.waiting.floor import Floor
from fingerd_sd.serving.waiting.limited import LimitedLog
from fingerd_sd.serving.web.asking import Asking
from fingerd_sd.serving.web.client import HIDDEN, Proxies, UnclearError
from fingerd_sd.serving.web.http.connection import Connection
from fingerd_sd.serving.web.http.connections import Connections
from fingerd_sd.serving.web.http.pieces import response_of
from fingerd_sd.serving.web.replies import for_client
from fingerd_sd.serving.web.site import ALLOWED, Identity, Site

log = logging.getLogger(__name__)

NAMELESS = (
    "A request came by a proxy's socket with neither Forwarded nor X-Forwarded-For: such clients"
    " count as the proxy itself, which on a socket in /run is this machine; let the proxy send one"
)
CLOSE = 2.0  # seconds that the sources get to close what they keep open, at the exit

# Called once for each request: the answer, the client, octets sent, microseconds it took.
RequestLog = Callable[[Answer, Client, int, int], None]


class Setup(NamedTuple):
    """One reading of the configuration. `idle_exit`: seconds, 0 for never."""

    policy: Policy
    directory: Directory
    identity: Identity
    proxies: Proxies
    limits: Limits
    request_log: RequestLog | None
    idle_exit: float
    warnings: tuple[Mistake, ...] = ()


class Noted(NamedTuple):
    """What is known of a request until its response has gone. `started`: the loop's seconds."""

    client: Client
    result: str
    source: str
    raw: str
    started: float


class Web:
    """Serves the web by `setup`; see process/served.py. `counted`: requests by result."""

    def __init__(self, loop: asyncio.AbstractEventLoop, setup: Setup) -> None:
        self.on_change: Callable[[], None] | None = None
        self.counted = dict.fromkeys(RESULTS, 0)
        self._loop = loop
        self._floor = Floor(loop)
        self._limited = LimitedLog(loop)
        self._warned = False
        self._setup = setup
        self._site = self._site_of(setup)
        self._connections = Connections(loop, self, setup.limits)
        self._closing: set[asyncio.Task[None]] = set()  # the setups before this one

    @property
    def open(self) -> int:
        """How many connections are open, without those that wait for another request."""
        return self._connections.open

    @property
    def active_at(self) -> float:
        """When the last connection or request came or went, in the loop's seconds."""
        return self._connections.active_at

    @property
    def counts(self) -> str:
        """How many requests there were, by result; how many connections wait for another."""
        by_result = ", ".join(f"{count} {name}" for name, count in self.counted.items() if count)
        number, kept = sum(self.counted.values()), self._connections.kept_alive
        total = "1 request" if number == 1 else f"{number} requests"
        total = f"{total} ({by_result})" if by_result else total
        return f"{total}, {kept} kept alive" if kept else total

    @property
    def trouble(self) -> str:
        """What is wrong at the moment, in words; "" where nothing is."""
        told = (self._connections.paused, self._setup.directory.trouble)
        return "; ".join(filter(None, told))

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Accept from `listeners`: listening stream sockets, which are made non-blocking."""
        self._setup.directory.prepare()
        self._setup.directory.start(self.changed)
        self._connections.start(listeners)

    def use(self, setup: Setup) -> None:
        """Serve by `setup` from now on; the old sources are closed after their last look-up."""
        closing = self._loop.create_task(self._site.asking.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self._setup, self._site = setup, self._site_of(setup)
        setup.directory.start(self.changed)
        self._connections.limits = setup.limits
        self._limited.rest()  # log_client may allow less from now on

    def give_back(self) -> None:
        """Forget kept answers, clients, and what sources can have again. Not rates: who makes
        memory short would be allowed to ask anew.
        """
        self._site.forget()
        self._setup.policy.forget_clients()
        self._setup.proxies.forget()
        self._setup.directory.give_back()

    def stop_accepting(self) -> None:
        """Accept no more connections: new ones wait for the next process."""
        self._connections.stop()

    async def drain(self) -> None:
        """Return when no connection is open; see Connections."""
        await self._connections.drain()

    async def close(self) -> None:
        """Close what is still open, and let the sources close what they keep open."""
        self._connections.abandon()
        closing = self._loop.create_task(self._site.asking.close(cancel=True))
        await asyncio.wait([closing, *self._closing], timeout=CLOSE)
        self._limited.rest()

    def _site_of(self, setup: Setup) -> Site:
        asking = Asking(setup.policy, setup.directory, setup.limits, self._floor)
        return Site(asking, setup.identity)

    # --- what connections.Answers asks for ---

    def key_of(self, peer: str) -> str:
        """Return for whom a connection counts; see connections.Answers."""
        return "" if self._setup.proxies.trust(peer) else self._setup.policy.client(peer).key

    def changed(self) -> None:
        """Tell that something has changed, once."""
        tell, self.on_change = self.on_change, None
        if tell is not None:
            tell()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the response to `request`; see connections.Answers."""
        connection = cast(Connection, request.protocol)
        started = self._loop.time()
        headers, raw, policy = request.headers, request.raw_path, self._setup.policy
        proxied = self._setup.proxies.trust(connection.peer)  # a reload may have changed that
        # Behind an upgrade that is declined, aiohttp 3.11 reads no other request.
        ends = connection.over or request.can_read_body or "Upgrade" in headers
        try:
            peer = connection.peer
            client = policy.client(self._named(peer, headers) if proxied else peer)
        except UnclearError as error:
            client = policy.client(HIDDEN)
            reply = self._site.sentence("text", 400, f"The proxy's word is unclear: {error}", BAD)
        else:
            per_client, most = self._connections.per_client, self._setup.limits.max_per_client
            if connection.over or (proxied and per_client[client.key] >= most):
                reply = self._site.sentence("text", 429, LIMITED, LIMIT)
            elif _has_no_host(request):
                reply = self._site.sentence("text", 400, "The request has to name one host", BAD)
                ends = True
            else:
                accept = ",".join(headers.getall("Accept", ()))
                if proxied:
                    per_client[client.key] += 1
                try:
                    reply = await self._site.reply(request.method, raw, accept, client, started)
                finally:
                    if proxied:
                        self._connections.less(client.key)
        connection.noted = Noted(client, reply.result, reply.source, raw, started)
        status, more = for_client(reply, headers.get("If-None-Match"), self._loop.time())
        response = response_of(status, more, reply.body, request.method)
        if ends or request.method not in ALLOWED or self._connections.draining:
            response.force_close()
        return response

    def _named(self, peer: str, headers: CIMultiDictProxy[str]) -> str:
        """Return the client for whom a trusted proxy at `peer` asks. Raises UnclearError."""
        told = headers.getall("Forwarded", ()), headers.getall("X-Forwarded-For", ())
        named = self._setup.proxies.client(peer, *told)
        if named == peer and not self._warned:
            self._warned = True
            log.warning(NAMELESS, extra={"event": "CONFIG_WARNING"})
        return named

    def refused(self, connection: Connection, status: int, why: str) -> web.Response:
        """Return the response to what is no request; see connections.Answers. It counts against the
        rate, but a proxy's does not: it is not the proxy's fault.
        """
        policy, now = self._setup.policy, self._loop.time()
        client = policy.client(connection.peer if connection.key else HIDDEN)
        result = {408: TIMEOUT, 500: FAILED}.get(status, BAD)
        if connection.key and result == BAD:
            if policy.admit(client, now):
                policy.missed(client)
            else:
                status, why, result = 429, LIMITED, LIMIT
        reply = self._site.sentence("text", status, why, result)
        line = connection.line.decode("utf-8", "surrogateescape")
        connection.noted = Noted(client, result, "", line, now)
        response = web.Response(status=status, headers=reply.headers, body=reply.body)
        response.force_close()
        return response

    def sent(self, connection: Connection, octets: int) -> None:
        """Count and log a request; see connections.Answers."""
        noted: Noted | None = connection.noted
        if noted is None:
            return
        connection.noted = None
        self.counted[noted.result] += 1
        if self.on_change is not None:
            self.changed()
        if noted.result == LIMIT:
            self._limited.count(noted.client)
        elif self._setup.request_log is not None:
            query = shown_of(noted.raw.encode("utf-8", "surrogateescape"))
            answer = Answer(b"", noted.result, query, noted.source)
            usec = int((self._loop.time() - noted.started) * 1e6)
            self._setup.request_log(answer, noted.client, octets, usec)


def _has_no_host(request: web.BaseRequest) -> bool:
    """Whether the request does not name one host, as HTTP/1.1 has it: RFC 9112 §3.2."""
    return request.version.minor > 0 and len(request.headers.getall("Host", ())) != 1
