# SPDX-License-Identifier: MIT
"""Taking a connection from a listening socket, as cheaply as this Python can."""

from __future__ import annotations

import _socket  # not socket: see serving/finger/first.py
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import socket

# Accepts one connection; returns it and its peer's address as text, "" on AF_UNIX.
Taker: TypeAlias = "Callable[[], tuple[socket.socket, str]]"


def taker(listener: socket.socket) -> Taker:
    """Return the function that accepts from `listener`.

    `socket.accept` spends as long on enumerations and names as the kernel on the connection. So the
    function below it is used if this Python has it; its sockets lack `makefile` and `with`.
    """
    accept: Callable[[], tuple[int, Any]] | None = getattr(listener, "_accept", None)
    is_unix = listener.family == _socket.AF_UNIX
    family, kind, proto = int(listener.family), int(listener.type), listener.proto

    def take() -> tuple[socket.socket, str]:
        sock: Any  # a socket.socket, or the type below it
        if accept is None:
            sock, address = listener.accept()
        else:
            fd, address = accept()
            sock = _socket.SocketType(family, kind, proto, fd)
        return sock, "" if is_unix else address[0]

    return take
