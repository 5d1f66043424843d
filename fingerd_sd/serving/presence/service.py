# SPDX-License-Identifier: MIT
"""The role presence: it tells the store who is logged in here, when logind says that this changed,
and every 30 s.

It has no sockets, and nobody asks it anything. While the store is down it goes on trying.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from fingerd_sd.config.mistakes import Mistake
from fingerd_sd.config.store import StoreKeys
from fingerd_sd.process.systemd import LoginMonitor
from fingerd_sd.process.threads import Pool
from fingerd_sd.serving.presence.reading import sessions_here
from fingerd_sd.store.errors import StoreError
from fingerd_sd.store.master.fit import looking
from fingerd_sd.store.presence.telling import EXPIRY, leave, tell
from fingerd_sd.store.presence.told import Told
from fingerd_sd.store.server import Server

if TYPE_CHECKING:
    import socket

log = logging.getLogger(__name__)

EVERY = 30.0  # seconds between two tellings when nothing changes: two may fail before all expires
AGAIN = 2.0  # seconds between two tries while it fails
SETTLE = 0.2  # seconds that a change is waited out: a login makes several
READING = 10.0  # seconds that logind, or NSS, may take


class Setup(NamedTuple):
    """Where to tell it, and what this host is called. `expiry`: seconds until what was told is
    forgotten.
    """

    keys: StoreKeys
    host: str
    warnings: tuple[Mistake, ...] = ()
    expiry: int = EXPIRY
    idle_exit: float = 0.0


class Presence:
    """Tells by `setup`. `read`: returns the sessions, in a thread. `monitor`: makes an object that
    tells of changes, and may raise OSError. A `Served`.
    """

    open = 0  # connections

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        setup: Setup,
        read: Callable[[], list[Told]] = sessions_here,
        monitor: Callable[[], LoginMonitor] = LoginMonitor,
    ) -> None:
        self.on_change: Callable[[], None] | None = None
        self.active_at = loop.time()
        self.trouble = ""
        self._loop = loop
        self._setup = setup
        self._read = read
        self._make_monitor = monitor
        self._pool = Pool(1, "presence")
        self._server = _server(setup.keys)
        self._changed = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None
        self._told: int | None = None  # sessions that the store has of this host
        self._times = 0

    @property
    def counts(self) -> str:
        """What the store knows of this host, in words."""
        if self._told is None:
            return f"the store knows nothing of {self._setup.host}"
        return f"{self._told} sessions on {self._setup.host}, told {self._times} times"

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Begin to tell; there are no `listeners`."""
        self._watch()
        self._telling = self._loop.create_task(self._go_on(self._setup, self._server))

    def use(self, setup: Setup) -> None:
        """Tell by `setup` from now on."""
        before, self._setup = self._setup, setup
        if (before.keys, before.host) == (setup.keys, setup.host) or self._telling is None:
            return
        old, self._server = self._server, _server(setup.keys)
        old_telling, self._told = self._telling, None

        async def change() -> None:
            await self._end(old_telling, before, old)
            await self._go_on(setup, self._server)

        self._telling = self._loop.create_task(change())

    def give_back(self) -> None:
        """Keep all: there is nothing that could be had again."""

    def stop_accepting(self) -> None:
        """Do nothing: nobody calls."""

    async def drain(self) -> None:
        """Return at once: nobody waits."""

    async def close(self) -> None:
        """Take back what was told, as far as the store can be asked, and end."""
        if self._telling is not None:
            await self._end(self._telling, self._setup, self._server)

    def _watch(self) -> None:
        """Hear of logins, where there is a logind; else every telling looks."""
        try:
            monitor = self._make_monitor()
        except OSError as error:
            log.warning("Logins are noticed every %g s only: %s", EVERY, error)
            return

        def heard() -> None:
            if monitor.changed():
                self._changed.set()

        self._loop.add_reader(monitor.fileno(), heard)

    async def _end(self, telling: asyncio.Task[None], setup: Setup, server: Server) -> None:
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling
        try:
            await leave(server, setup.host)
        except StoreError as error:
            log.warning("Not taken back, so it expires after %d s: %s", setup.expiry, error)
        await server.close()

    async def _go_on(self, setup: Setup, server: Server) -> None:
        while True:
            self._changed.clear()
            well = await self._tell(setup, server)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY if well else AGAIN):
                    await self._changed.wait()
            await asyncio.sleep(SETTLE)

    async def _tell(self, setup: Setup, server: Server) -> bool:
        """Tell the store who is here; return whether it knows now."""
        told = self._told
        try:
            async with asyncio.timeout(READING):
                sessions = await asyncio.wrap_future(self._pool.submit(self._read))
            await tell(server, setup.host, sessions, setup.expiry)
        except StoreError as error:
            self._fail(str(error), error.told)
        except OSError as error:  # a TimeoutError too: it is one
            why = str(error) or "no answer in time"
            self._fail(f"who is logged in here cannot be known: {why}", told=False)
        except Exception as error:  # a bug: it must not end the telling
            log.error(
                "Internal error: %s", error, exc_info=error, extra={"event": "INTERNAL_ERROR"}
            )
            self._fail(f"internal error: {error}", told=True)
        else:
            self._told, self._times = len(sessions), self._times + 1
            if self.trouble:
                self.trouble = ""
                log.info("The store knows again who is logged in here")
        self.active_at = self._loop.time()
        if self.on_change is not None and (self.trouble or told != self._told):
            call, self.on_change = self.on_change, None
            call()
        return not self.trouble

    def _fail(self, why: str, told: bool) -> None:
        """Remember why the store does not know; log that once, if the journal has not got it."""
        if why != self.trouble and not told:
            log.error("%s", why, extra={"event": "STORE_FAILS"})
        self.trouble = why


def _server(keys: StoreKeys) -> Server:
    """Return the store at `keys`; the journal will have what is wrong with it."""
    server = Server(keys)
    server.look = looking("tell")
    return server
