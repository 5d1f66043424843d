# SPDX-License-Identifier: MIT
"""The socket of the metrics, beside what the process serves otherwise.

Who scrapes must not keep a client of the other role waiting. So a request is taken and its response
sent by the loop, a few octets at a time, and what lies between is done in one thread. That imports
the HTTP parser and prometheus_client when the first request is there (respond.py), not before. How
much of all this there may be, and how often, is bounded here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from collections.abc import Callable, Collection, Sequence
from typing import Generic

from fingerd_sd.process.served import S, Served
from fingerd_sd.process.threads import Pool
from fingerd_sd.serving.metrics.counts import Figures

log = logging.getLogger(__name__)

MAX_OPEN = 8  # connections at once; more wait in the backlog
MAX_REQUEST = 8192  # octets of a request with its headers
MAX_REST = 65536  # octets that are read and dropped after it
REQUEST_TIME = 2.0  # seconds for a request to come
WHOLE_TIME = 5.0  # seconds for the connection
PACE = 0.05  # seconds from one connection to the next: twenty a second cost next to nothing
LACKING = 1.0  # seconds without accepting while the machine lacks descriptors or memory
LEAVING = 0.25  # seconds that responses under way still get once nobody else waits for the end
# While the thread works, whoever else wants Python's lock gets it after this, in seconds, and not
# after Python's 0.005.
SWITCH = 0.0002

_BARE = "HTTP/1.1 {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LATE = _BARE.format("408 Request Timeout").encode()
TOO_LARGE = _BARE.format("431 Request Header Fields Too Large").encode()
BUSY = _BARE.format("503 Service Unavailable").encode()


class Beside(Generic[S]):
    """Serves the metrics on the sockets `own`, and all else as `served` does; see
    process/served.py. `look()` returns what there is to show, and is called in the loop.

    A scrape counts as activity: who is watched should not leave when idle, since the next scrape
    would only start it anew, without its counts.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        served: Served[S],
        own: Collection[socket.socket],
        look: Callable[[], Figures],
    ) -> None:
        self._loop = loop
        self._served = served
        self._own = own
        self._look = look
        self._pool = Pool(1, "metrics")
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting = False
        self._stopped = False
        self._resumer: asyncio.TimerHandle | None = None
        self._scraped_at = 0.0

    # --- what the other role says ---

    @property
    def on_change(self) -> Callable[[], None] | None:
        """As `served` has it."""
        return self._served.on_change

    @on_change.setter
    def on_change(self, call: Callable[[], None] | None) -> None:
        self._served.on_change = call

    @property
    def open(self) -> int:
        """The connections of `served`: a scrape that hangs keeps nothing from leaving."""
        return self._served.open

    @property
    def active_at(self) -> float:
        """When a connection last came or went, in the loop's seconds; see the class."""
        return max(self._served.active_at, self._scraped_at)

    @property
    def counts(self) -> str:
        """As `served` has it."""
        return self._served.counts

    @property
    def trouble(self) -> str:
        """As `served` has it."""
        return self._served.trouble

    def use(self, setup: S) -> None:
        """As `served` does."""
        self._served.use(setup)

    def give_back(self) -> None:
        """As `served` does."""
        self._served.give_back()

    # --- the life ---

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Accept from `listeners`, each for its role."""
        self._served.start([listener for listener in listeners if listener not in self._own])
        for listener in self._own:
            listener.setblocking(False)
        self._resume()

    def stop_accepting(self) -> None:
        """Accept no more connections: new ones wait for the next process."""
        self._served.stop_accepting()
        self._stopped = True
        self._pause()

    async def drain(self) -> None:
        """Return when `served` has no connection open. Scrapes that are open by then get little
        time: clients of the other role wait for the next process.
        """
        await self._served.drain()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LEAVING)

    async def close(self) -> None:
        """End the scrapes that are still open, and close what `served` has open."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._served.close()

    # --- connections ---

    def _pause(self, seconds: float | None = None) -> None:
        """Accept nothing, for so many seconds or until a connection has ended."""
        if self._accepting:
            self._accepting = False
            for listener in self._own:
                self._loop.remove_reader(listener)
        if seconds is not None:
            self._resumer = self._loop.call_later(seconds, self._resume)
        elif self._resumer is not None:
            self._resumer.cancel()
            self._resumer = None

    def _resume(self) -> None:
        self._resumer = None
        if not self._accepting and not self._stopped and len(self._tasks) < MAX_OPEN:
            self._accepting = True
            for listener in self._own:
                self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        if not self._accepting:  # another of the listeners has taken a connection in this turn
            return
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return
        except OSError:
            self._pause(LACKING)
            return
        sock.setblocking(False)
        self._scraped_at = time.monotonic()
        task = self._loop.create_task(self._serve(sock))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        self._pause(PACE)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._scraped_at = time.monotonic()
        if not task.cancelled() and (error := task.exception()) is not None:
            extra = {"event": "INTERNAL_ERROR"}
            log.error("Internal error: %s", error, exc_info=error, extra=extra)
        if self._resumer is None:
            self._resume()

    async def _serve(self, sock: socket.socket) -> None:
        """Serve one request, and close: whatever else comes is no request."""
        with sock:
            try:
                async with asyncio.timeout(WHOLE_TIME):
                    response = await self._response(sock)
                    if response:
                        await self._loop.sock_sendall(sock, response)
                        sock.shutdown(socket.SHUT_WR)
                        await self._drop(sock)
            except (OSError, TimeoutError):  # it has gone, or does not read
                pass

    async def _response(self, sock: socket.socket) -> bytes:
        """Return the response to what comes; b"" if there is no request in it."""
        request = bytearray()
        try:
            async with asyncio.timeout(REQUEST_TIME):
                while b"\r\n\r\n" not in request and b"\n\n" not in request:
                    part = await self._loop.sock_recv(sock, MAX_REQUEST)
                    request += part
                    if not part:
                        return b""
                    if len(request) > MAX_REQUEST:
                        return TOO_LARGE
        except TimeoutError:
            return LATE
        try:
            made = self._pool.submit(_respond, bytes(request), self._look())
        except RuntimeError:  # no thread can be had: TasksMax=, ulimit
            return BUSY
        return await asyncio.wrap_future(made)

    async def _drop(self, sock: socket.socket) -> None:
        """Read what still comes, so that closing does not reset the response away: tcp(7)."""
        left = MAX_REST
        while left > 0 and (part := await self._loop.sock_recv(sock, MAX_REQUEST)):
            left -= len(part)


def _respond(request: bytes, figures: Figures) -> bytes:
    """Return what respond.py does, in the thread of the metrics."""
    every = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        from fingerd_sd.serving.metrics.respond import respond

        return respond(request, figures)
    finally:
        sys.setswitchinterval(every)
