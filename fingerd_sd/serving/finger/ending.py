# SPDX-License-Identifier: MIT
"""The end of a connection, when that takes longer: the answer does not fit the socket's buffer, or
the client goes on sending, so that a reset could overtake its answer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

CHUNK = 65536  # octets of an answer between two looks at how much has gone
LINGER = 2.0  # seconds to go on reading what a client still sends after its answer
LINGER_OCTETS = 1 << 22  # octets to read then: a client that sends more loses its answer


async def send_rest(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, octets: bytes, sent: int, until: float
) -> tuple[int, bool]:
    """Send `octets` after the first `sent`. Return how many went out, and whether the time was over
    before the last one. `until`: in the loop's seconds. A client that is gone is no error.
    """
    sock.setblocking(False)
    view = memoryview(octets)
    try:
        async with asyncio.timeout_at(until):
            while sent < len(view):
                try:
                    sent += sock.send(view[sent : sent + CHUNK])
                except (BlockingIOError, InterruptedError):
                    await _ready(loop.add_writer, loop.remove_writer, sock)
    except TimeoutError:
        return sent, True
    except OSError:  # the client is gone: what it got is what it got
        pass
    return sent, False


async def _ready(
    add: Callable[[socket.socket, Callable[[], None]], None],
    remove: Callable[[socket.socket], bool],
    sock: socket.socket,
) -> None:
    """Return when `sock` may take, or have, more. `loop.sock_sendall` and `sock_recv` would not do:
    when the first fails, the error, its frame and its future hold each other, and the answer, until
    Python collects them. Both import the module ssl, to see whether `sock` is one of its own.
    """
    ready = asyncio.Event()
    add(sock, ready.set)
    try:
        await ready.wait()
    finally:
        remove(sock)


async def linger(loop: asyncio.AbstractEventLoop, sock: socket.socket, more: bool) -> None:
    """Return when `sock` can be closed without a reset that overtakes the answer. If the client has
    sent more than its line (`more`: it is known to have), read and drop that, within a bound.
    """
    left = LINGER_OCTETS
    try:
        sock.setblocking(False)
        async with asyncio.timeout(LINGER):
            while left > 0:
                try:
                    octets = sock.recv(CHUNK)
                except (BlockingIOError, InterruptedError):
                    if not more:  # nothing came, all is well
                        break
                    await _ready(loop.add_reader, loop.remove_reader, sock)
                    continue
                if not octets:
                    break
                more = True
                left -= len(octets)
    except (TimeoutError, OSError):
        pass
