# SPDX-License-Identifier: MIT
"""The event loop: asyncio's own, which looks at the listening sockets without a turn of it.

A turn of asyncio's loop takes as many instructions as the rest of a kept answer. So the loop waits
in an epoll around its own, with the listening sockets in it (the doors), and calls who accepts
from there. It takes a turn when something else is there for it: another descriptor (signals and
calls from threads come by one too), a timer that is due, or a call that was scheduled meanwhile.
"""

from __future__ import annotations

import asyncio
import select
import selectors
import time
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple, Unpack

Ts = TypeVarTuple("Ts")

ROUND = 64  # descriptors looked at between two looks at the clock


class Doors(selectors.EpollSelector):
    """Waits for asyncio's descriptors, and meanwhile calls whom a door has. `failed` gets what such
    a call raises. `stay`: whether nothing has come since the last turn that the loop must see to.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        super().__init__()
        self.stay = False
        self._failed = failed
        self._calls: dict[int, Callable[[], None]] = {}  # by descriptor
        self._around = select.epoll()
        self._around.register(self.fileno(), select.EPOLLIN)

    def open(self, fd: int, call: Callable[[], None]) -> None:
        """Call `call` while a connection waits at `fd`. It need not take all that wait."""
        self._calls[fd] = call
        self._around.register(fd, select.EPOLLIN)

    def shut(self, fd: int) -> None:
        """Leave the connections at `fd` waiting."""
        del self._calls[fd]
        self._around.unregister(fd)

    def close(self) -> None:
        """Forget all descriptors; selectors.BaseSelector.close."""
        self._around.close()
        super().close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready for the loop, in at most `timeout` seconds; 0: without waiting."""
        calls = self._calls
        if not calls:
            return super().select(timeout)
        poll, left = self._around.poll, timeout
        until = None if timeout is None else time.monotonic() + timeout
        self.stay = timeout is None or timeout > 0
        while True:
            others = False
            for fd, _ in poll(left, ROUND):
                call = calls.get(fd)
                if call is None:  # the loop's own epoll, or a door that this round has shut
                    others = True
                    continue
                try:
                    call()
                except Exception as error:  # a bug: the others go on
                    self._failed(error)
            if others:
                return super().select(0)
            if not self.stay:
                return []
            if until is not None:
                left = until - time.monotonic()
                if left <= 0:
                    return []


class Loop(asyncio.SelectorEventLoop):
    """asyncio's loop with `doors`."""

    def __init__(self) -> None:
        self.doors = Doors(self._failed)
        super().__init__(self.doors)

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Call in the next turn, which is to come at once; asyncio.loop.call_soon."""
        self.doors.stay = False
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call at `when`, for which the loop must wait less; asyncio.loop.call_at."""
        self.doors.stay = False
        return super().call_at(when, callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call in `delay` seconds; asyncio.loop.call_later, which need not be made of call_at."""
        self.doors.stay = False
        return super().call_later(delay, callback, *args, context=context)

    def _failed(self, error: Exception) -> None:
        self.call_exception_handler({"message": "Accepting failed", "exception": error})
