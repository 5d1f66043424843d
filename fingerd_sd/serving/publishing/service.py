# SPDX-License-Identifier: MIT
"""The keeper as a service: the socket on which users publish, under the life of process/life.py.

A connection is taken and counted in one step, like the server's of port 79, so that leaving when
idle loses nobody. Each has one request, and a task.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from fingerd_sd.config.mistakes import Mistake
from fingerd_sd.serving.publishing.keeper import Keeper, Rules
from fingerd_sd.serving.publishing.tally import LONGEST
from fingerd_sd.serving.publishing.views import Seen
from fingerd_sd.serving.publishing.wire import TOO_MANY, Refused, longest, refusal
from fingerd_sd.serving.publishing.writing.choosing import chosen, move
from fingerd_sd.sources.published.source import FOLDER

if TYPE_CHECKING:
    from fingerd_sd.store.server import Server

log = logging.getLogger(__name__)

MAX_OPEN = 64  # connections at once; more wait in the backlog
MAX_PER_USER = 8  # of them of one user
REQUEST_TIME = 10.0  # seconds for a whole request, and again for the response to be taken
HEAL_EVERY = 2.0  # seconds between two looks whether a store can be asked again
LOOK_EVERY = 3600.0  # seconds between two thoughts of looking for accounts that are gone
_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid: unix(7), SO_PEERCRED


class Setup(NamedTuple):
    """One reading of the configuration. `idle_exit`: seconds, 0 for never. `server`: the store that
    hosts share; None: what is published stays here, in a file.
    """

    rules: Rules
    seen: Seen
    idle_exit: float
    warnings: tuple[Mistake, ...] = ()
    server: Server | None = None


class Publishing:
    """Serves the keeper by `setup`; see process/served.py. `state`: the folder of the file."""

    def __init__(self, loop: asyncio.AbstractEventLoop, setup: Setup, state: str = FOLDER) -> None:
        self.on_change: Callable[[], None] | None = None
        self.active_at = loop.time()
        self._loop = loop
        self._state = state
        self._shared = setup.server is not None
        self._keeper = Keeper(setup.rules, setup.seen, chosen(self._state, setup.server))
        self._listeners: Sequence[socket.socket] = ()
        self._accepting = False
        self._stopped = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._per_user: Counter[int] = Counter()
        self._looking: asyncio.Task[None] | None = None
        self._healing: asyncio.Task[None] | None = None
        self._again = asyncio.Event()  # look at once
        self._leaving: set[asyncio.Task[None]] = set()  # what closes what is no longer used

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._tasks)

    @property
    def counts(self) -> str:
        """What users have asked so far."""
        told = (f"{count} {what}" for what, count in self._keeper.counts.items() if count)
        return ", ".join(told) or "nothing published yet"

    @property
    def trouble(self) -> str:
        """Why nothing can be stored; "" where all is well."""
        return self._keeper.trouble

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Accept from `listeners`, open the file, and look for accounts that are gone."""
        self._listeners = listeners
        for listener in listeners:
            listener.setblocking(False)
        self._looking = self._loop.create_task(self._look())
        self._looking.add_done_callback(_tell_bug)
        self._resume()

    def use(self, setup: Setup) -> None:
        """Go by `setup` from now on. What requests under way still use is closed behind them."""
        keeper = self._keeper
        closes = [keeper.seen.directory.close]
        if self._shared or setup.server is not None:
            closes.append(keeper.writing.close)
            keeper.writing = chosen(self._state, setup.server)
            self._shared = setup.server is not None
        keeper.rules, keeper.seen = setup.rules, setup.seen
        leaving = self._loop.create_task(_leave(set(self._tasks), closes))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        leaving.add_done_callback(_tell_bug)

    def give_back(self) -> None:
        """Nothing is kept."""

    def stop_accepting(self) -> None:
        """Accept no more connections: new ones wait for the next process."""
        self._stopped = True
        self._pause()

    async def drain(self) -> None:
        """Return when no connection is open."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Close the file and the sources."""
        for task in (*self._tasks, *filter(None, [self._looking, self._healing])):
            task.cancel()
        if self._leaving:
            await asyncio.wait(self._leaving)
        await self._keeper.seen.directory.close()
        await self._keeper.close()

    # --- connections ---

    async def _look(self) -> None:
        """Bring to a store what is in a file, and look for accounts that are gone. NSS may hang."""
        while True:
            self._again.clear()
            with suppress(Refused):  # which is logged
                await move(self._state, self._keeper.writing)
                await self._keeper.sweep()
            self._changed()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._again.wait(), LOOK_EVERY)

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            for listener in self._listeners:
                self._loop.remove_reader(listener)

    def _resume(self) -> None:
        if not self._accepting and not self._stopped and len(self._tasks) < MAX_OPEN:
            self._accepting = True
            for listener in self._listeners:
                self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:  # nothing waits any more, or descriptors are short: look again later
            self._pause()
            self._loop.call_later(0.25, self._resume)
            return
        sock.setblocking(False)
        self._spawn(self._serve(sock))
        if len(self._tasks) >= MAX_OPEN:
            self._pause()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self.active_at = time.monotonic()
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.active_at = time.monotonic()
        _tell_bug(task)
        self._changed()
        self._resume()

    async def _heal(self) -> None:
        """Say when the store can be asked again, and look once more."""
        while self._keeper.trouble:
            await asyncio.sleep(HEAL_EVERY)
        self._healing = None
        self._again.set()
        self._changed()

    def _changed(self) -> None:
        if self._shared and self._keeper.trouble and self._healing is None:
            self._healing = self._loop.create_task(self._heal())
            self._healing.add_done_callback(_tell_bug)
        tell, self.on_change = self.on_change, None
        if tell is not None:
            tell()

    async def _serve(self, sock: socket.socket) -> None:
        with sock:
            octets = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            _, uid, _ = _CREDENTIALS.unpack(octets)
            self._per_user[uid] += 1
            try:
                response = await self._response(sock, uid)
                if response:
                    async with asyncio.timeout(REQUEST_TIME):
                        await self._loop.sock_sendall(sock, response)
            except (OSError, TimeoutError):  # the user has gone, or does not read
                pass
            finally:
                self._per_user[uid] -= 1
                if not self._per_user[uid]:
                    del self._per_user[uid]

    async def _response(self, sock: socket.socket, uid: int) -> bytes:
        """Return the response to what comes; b"" if nothing whole comes in time."""
        if self._per_user[uid] > MAX_PER_USER:
            say = f"you have {MAX_PER_USER} requests open already: try again later"
            return refusal(Refused(TOO_MANY, say))
        rules = self._keeper.rules
        most = LONGEST if uid == rules.server_uid else longest(rules.limits.max_size)
        octets = bytearray()
        async with asyncio.timeout(REQUEST_TIME):
            while not octets.endswith(b"\n"):
                part = await self._loop.sock_recv(sock, 65536)
                if not part:
                    break
                octets += part
                if len(octets) > most:
                    return await self._keeper.too_large(uid)
        return await self._keeper.answer(uid, bytes(octets)) if octets.strip() else b""


async def _leave(
    tasks: set[asyncio.Task[None]], closes: Sequence[Callable[[], Awaitable[None]]]
) -> None:
    """Close what only `tasks` may still use, when they are done."""
    if tasks:
        await asyncio.wait(tasks)
    for close in closes:
        await close()


def _tell_bug(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        extra = {"event": "INTERNAL_ERROR"}
        log.error("Internal error: %s", error, exc_info=error, extra=extra)
