# SPDX-License-Identifier: MIT
"""Connections from a balancer, on the socket that is for balancers: each begins with a header of
the PROXY protocol (header.py), which says who the client is. Then it is a connection as any other.

What a header says is believed because of the socket it comes by, and never on port 79: the unit's
IPAddressAllow= says who may connect here.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Sequence

from fingerd_sd.serving.finger.held import Connection
from fingerd_sd.serving.finger.proxied.header import Header, ProxyError, forget, parse
from fingerd_sd.serving.finger.server import Server
from fingerd_sd.serving.finger.sockets import AT_ONCE, RECEIVE
from fingerd_sd.serving.waiting.accept import Acceptor

log = logging.getLogger(__name__)

TOLD_EVERY = 60.0  # least seconds between two log entries about headers


class Proxied:
    """Takes connections that begin with a header, and hands them to `server`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._told = -TOLD_EVERY  # monotonic seconds
        self._acceptor = Acceptor(
            server.loop,
            self._serve,
            server.connections,
            server.is_full,
            server.changed,
            server.burst,
        )
        server.acceptors.append(self._acceptor)

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Accept from `listeners`; the server stops that."""
        self._acceptor.start(listeners)

    def give_back(self) -> None:
        """Forget the clients that headers have named: memory is short."""
        forget()

    def go_on(
        self, header: Header, sock: socket.socket, peer: str, octets: bytes, started: float
    ) -> None:
        """Serve the client that `header` names. `peer`: the balancer. `octets`: what has come."""
        client = header.client
        if not client or (_is_loopback(client) and peer and not _is_loopback(peer)):
            client = peer  # a client of the balancer's own machine is not one of this machine
        rest = octets[header.size :]
        self._server.begin(sock, client, rest or None, started, header.server)

    def refuse(self, peer: str, why: Exception) -> None:
        """Tell that a header cannot be used, at most once a minute. The connection is closed, and
        gets no answer: proxy-protocol.txt §2.
        """
        now = time.monotonic()
        if now >= self._told + TOLD_EVERY:
            self._told = now
            log.warning(
                "A connection from %s to the socket for balancers is closed: %s",
                self._server.ruip.policy.client(peer).logged,
                why,
                extra={"event": "PROXY_REFUSED"},
            )

    def _serve(self, sock: socket.socket, peer: str) -> None:
        started = self._server.count()
        try:
            octets = sock.recv(RECEIVE, AT_ONCE)
        except (BlockingIOError, InterruptedError):
            self._server.hold(_Unknown(self, self._server, sock, peer)).begin(None)
            return
        except OSError:  # reset before it was taken
            sock.close()
            return
        try:
            header = parse(octets)
        except ProxyError as error:
            sock.close()
            self.refuse(peer, error)
            return
        if header is not None:
            self.go_on(header, sock, peer, octets, started)
        elif octets:
            self._server.hold(_Unknown(self, self._server, sock, peer)).begin(octets)
        else:  # a balancer's look at whether anybody listens
            sock.close()


class _Unknown(Connection):
    """A connection whose header is not whole yet. It counts for no client; it has the time of a
    query line, and its header once more that of the line behind it.
    """

    __slots__ = ("_front",)

    def __init__(self, front: Proxied, keeper: Server, sock: socket.socket, peer: str) -> None:
        super().__init__(keeper, sock, peer, None)
        self._front = front

    def _took(self, octets: bytes) -> None:
        self._buffer += octets
        try:
            header = parse(self._buffer)
        except ProxyError as error:
            self.close()
            self._front.refuse(self.peer, error)
            return
        if header is None and octets:
            self._read_on()
        elif header is None:
            self.close()
        else:
            self._stop_reading()
            # This is forgotten afterwards: else the server could think that nobody is here.
            self._front.go_on(header, self.sock, self.peer, self._buffer, time.monotonic())
            self._keeper.closed(self)


def _is_loopback(address: str) -> bool:
    return address.startswith(("127.", "::ffff:127.")) or address == "::1"
