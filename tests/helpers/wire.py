# SPDX-License-Identifier: MIT
"""A real `Server` on real sockets, and clients that feed it as they like.

Server and clients share one event loop, so that a test says when the server's turn is: what a
client sends before the loop turns is there, whole, when the server accepts.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from fingerd_sd.config.server import Limits
from fingerd_sd.directory.answer import Answer
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.policy.rules import Client
from fingerd_sd.serving.finger.held import Connection
from fingerd_sd.serving.finger.proxied.front import Proxied
from fingerd_sd.serving.finger.proxied.header import SIGNATURE
from fingerd_sd.serving.finger.server import Server
from fingerd_sd.serving.waiting.loop import Loop

T = TypeVar("T")

PATIENCE = 20.0  # seconds until an event that does not come fails a test
_CLOSE_WAIT = 8  # the peer has closed, by FIN: tcp(7), TCP_INFO; a reset leaves TCP_CLOSE


def run(scenario: Coroutine[None, None, T]) -> T:
    """Run `scenario` in a new event loop, one as `serve` has; fail where it does not end."""

    async def bounded() -> T:
        async with asyncio.timeout(2 * PATIENCE):
            return await scenario

    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(bounded())


async def turns(count: int = 3) -> None:
    """Let the loop look at its sockets, so that the server has read what was sent."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds; fail where it never does."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


class WatchedServer(Server):
    """Counts the connections that it held: those that it did not serve on the spot."""

    held = 0

    def closed(self, connection: Connection) -> None:
        self.held += 1
        super().closed(connection)


@dataclass(frozen=True)
class Logged:
    """One call of the query log."""

    answer: Answer
    client: Client
    sent: int
    usec: int


class Peer:
    """A client's end. It is connected without a turn of the loop: the kernel does that alone."""

    def __init__(self, listener: socket.socket, source: str = "", receive_buffer: int = 0) -> None:
        self.sock = socket.socket(listener.family, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect(listener.getsockname())
        if listener.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    async def send(self, octets: bytes) -> None:
        """Send `octets`; without a turn of the loop where the socket takes them at once."""
        if octets:  # sending nothing to who has closed is an error as well
            async with asyncio.timeout(PATIENCE):
                await asyncio.get_running_loop().sock_sendall(self.sock, octets)

    async def receive(self, count: int = -1) -> bytes:
        """Return all that comes until the server ends its side, or `count` octets of it."""
        loop = asyncio.get_running_loop()
        octets = bytearray()
        async with asyncio.timeout(PATIENCE):
            while len(octets) != count:
                room = 1 << 18 if count < 0 else count - len(octets)
                part = await loop.sock_recv(self.sock, room)
                if not part:
                    break
                octets += part
        return bytes(octets)

    def end(self) -> None:
        """End this side: send FIN."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Go away with a RST, as a crashed client's machine does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def was_closed_by_fin(self) -> bool:
        """Whether the server's end came as a FIN and nothing else, this side being open."""
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return False
        if self.sock.family == socket.AF_UNIX:
            return True
        return self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _CLOSE_WAIT


# What connections begin with, on sockets for balancers: versions 1 and 2.
HEADERS = {
    "proxy": b"PROXY TCP4 127.0.0.1 127.0.0.1 51234 79\r\n",
    "proxy, unix": SIGNATURE + b"\x21\x11\x00\x0c\x7f\0\0\1\x7f\0\0\1\xc8\x22\0\x4f",
}


@dataclass
class Serving:
    """A server that serves: its listening sockets by name, and what its query log was told."""

    server: WatchedServer
    listeners: dict[str, socket.socket]
    log: list[Logged] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)

    def connect(self, over: str = "tcp", source: str = "", receive_buffer: int = 0) -> Peer:
        """Return a new client, which goes away with the server at the latest. On a socket for
        balancers it has sent a header, by which it is on this machine.
        """
        peer = Peer(self.listeners[over], source, receive_buffer)
        peer.sock.send(HEADERS.get(over, b""))
        self.peers.append(peer)
        return peer

    async def ask(self, line: bytes, over: str = "tcp", source: str = "") -> bytes:
        with self.connect(over, source) as peer:
            await peer.send(line)
            return await peer.receive()

    async def settled(self) -> None:
        """Wait until no connection is open."""
        await until(lambda: not self.server.open)


@asynccontextmanager
async def serving(
    ruip: Ruip, limits: Limits | None = None, send_buffer: int = 0
) -> AsyncIterator[Serving]:
    """Serve `ruip` on loopback TCP and AF_UNIX, and on "proxy" with headers of the PROXY protocol.
    `send_buffer`: octets, for the server's sockets.
    """
    listeners = {"tcp": socket.create_server(("127.0.0.1", 0)), "unix": _unix_listener()}
    headed = {"proxy": socket.create_server(("127.0.0.1", 0)), "proxy, unix": _unix_listener()}
    server = WatchedServer(asyncio.get_running_loop(), ruip, limits or Limits(), None)
    house = Serving(server, listeners)
    server.query_log = lambda *told: house.log.append(Logged(*told))
    try:
        if send_buffer:  # accepted sockets inherit it
            listeners["tcp"].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        server.start(list(listeners.values()))
        Proxied(server).start(list(headed.values()))
        listeners |= headed
        yield house
    finally:
        server.stop_accepting()
        for sock in (*listeners.values(), *headed.values(), *(peer.sock for peer in house.peers)):
            sock.close()
    await house.settled()


def _unix_listener() -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind("")  # the kernel chooses an abstract address: unix(7)
    listener.listen(socket.SOMAXCONN)
    return listener


@contextmanager
def descriptors_left(number: int = 0) -> Iterator[None]:
    """Let this process open only `number` more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0) for _ in range(number + 1)]
    for fd in taken:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[-1], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
