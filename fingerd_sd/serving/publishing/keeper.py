# SPDX-License-Identifier: MIT
"""The keeper: a request of a user, whom the kernel names, in; what was done of it, out.

It knows no sockets. It blocks on NSS and on the disk, so that threads call it: one writes, and
another asks NSS.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import pwd
import sqlite3
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.process.threads import Pool
from fingerd_sd.protocol.links import told
from fingerd_sd.serving.publishing import tally
from fingerd_sd.serving.publishing.views import Seen, views
from fingerd_sd.serving.publishing.wire import (
    FULL,
    LINKS,
    NOT_ALLOWED,
    NOT_STORED,
    TOO_LARGE,
    Refused,
    Request,
    refusal,
    request,
    well,
)
from fingerd_sd.serving.publishing.writing import Writer
from fingerd_sd.sources.published.source import FOLDER
from fingerd_sd.sources.published.store import Row, links_of

T = TypeVar("T")

log = logging.getLogger(__name__)

NSS_TIMEOUT = 10.0  # seconds to learn who a user is


class Rules(NamedTuple):
    """What the keeper goes by: `[publish]`, the uids that may publish, both included, and the one
    that tells who asked, which is finger.service's; None: nobody.
    """

    limits: PublishKeys
    min_uid: int = 1000
    max_uid: int = 60000
    server_uid: int | None = None


class Keeper:
    """Keeps what users publish in the folder `state`. `seen`: how it is shown."""

    def __init__(self, rules: Rules, seen: Seen, state: str = FOLDER) -> None:
        self.rules = rules
        self.seen = seen
        self.trouble = ""  # why nothing can be stored; "" where all is well
        self.counts = dict.fromkeys(("published", "removed", "shown", "refused"), 0)
        self._state = state
        self._writer: Writer | None = None
        self._writes = Pool(1, "keeper")
        self._asks = Pool(4, "accounts")
        self._looks = Pool(1, "gone")  # for all accounts, which may take long

    async def answer(self, uid: int, octets: bytes) -> bytes:
        """Return the response to a request by the user `uid`. It never raises for what a user, NSS
        or the disk does.
        """
        login = f"uid {uid}"
        try:
            if uid == self.rules.server_uid and (counts := tally.told(octets)) is not None:
                await self._write(lambda writer: writer.note(counts, time.time()))
                return well(at=time.time(), person=None)
            asked = request(octets)
            login = await self._login_of(uid)
            return await self._do(login, uid, asked)
        except Refused as refused:
            self._tell("REFUSED", login, f"{login} was refused: {refused.say}")
            return refusal(refused)
        except Exception as error:
            log.exception("Internal error: %s", error, extra={"event": "INTERNAL_ERROR"})
            return refusal(Refused(NOT_STORED, "nothing was stored: an error; the log has it"))

    async def too_large(self, uid: int) -> bytes:
        """Return the response to a request of more octets than are read."""
        say = f"more than the {self.rules.limits.max_size} octets that are allowed: shorten it"
        self._tell("REFUSED", f"uid {uid}", f"uid {uid} was refused: {say}")
        return refusal(Refused(TOO_LARGE, say))

    async def sweep(self) -> None:
        """Open the file, which rolls back what a killed keeper has left half written, and drop the
        entries of accounts that have been gone for long. Raises Refused if the file fails.
        """
        now = time.time()
        people = await self._write(lambda writer: writer.to_sweep(now))
        if not people:
            return
        missing = await asyncio.wrap_future(self._looks.submit(_missing, people))
        for login in await self._write(lambda writer: writer.sweep(missing, now)):
            self._tell("EXPIRED", login, f"The entry of {login} is dropped: the account is gone")

    async def close(self) -> None:
        """Close the file, when nothing is asked any more."""
        await asyncio.wrap_future(self._writes.submit(self._closed))

    def _closed(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _do(self, login: str, uid: int, asked: Request) -> bytes:
        now = time.time()
        if asked.do == "remove":
            if await self._write(lambda writer: writer.remove(login)):
                self._tell("REMOVED", login, f"{login} removed what they had published")
            return well(at=now, person=None)
        if asked.do == "publish":
            limits = self.rules.limits
            stored = await self._write(lambda w: w.publish(login, uid, asked, limits, now))
            more = (("status", asked.status), (LINKS, asked.links))
            what = ", ".join([*asked.texts, *(name for name, value in more if value)])
            self._tell("PUBLISHED", login, f"{login} published {what or 'less than before'}")
            return well(at=stored.at if stored else now, person=_told(stored))
        stored = await self._write(lambda writer: writer.person(login, uid))
        self.counts["shown"] += 1
        who = None
        if asked.who and self.rules.limits.who:
            who = await self._write(lambda writer: writer.asked(login, now))
        return well(at=now, person=_told(stored), seen=await views(self.seen, login), who=who)

    async def _login_of(self, uid: int) -> str:
        """Return the account's name. Raises Refused if it may not publish."""
        try:
            async with asyncio.timeout(NSS_TIMEOUT):
                login = await asyncio.wrap_future(self._asks.submit(_login, uid))
        except TimeoutError:
            raise Refused(
                NOT_STORED, "the machine does not say in time who you are: try again later"
            ) from None
        if login is None:
            raise Refused(NOT_ALLOWED, f"uid {uid} is no account of its own here, by NSS")
        low, high = self.rules.min_uid, self.rules.max_uid
        if not low <= uid <= high:
            raise Refused(
                NOT_ALLOWED,
                f"uid {uid} is not from {low} to {high}, so it is shown to nobody: see min_uid and"
                " max_uid in fingerd.toml(5)",
            )
        return login

    async def _write(self, call: Callable[[Writer], T]) -> T:
        """Return what `call` makes of the file. Raises Refused if that fails; nothing is changed
        then.
        """
        return await asyncio.wrap_future(self._writes.submit(self._written, call))

    def _written(self, call: Callable[[Writer], T]) -> T:
        try:
            if self._writer is None:
                self._writer = Writer(self._state)
            done = call(self._writer)
        except (sqlite3.Error, OSError) as error:
            self._closed()
            self.trouble = f"nothing can be stored: {error}"
            log.error("%s", f"Not stored: {error}", extra={"event": "NOT_STORED"})
            raise _refused(error) from error
        self.trouble = ""
        return done

    def _tell(self, event: str, login: str, text: str) -> None:
        key = event.lower()
        if key in self.counts:
            self.counts[key] += 1
        log.info("%s", text, extra={"event": event, "fields": {"FINGER_USER": login}})


def _refused(error: Exception) -> Refused:
    full = "SQLITE_FULL" in getattr(error, "sqlite_errorname", "")
    if full or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return Refused(FULL, "nothing was stored: the disk is full; tell the administrator")
    return Refused(NOT_STORED, f"nothing was stored: {error}; tell the administrator")


def _told(stored: Row | None) -> dict[str, object] | None:
    """Return the entry as a program reads it."""
    return None if stored is None else {**stored._asdict(), LINKS: told(links_of(stored))}


def _login(uid: int) -> str | None:
    """Return the one name of `uid`; None if there is none, or the name is another's."""
    try:
        name = pwd.getpwuid(uid).pw_name
        return name if pwd.getpwnam(name).pw_uid == uid else None
    except KeyError:
        return None


def _missing(people: list[tuple[str, int]]) -> set[tuple[str, int]]:
    from fingerd_sd.serving.publishing.gone import gone  # imports ctypes

    return gone(people)
