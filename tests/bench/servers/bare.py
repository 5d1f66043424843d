# SPDX-License-Identifier: MIT
"""The least that Python takes for a query: the calls that must be made, and nothing beside them.

The listening socket is descriptor 3. Every query has one answer, whatever it is, and one client's
error ends it all: this is no server, but what one in Python can never be below. An argument `log`:
an entry for each query to journald, always the same.
"""

from __future__ import annotations

import _socket
import os
import select
import sys
from typing import Any

LISTENER = 3
ANSWER = b"Happy and well\r\n"
JOURNAL = "/run/systemd/journal/socket"
ENTRY = b"""MESSAGE=moshez from 127.0.0.1: found
MESSAGE_ID=ac100d73c1444ca5ae881e435305c6ea
PRIORITY=6
SYSLOG_IDENTIFIER=fingerd-sd
FINGER_QUERY=moshez
FINGER_CLIENT=127.0.0.1
FINGER_AUDIENCE=everyone
FINGER_RESULT=found
FINGER_SOURCE=static
FINGER_BYTES=16
FINGER_USEC=9
"""
AT_ONCE = _socket.MSG_DONTWAIT
MORE = _socket.MSG_DONTWAIT | _socket.MSG_MORE


def serve(journal: _socket.socket | None) -> None:
    """Answer for ever."""
    listener: Any = _socket.socket(fileno=LISTENER)
    os.set_blocking(LISTENER, False)
    epoll = select.epoll()
    epoll.register(LISTENER, select.EPOLLIN)
    accept, poll = listener._accept, epoll.poll
    slow: dict[int, _socket.socket] = {}  # by descriptor: nothing has come yet
    while True:
        for ready, _ in poll():
            if ready != LISTENER:
                fd, sock = ready, slow.pop(ready)
            else:
                fd = accept()[0]
                sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM, 0, fd)
            try:
                sock.recv(4096, AT_ONCE)
            except BlockingIOError:
                slow[fd] = sock
                epoll.register(fd, select.EPOLLIN)
                continue
            sock.send(ANSWER, MORE)
            sock.shutdown(_socket.SHUT_WR)
            sock.close()
            if journal is not None:
                try:  # noqa: SIM105  # suppress() would make an object for each query
                    journal.send(ENTRY)
                except BlockingIOError:  # it is dropped, as fingerd-sd does
                    pass


def journald() -> _socket.socket:
    """Return a socket that is connected to journald, and never waits."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK)
    sock.connect(JOURNAL)
    return sock


if __name__ == "__main__":
    serve(journald() if sys.argv[1:] == ["log"] else None)
