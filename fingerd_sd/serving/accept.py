# SPDX-License-Identifier: MIT
"""Accepts connections from listening sockets, in a loop of its own on the event loop's reader.

This module never shuts down or listens on a listening socket: systemd owns it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence

from fingerd_sd.serving.sockets import Taker, taker

log = logging.getLogger(__name__)

BATCH = 64  # accepts for one wake-up: more would starve slow clients and the watchdog
PAUSE = 0.25  # seconds without accepting while the machine lacks descriptors or memory
PAUSE_TOLD = 60.0  # least seconds between two log entries about that
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Hands each connection and its peer's address to `serve`. If `is_full()`, it waits until
    `resume` is called. `open`: how many connections are open, for the log. `changed` is called
    when `paused` has changed.

    `paused`: why nothing can be accepted now; "" if it can.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        serve: Callable[[socket.socket, str], None],
        is_full: Callable[[], bool],
        open_now: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self.paused = ""
        self._loop = loop
        self._serve = serve
        self._is_full = is_full
        self._open_now = open_now
        self._changed = changed
        self._listeners: list[socket.socket] = []
        self._accepting = False
        self._stopped = False
        self._resumer: asyncio.TimerHandle | None = None
        self._pause_told = -PAUSE_TOLD  # monotonic seconds

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Accept from `listeners`: listening stream sockets, which are made non-blocking."""
        for listener in listeners:
            listener.setblocking(False)
            self._listeners.append(listener)
        self._resume()

    def stop(self) -> None:
        """Accept no more connections: new ones wait in the backlog for the next process."""
        self._stopped = True
        self._pause()

    def resume(self) -> None:
        """Accept again if accepting has waited for a connection to end."""
        if self._resumer is None:
            self._resume()

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            for listener in self._listeners:
                self._loop.remove_reader(listener)

    def _resume(self) -> None:
        if self._resumer is not None:
            self._resumer.cancel()
            self._resumer = None
        if not self._accepting and not self._stopped:
            self._accepting = True
            for listener in self._listeners:
                self._loop.add_reader(listener, self._accept, taker(listener))

    def _accept(self, take: Taker) -> None:
        """Accept what waits at a listening socket, at most BATCH connections."""
        for _ in range(BATCH):
            if self._is_full():
                self._pause()  # until one is closed
                return
            try:
                sock, peer = take()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._out_of(error)
                    return
                continue  # that connection failed before it was taken: accept(2)
            if self.paused:
                self.paused = ""
            self._serve(sock, peer)

    def _out_of(self, error: OSError) -> None:
        """Pause, since accepting again at once would spin. New connections wait in the backlog."""
        self.paused = f"accepting is paused: {error.strerror}"
        now = self._loop.time()
        if now >= self._pause_told + PAUSE_TOLD:
            self._pause_told = now
            log.warning(
                "Accepting is paused until descriptors or memory are free: %s; %d connections are"
                " open",
                error.strerror,
                self._open_now(),
                extra={"event": "ACCEPT_PAUSED"},
            )
        self._changed()
        self._pause()
        self._resumer = self._loop.call_later(PAUSE, self._resume)
