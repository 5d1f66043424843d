# SPDX-License-Identifier: MIT
"""The life of the process: ready → reload → watchdog → idle exit → stopping.

It owns the signals and the messages to systemd, in the order in which they happen. What to serve,
and by which rules, it gets whole from its caller.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic

from fingerd_sd.config.mistakes import ConfigError
from fingerd_sd.process.log.journal import Journal
from fingerd_sd.process.served import S, Served
from fingerd_sd.process.systemd import Notifier, names_of
from fingerd_sd.process.threads import Pool
from fingerd_sd.protocol.text import one_line

if TYPE_CHECKING:
    from fingerd_sd.process.pressure import Pressure

log = logging.getLogger(__name__)

STATUS_EVERY = 2.0  # least seconds between two STATUS=: a message takes 0.2 ms
STATUS_LENGTH = 900  # characters: systemd takes no message of more than 4,096 octets
ALIVE = "WATCHDOG=1"
RETRY = 0.25  # seconds until a message that systemd did not take is sent again
EXTEND_EVERY = 1.0  # seconds between two requests for more time to stop
EXTEND_BY = 5_000_000  # microseconds asked for each time


class Service(Generic[S]):
    """Serves `listeners` until it is told to stop, or nobody has called for `idle_exit` seconds.

    `serve` makes the server from the first `setup`. `load` reads the configuration anew and raises
    ConfigError if it cannot be used. `may_idle_out`: whether systemd holds the sockets and starts
    the process again. `watchdog`: seconds between two pings. `pressure`: that of memory.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        serve: Callable[[asyncio.AbstractEventLoop, S], Served[S]],
        setup: S,
        load: Callable[[], S],
        notifier: Notifier,
        journal: Journal,
        may_idle_out: bool,
        watchdog: float | None,
        pressure: Pressure | None = None,
    ) -> None:
        self._listeners = listeners
        self._serve = serve
        self._setup = setup
        self._load = load
        self._notifier = notifier
        self._journal = journal
        self._may_idle_out = may_idle_out
        self._watchdog = watchdog
        self._pressure = pressure
        self._trouble = ""  # why the configuration on disk is not the one in use
        self._stop = asyncio.Event()
        self._stop_at_once = asyncio.Event()
        self._why = ""
        self._reloading: asyncio.Task[None] | None = None
        self._reload_again = False
        self._idle_timer: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._dropped_told = 0

    async def run(self) -> None:
        """Serve; return when every connection that was taken has its answer."""
        loop = self._loop = asyncio.get_running_loop()
        self._served = self._serve(loop, self._setup)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop, signal.Signals(number).name)
        loop.add_signal_handler(signal.SIGHUP, self._told_to_reload)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # who took clients before has blocked these
        self._served.start(self._listeners)
        self._ping()
        self._notify("READY=1", self._status())
        self._await_change()
        if self._pressure is not None:
            calls = self._served.give_back, self._journal.give_back, self._tell_status
            self._pressure.watch(loop, *calls)
        # First look at the clients that wait: else a slow start would exit without serving.
        self._idle_timer = loop.call_later(0, self._watch_idle)
        log.info("Serving %s", names_of(self._listeners), extra={"event": "STARTED"})
        self._warn(self._setup)
        await self._stop.wait()
        await self._leave()

    # --- the end ---

    def _told_to_stop(self, why: str) -> None:
        if self._stop.is_set():
            self._stop_at_once.set()  # a second Ctrl-C does not wait for anybody
        self._why = why
        self._stop.set()

    async def _leave(self) -> None:
        self._served.stop_accepting()
        self._notify("STOPPING=1", self._status())
        extender = asyncio.create_task(self._ask_for_time())
        drained = asyncio.create_task(self._served.drain())
        hurried = asyncio.create_task(self._stop_at_once.wait())
        await asyncio.wait({drained, hurried}, return_when=asyncio.FIRST_COMPLETED)
        await self._served.close()
        for task in (extender, drained, hurried):
            task.cancel()
        log.info("Stopped: %s; %s", self._why, self._counts(), extra={"event": "STOPPED"})

    async def _ask_for_time(self) -> None:
        """Keep systemd from killing a drain that takes long: sd_notify(3), EXTEND_TIMEOUT_USEC."""
        while True:
            await asyncio.sleep(EXTEND_EVERY)
            self._notify(f"EXTEND_TIMEOUT_USEC={EXTEND_BY}", self._status())

    def _watch_idle(self) -> None:
        """Stop if no connection was open for `idle_exit` seconds; else look again when it is time.

        Nothing is lost: the step that accepts a connection counts it, and connections that come
        after the listeners have left the loop wait for the next process.
        """
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        idle_exit = self._setup.idle_exit
        if not self._may_idle_out or not idle_exit or self._stop.is_set():
            return
        since = self._loop.time() if self._served.open else self._served.active_at
        left = since + idle_exit - self._loop.time()
        if left > 0:
            self._idle_timer = self._loop.call_later(left, self._watch_idle)
        else:
            self._served.stop_accepting()
            self._why = f"nobody called for {idle_exit:g} s"
            self._stop.set()

    # --- the configuration ---

    def _told_to_reload(self) -> None:
        if self._stop.is_set():
            return
        if self._reloading is not None:
            self._reload_again = True
            return
        # In one message: systemd.service(5), Type=notify-reload.
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notify("RELOADING=1", f"MONOTONIC_USEC={usec}")
        self._reloading = self._loop.create_task(self._reload())

    async def _reload(self) -> None:
        """Read the configuration in a thread, since a directory may be large. Use it, or say why
        not and keep the old one.
        """
        try:
            setup = await asyncio.wrap_future(Pool(1, "reload").submit(self._load))
        except ConfigError as error:
            more = f" (and {len(error.mistakes) - 1} more)" if len(error.mistakes) > 1 else ""
            self._trouble = f"{error.mistakes[0]}{more}"
            for mistake in error.mistakes:
                log.error(
                    "Not reloaded, the old configuration stays: %s",
                    mistake,
                    extra={"event": "RELOAD_FAILED"},
                )
        except Exception as error:  # a third party's source, most likely
            self._trouble = str(error)
            log.error(
                "Not reloaded, the old configuration stays: %s",
                error,
                exc_info=error,
                extra={"event": "RELOAD_FAILED"},
            )
        else:
            self._trouble = ""
            self._use(setup)
        self._reloading = None
        if self._stop.is_set():
            return  # STOPPING=1 has been said, or is about to be
        if self._reload_again:
            self._reload_again = False
            self._told_to_reload()
        else:
            self._notify("READY=1", self._status())

    def _use(self, setup: S) -> None:
        self._setup = setup
        self._served.use(setup)
        self._watch_idle()
        log.info("Reloaded the configuration", extra={"event": "RELOADED"})
        self._warn(setup)

    def _warn(self, setup: S) -> None:
        for warning in setup.warnings:
            log.warning("%s", warning, extra={"event": "CONFIG_WARNING"})

    # --- messages to systemd meanwhile ---

    def _notify(self, *assignments: str) -> None:
        """Tell systemd; if it does not read now, tell it the state of then a moment later."""
        if not self._notifier.tell(*assignments) and self._retry is None:
            self._retry = self._loop.call_later(RETRY, self._notify_again)

    def _notify_again(self) -> None:
        self._retry = None
        self._notify(ALIVE, self._status())

    def _ping(self) -> None:
        """Feed the watchdog from the loop itself, so that a loop that hangs is noticed."""
        if self._watchdog is not None:
            self._notify(ALIVE)
            self._loop.call_later(self._watchdog, self._ping)

    def _await_change(self) -> None:
        if self._notifier.heard:
            self._served.on_change = self._changed

    def _changed(self) -> None:
        self._loop.call_later(STATUS_EVERY, self._tell_status)

    def _tell_status(self) -> None:
        dropped = self._journal.dropped
        if dropped > self._dropped_told:
            log.warning(
                "%d log entries were dropped: journald did not take them",
                dropped - self._dropped_told,
                extra={"event": "LOG_DROPPED"},
            )
            if self._journal.dropped == dropped:  # else this entry was dropped too
                self._dropped_told = dropped
        self._notify(self._status())
        self._await_change()

    def _status(self) -> str:
        trouble = f"; old configuration in use: {self._trouble}" if self._trouble else ""
        unwell = f"; {self._served.trouble}" if self._served.trouble else ""
        return f"STATUS={one_line(f'{self._counts()}{trouble}{unwell}', STATUS_LENGTH)}"

    def _counts(self) -> str:
        lost = f"; {self._journal.dropped} log entries dropped" if self._journal.dropped else ""
        given = f"; {self._pressure.told}" if self._pressure and self._pressure.times else ""
        return f"{self._served.counts}, {self._served.open} connections open{given}{lost}"
