# SPDX-License-Identifier: MIT
"""Accepts connections from listening sockets, when the event loop says that some wait there.

A wake-up takes as long as a query: the kernel wakes a process whose code and data the processor's
caches may no longer have. So while very many come, the next ones are left to gather for a moment,
as the driver of a network card leaves packets (interrupt moderation).

This module never shuts down or listens on a listening socket: systemd owns it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable, Sequence, Sized
from functools import partial

from fingerd_sd.serving.waiting.bursts import Burst, nothing
from fingerd_sd.serving.waiting.loop import Loop
from fingerd_sd.serving.waiting.taking import Taker, taker

log = logging.getLogger(__name__)

BATCH = 64  # accepts for one wake-up: more would starve slow clients and the watchdog
# An accept that finds nobody takes as many instructions as three wake-ups. So one is taken for a
# wake-up, and only now and then as many as there are.
PROBE = 256  # wake-ups from one such look to the next; a lone client waits after one in so many
RUSH = 1e-4  # seconds from one wake-up to the next, below which it may be worth waiting for others
GATHER = 1e-4  # seconds that others get to come; the kernel's timer adds half of that
SEVERAL = 2  # connections that must gather in that time, or there is no crowd
ENOUGH = 16  # connections at one look: there is no need to wait for more
LOOKS = 4  # how often others may gather for one wake-up
PAUSE = 0.25  # seconds without accepting while the machine lacks descriptors or memory
PAUSE_TOLD = 60.0  # least seconds between two log entries about that
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Pace:
    """How a listening socket is looked at. `until`: wake-ups until the acceptor looks. `looked`:
    when it did, in monotonic seconds. `crowd`: whether others gathered then.
    """

    __slots__ = ("crowd", "looked", "until")

    def __init__(self) -> None:
        self.until = PROBE
        self.looked = 0.0
        self.crowd = False


class Acceptor:
    """Hands each connection and its peer's address to `serve`. `held`: the connections that are
    open. If `is_full()`, which is only asked while there are some, it waits until `resume` is
    called. `changed` is called when `paused` has changed.
    `burst`: see Burst.

    `paused`: why nothing can be accepted now; "" if it can.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        serve: Callable[[socket.socket, str], None],
        held: Sized,
        is_full: Callable[[], bool],
        changed: Callable[[], None],
        burst: Burst = nothing,
    ) -> None:
        self.paused = ""
        self._loop = loop
        self._serve = serve
        self._is_full = is_full
        self._held = held
        self._changed = changed
        self._burst = burst
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
                if isinstance(self._loop, Loop):
                    self._loop.doors.shut(listener.fileno())
                else:
                    self._loop.remove_reader(listener)

    def _resume(self) -> None:
        if self._resumer is not None:
            self._resumer.cancel()
            self._resumer = None
        if not self._accepting and not self._stopped:
            self._accepting = True
            for listener in self._listeners:
                call = partial(self._accept, taker(listener), Pace())
                if isinstance(self._loop, Loop):
                    self._loop.doors.open(listener.fileno(), call)
                else:
                    self._loop.add_reader(listener, call)

    def _accept(self, take: Taker, pace: Pace) -> None:
        """Accept what waits at a listening socket: one connection, or at most BATCH."""
        pace.until -= 1
        if pace.until > 0:
            self._take_one(take)
            return
        looks = 0  # how often others gather
        if time.monotonic() - pace.looked < PROBE * RUSH:
            looks = LOOKS if pace.crowd else 1
        self._burst(True)
        try:
            pace.crowd = self._take_crowd(take, looks)
        finally:
            self._burst(False)
        pace.until = 1 if pace.crowd else PROBE
        pace.looked = time.monotonic()

    def _take_crowd(self, take: Taker, looks: int) -> bool:
        """Accept those who wait, and `looks` times those who have gathered meanwhile, BATCH of them
        at most. Return whether there are so many that it is worth looking again.
        """
        taken = waited = last = self._take_all(take, BATCH)
        for _ in range(looks):
            if taken == BATCH or not self._accepting:
                break
            if last < ENOUGH:
                time.sleep(GATHER)
            last = self._take_all(take, BATCH - taken)
            taken += last
        gathered = taken - waited if looks else waited
        return taken == BATCH or gathered >= SEVERAL * max(1, looks)

    def _take_all(self, take: Taker, most: int) -> int:
        """Accept those who wait now, `most` of them at most; return how many that were."""
        taken = 0
        while taken < most and self._take_one(take):
            taken += 1
        return taken

    def _take_one(self, take: Taker) -> bool:
        """Accept and serve one connection. False: there is none, or it must wait."""
        if self._held and self._is_full():
            self._pause()  # until one is closed
            return False
        try:
            sock, peer = take()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._out_of(error)
                return False
            return True  # that connection failed before it was taken: accept(2)
        if self.paused:
            self.paused = ""
        self._serve(sock, peer)
        return True

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
                len(self._held),
                extra={"event": "ACCEPT_PAUSED"},
            )
        self._changed()
        self._pause()
        self._resumer = self._loop.call_later(PAUSE, self._resume)
