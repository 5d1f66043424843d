# SPDX-License-Identifier: MIT
"""Who is logged in on this machine: from logind, or from utmp if there is no logind.

It knows no policy and no layouts. It keeps the list for a short while, and drops it as soon as
systemd says that somebody has logged in or out. It blocks: ask it in a thread.
"""

from __future__ import annotations

import logging
import math
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import NamedTuple

from fingerd_sd.config.mistakes import File
from fingerd_sd.process.systemd import LoginMonitor
from fingerd_sd.process.threads import Pool
from fingerd_sd.protocol.entry import Session
from fingerd_sd.sources.accounts.sessions import logind, utmp
from fingerd_sd.sources.accounts.sessions.logind import LoggedIn
from fingerd_sd.sources.accounts.sessions.moment import moment

log = logging.getLogger(__name__)

LOGIND = "logind"  # as an origin
TIMEOUT = 1.5  # seconds that an answer waits for the list of sessions; then it has none
KEPT = 10.0  # seconds that a list is kept if systemd tells of changes: idle times age
KEPT_UNTOLD = 1.0  # seconds that a list is kept if not
BACK_OFF = 10.0  # seconds without another question after there was no answer
DEVICES = "/dev"
GROUP_WRITE = stat.S_IWGRP  # what mesg(1) sets: write(1) runs as the group of terminals

_TTY = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")  # a name below /dev, and nowhere else

Read = Callable[[], tuple[Sequence[LoggedIn], str]]


class Reader:
    """Asks logind, else utmp. `address`: of the bus, None for the system's; `path`: of utmp.
    `clock`: monotonic seconds.
    """

    def __init__(
        self,
        address: str | None = None,
        path: File = utmp.UTMP,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._path = path
        self._clock = clock
        self._no_logind = ""
        self._quiet_until = -math.inf  # monotonic seconds: a logind that hangs is not waited for

    def __call__(self) -> tuple[Sequence[LoggedIn], str]:
        """Return who is logged in, and where that is from. It blocks, and is called once at a time.

        Raises OSError if it cannot be known.
        """
        if self._clock() >= self._quiet_until:
            try:
                return logind.logged_in(self._address), LOGIND
            except Exception as error:  # dbus-fast and what it imports raise whatever they do
                reason = error.strerror if isinstance(error, OSError) else None
                self._no_logind = f"{LOGIND}: {reason or error or type(error).__name__}"
                self._quiet_until = self._clock() + BACK_OFF
        try:
            records = utmp.logged_in(self._path)
        except OSError as error:
            raise OSError(f"{self._no_logind}; {self._path}: {error.strerror}") from None
        return [LoggedIn(r.user, r.at, r.tty or None, r.host or None) for r in records], str(
            self._path
        )


def complete(seen: Sequence[LoggedIn], now: float, devices: File = DEVICES) -> list[Session]:
    """Return `seen` with what their terminals say, the oldest first. It blocks. `now`: seconds
    since the epoch. As in finger(1), idle is the time since the terminal was last read from.
    """
    sessions = []
    for one in seen:
        since = moment(one.since)
        if since is None:
            continue
        active, messages = one.active, None
        if one.tty and ":" in one.tty:  # a display: there is nothing to write to
            messages = False
        elif device := _device(one.tty, devices):
            messages = bool(device.st_mode & GROUP_WRITE)
            if not one.graphical:
                active = device.st_atime
        idle = None if active is None else 0.0 if active == math.inf else max(0.0, now - active)
        sessions.append(Session(since, one.tty, one.host, idle, messages))
    return sorted(sessions, key=lambda session: (session.since, session.tty or ""))


def _device(tty: str | None, devices: File) -> os.stat_result | None:
    if not tty or not _TTY.fullmatch(tty):
        return None
    try:
        status = os.stat(os.path.join(devices, tty), follow_symlinks=False)
    except OSError:
        return None
    return status if stat.S_ISCHR(status.st_mode) else None


class _Known(NamedTuple):
    seen: Sequence[LoggedIn]
    origin: str
    until: float  # monotonic seconds


class Sessions:
    """The sessions on this machine. `read`: as a Reader. `monitor` makes an object that tells of
    changes, and may raise OSError. `clock`: monotonic seconds; `wall`: seconds since the epoch.

    It is asked in threads, and blocks: for TIMEOUT at the most, and for the terminals, which are in
    memory. The list itself is read in a thread of its own, so that a bus that hangs holds one.
    """

    def __init__(
        self,
        read: Read,
        monitor: Callable[[], LoginMonitor] = LoginMonitor,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._read = read
        self._make_monitor: Callable[[], LoginMonitor] | None = monitor
        self._monitor: LoginMonitor | None = None
        self._clock = clock
        self._wall = wall
        self._pool = Pool(1, "sessions")
        self._lock = threading.Lock()  # of all that follows
        self._known: _Known | None = None
        self._reading: Future[_Known] | None = None
        self._changes = 0
        self._trouble = ""
        self._quiet_until = -math.inf  # monotonic seconds: after a failure

    def of(self, user: str) -> tuple[tuple[Session, ...] | None, str]:
        """Return the sessions of `user`, or None if they cannot be known; and the origin of that,
        or the reason. It never raises for what logind, utmp or a terminal do.
        """
        try:
            known = self._list()
        except OSError as error:
            return None, str(error)
        seen = [one for one in known.seen if one.user == user]
        if not seen:
            return (), f"{known.origin}: not logged in"
        return tuple(complete(seen, self._wall())), f"{known.origin} and the terminals"

    def who(self) -> list[str] | None:
        """Return who is logged in, in no order; None if that cannot be known."""
        try:
            return list({one.user for one in self._list().seen})
        except OSError:
            return None

    def _list(self) -> _Known:
        """Return the list of sessions, the kept one while it is valid. Raises OSError."""
        with self._lock:
            now = self._clock()
            if self._changed():
                self._known = None
                self._changes += 1
            if self._known is not None and now < self._known.until:
                return self._known
            if now < self._quiet_until:
                raise OSError(self._trouble)
            if self._reading is None:
                try:
                    self._reading = self._pool.submit(self._read_list, now, self._changes)
                except RuntimeError as error:  # no thread can be started
                    raise OSError(str(error)) from None
            reading = self._reading
        try:
            return reading.result(TIMEOUT)
        except OSError as error:  # a TimeoutError too: it is one
            trouble = str(error) or "neither logind nor utmp answers in time"
            self._failed(trouble, now)
            raise OSError(trouble) from None

    def _read_list(self, now: float, changes: int) -> _Known:
        try:
            seen, origin = self._read()
        except BaseException:
            with self._lock:
                self._reading = None
            raise
        with self._lock:
            self._reading = None
            self._trouble, self._quiet_until = "", -math.inf
            told = self._monitor is not None and origin == LOGIND
            known = _Known(seen, origin, now + (KEPT if told else KEPT_UNTOLD))
            if changes == self._changes:  # else somebody has come or gone meanwhile
                self._known = known
        return known

    def _failed(self, trouble: str, now: float) -> None:
        with self._lock:
            new, self._trouble = trouble != self._trouble, trouble
            self._quiet_until = now + BACK_OFF
        if new:
            log.warning("Who is logged in cannot be known: %s", trouble)

    def _changed(self) -> bool:
        """Whether systemd tells of a change since the last time."""
        if self._make_monitor is not None:
            with suppress(OSError):  # no systemd here
                self._monitor = self._make_monitor()
            self._make_monitor = None
        return self._monitor is not None and self._monitor.changed()
