# SPDX-License-Identifier: MIT
"""Calls on one connected socket. None of them waits."""

from __future__ import annotations

import _socket  # not socket: see serving/finger/first.py
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

RECEIVE = 4096  # octets at once: a whole query and what follows it

# Plain numbers: joining the flags of the module socket costs as much as looking an answer up.
AT_ONCE = _socket.MSG_DONTWAIT
_SEND = _socket.MSG_DONTWAIT | _socket.MSG_MORE
_OUTPUT = _socket.SHUT_WR


def connected_to(sock: socket.socket) -> str:
    """Return the address that the peer of `sock` has connected to, as text; "" on AF_UNIX."""
    try:
        address = sock.getsockname()
    except OSError:
        return ""
    return str(address[0]) if isinstance(address, tuple) else ""


def send_now(sock: socket.socket, octets: bytes) -> int:
    """Send what `sock` takes at once. Return how many octets that was; 0 if its peer is gone.

    MSG_MORE holds the last segment back until `shutdown`, so that answer and FIN leave in one.
    """
    try:
        return sock.send(octets, _SEND)
    except OSError:
        return 0


def end_output(sock: socket.socket) -> None:
    """Send FIN, and with it what MSG_MORE held back. RFC 1288 §2.1: the server closes first."""
    try:  # noqa: SIM105  # suppress() would make an object for each query
        sock.shutdown(_OUTPUT)
    except OSError:  # the peer is gone already
        pass
