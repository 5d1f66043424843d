# SPDX-License-Identifier: MIT
"""The keeper: a request of a user, whom the kernel names, in; what was done of it, out.

It knows no sockets, nor where entries are written: `writing` does. It asks NSS, which blocks, in
threads.
"""

from __future__ import annotations

import asyncio
import logging
import pwd
import time
from typing import NamedTuple

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.process.threads import Pool
from fingerd_sd.protocol.links import told
from fingerd_sd.serving.publishing import tally
from fingerd_sd.serving.publishing.views import Seen, views
from fingerd_sd.serving.publishing.wire import (
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
from fingerd_sd.serving.publishing.writing.changing import Looked
from fingerd_sd.serving.publishing.writing.interface import Writing
from fingerd_sd.sources.published.person import Row, links_of

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
    """Keeps what users publish, by `writing`. `seen`: how it is shown."""

    def __init__(self, rules: Rules, seen: Seen, writing: Writing) -> None:
        self.rules = rules
        self.seen = seen
        self.writing = writing
        self.counts = dict.fromkeys(("published", "removed", "shown", "refused"), 0)
        self._asks = Pool(4, "accounts")
        self._looks = Pool(1, "gone")  # for all accounts, which may take long

    @property
    def trouble(self) -> str:
        """Why nothing can be stored; "" where all is well."""
        return self.writing.trouble

    async def answer(self, uid: int, octets: bytes) -> bytes:
        """Return the response to a request by the user `uid`. It never raises for what a user, NSS
        or the disk does.
        """
        login = f"uid {uid}"
        try:
            if uid == self.rules.server_uid and (counts := tally.told(octets)) is not None:
                await self.writing.note(counts, time.time())
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
        """Look for accounts that are gone, if it is time; drop the entries of those that have been
        for long. Raises Refused if that cannot be written.
        """
        now = time.time()
        people = await self.writing.to_sweep(now)
        if not people:
            return
        looked = await asyncio.wrap_future(
            self._looks.submit(_looked, people, self.writing.vouches)
        )
        for login in await self.writing.sweep(looked, now):
            self._tell("EXPIRED", login, f"The entry of {login} is dropped: the account is gone")

    async def close(self) -> None:
        """Close where entries are written, when nothing is asked any more."""
        await self.writing.close()

    async def _do(self, login: str, uid: int, asked: Request) -> bytes:
        now = time.time()
        if asked.do == "remove":
            if await self.writing.remove(login, uid):
                self._tell("REMOVED", login, f"{login} removed what they had published")
            return well(at=now, person=None)
        if asked.do == "publish":
            stored = await self.writing.publish(login, uid, asked, self.rules.limits, now)
            more = (("status", asked.status), (LINKS, asked.links))
            what = ", ".join([*asked.texts, *(name for name, value in more if value)])
            self._tell("PUBLISHED", login, f"{login} published {what or 'less than before'}")
            return well(at=stored.at if stored else now, person=_told(stored))
        stored = await self.writing.person(login, uid)
        self.counts["shown"] += 1
        who = None
        if asked.who and self.rules.limits.who:
            who = await self.writing.asked(login, now)
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

    def _tell(self, event: str, login: str, text: str) -> None:
        key = event.lower()
        if key in self.counts:
            self.counts[key] += 1
        log.info("%s", text, extra={"event": event, "fields": {"FINGER_USER": login}})


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


def _looked(people: list[tuple[str, int]], vouches: bool) -> Looked:
    """Return what NSS says of the accounts of `people`, logins and uids."""
    from fingerd_sd.serving.publishing.gone import gecos_of, gone  # imports ctypes

    missing = gone(people)
    gecos = {}
    for login, uid in people if vouches else ():
        if (login, uid) not in missing and (parts := gecos_of(login, uid)) is not None:
            gecos[login] = parts
    return Looked(frozenset(missing), gecos, dict(people))
