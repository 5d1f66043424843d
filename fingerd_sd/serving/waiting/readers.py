# SPDX-License-Identifier: MIT
"""The connections that wait for octets, in an epoll of their own."""

from __future__ import annotations

import asyncio
import select
from typing import Protocol

BATCH = 64  # connections to read from for one wake-up of the loop, as many as it accepts


class Waiting(Protocol):
    """A connection that waits for octets."""

    def broken(self, error: Exception) -> None:
        """End, since `readable` raised `error`."""

    def readable(self) -> None:
        """Take what has come."""


class Readers:
    """The connections that wait for octets, in an epoll of their own that the loop watches. Adding
    a reader to the loop itself takes longer than answering, and more memory than the connection.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._waiting: dict[int, Waiting] = {}  # by descriptor
        loop.add_reader(self._epoll.fileno(), self._wake)

    def add(self, fd: int, connection: Waiting) -> None:
        """Call `connection.readable` while there is something to read."""
        self._waiting[fd] = connection
        self._epoll.register(fd, select.EPOLLIN)

    def remove(self, fd: int) -> None:
        """Leave the connection alone."""
        del self._waiting[fd]
        self._epoll.unregister(fd)

    def forget(self, fd: int) -> None:
        """The same for a socket that is about to be closed, which takes it out: epoll(7)."""
        del self._waiting[fd]

    def _wake(self) -> None:
        for fd, _ in self._epoll.poll(0, BATCH):
            connection = self._waiting.get(fd)
            if connection is not None:
                try:
                    connection.readable()
                except Exception as error:  # a bug: the others go on
                    connection.broken(error)
