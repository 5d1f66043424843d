# SPDX-License-Identifier: MIT
"""The store that hosts share, as a keeper writes it. Each host vouches for its own users.

An entry says which host has published it last, and for which uid. Another host may publish the same
login only with that uid: else two people would be one. What the account says of its user is stored
beside it, since a host that faces the world has no accounts.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.process.threads import Pool
from fingerd_sd.serving.publishing import tally, wire
from fingerd_sd.serving.publishing.wire import NOT_ALLOWED, NOT_STORED, Refused
from fingerd_sd.serving.publishing.writing import changing, scripts
from fingerd_sd.serving.publishing.writing.asking import Asking
from fingerd_sd.sources.published.person import Row
from fingerd_sd.store import people
from fingerd_sd.store.server import Server

NSS_TIMEOUT = 10.0  # seconds to learn what an account says of its user
LOOK_EVERY = 3300  # seconds between two looks for accounts that are gone, of this host
TRIES = 5  # of a publish that another one of the same user crosses
GECOS = ("name", "office", "phone", "home_phone")


class Fleet:
    """Writes into the store behind `server` as the host that it says this is; see Writing."""

    vouches = True

    def __init__(self, server: Server) -> None:
        self._server = server.hold()
        self._asking = Asking(server)
        self._names = server.names
        self._host = host = server.host
        self._by = server.names.by(host)
        self._swept = server.names.swept(host)
        self._unsent: tally.Counts = {}
        self._asks = Pool(1, "accounts")

    @property
    def trouble(self) -> str:
        """See Writing."""
        return self._asking.trouble

    async def publish(
        self, login: str, uid: int, asked: wire.Request, limits: PublishKeys, now: float
    ) -> Row | None:
        """See Writing."""
        gecos = await self._gecos(login, uid)
        for _ in range(TRIES):
            entry, digest = await self._read(login)
            self._need_own(login, uid, entry)
            before = _row(entry) if entry and entry.uid == uid else None
            after = changing.changed(before or changing.nobody(login, uid, now), asked, now)
            changing.need_size(after, limits)
            fields: Mapping[str, bytes] = {}
            if not changing.is_empty(after):
                said = gecos
                if said is None and entry is not None and before is not None:
                    said = {name: getattr(entry, name) for name in GECOS}
                fields = people.fields(_entry(after, self._host, said or {}))
            done = await self._put(login, uid, digest, after.at, fields, limits, now)
            if done == b"too many":
                raise changing.too_many(limits)
            if done == b"too often":
                raise changing.too_often(limits)
            if done == b"done":
                return after if fields else None
        raise Refused(NOT_STORED, "nothing was stored: others publish for you just now; try again")

    async def take_over(self, row: Row, now: float) -> bool:
        """See Writing."""
        gecos = await self._gecos(row.login, row.uid)
        entry, digest = await self._read(row.login)
        if gecos is None or entry is not None:
            return False
        fields = people.fields(_entry(row, self._host, gecos))
        every = PublishKeys(max_people=sys.maxsize, per_hour=0)
        done = await self._put(row.login, row.uid, digest, row.at, fields, every, now)
        return bool(done == b"done")

    async def remove(self, login: str, uid: int) -> bool:
        """See Writing."""
        done = await self._asking.written(
            scripts.REMOVE, [*self._keys(login), self._by], [login, self._host, uid]
        )
        if done == b"another":
            entry, _ = await self._read(login)
            self._need_own(login, uid, entry)
        return bool(done == b"done")

    async def person(self, login: str, uid: int) -> Row | None:
        """See Writing."""
        entry, _ = await self._read(login)
        return _row(entry) if entry is not None and entry.uid == uid else None

    async def note(self, counts: tally.Counts, now: float) -> None:
        """See Writing. What cannot be told now is told with what comes next."""
        unsent, self._unsent = self._unsent, {}
        for login, networks in counts.items():
            if login in unsent or len(unsent) < tally.MAX_PEOPLE:
                kept = unsent.setdefault(login, {})
                for network, count in networks.items():
                    known = network in kept or len(kept) < tally.MAX_NETWORKS
                    name = network if known else tally.OTHERS
                    kept[name] = kept.get(name, 0) + count
        try:
            key = await self._hashing()
            while unsent:
                login, networks = next(iter(unsent.items()))
                words = [
                    word
                    for network, count in networks.items()
                    for word in (tally.hashed(network, key), count)
                ]
                day = int(now // tally.DAY)
                keys = [self._names.person(login), self._names.asked(login)]
                head = [day, tally.DAYS, tally.MAX_DAY]
                await self._asking.reply(self._server.script(scripts.NOTE, keys, [*head, *words]))
                del unsent[login]
        finally:
            self._unsent = unsent | self._unsent

    async def asked(self, login: str, now: float) -> dict[str, int]:
        """See Writing."""
        first = int(now // tally.DAY) - tally.DAYS + 1
        keys = [self._names.asked(login)]
        said = await self._asking.reply(self._server.script(scripts.ASKED, keys, [first]))
        return dict(zip(("times", "networks"), map(int, said), strict=True))

    async def to_sweep(self, now: float) -> list[tuple[str, int]]:
        """See Writing."""
        if await self._asking.reply(self._server.call("EXISTS", self._swept)):
            return []
        found, cursor = dict[str, int](), b""
        while cursor != b"0":
            args = [self._names.people, self._host, cursor or 0, scripts.SOME]
            asked = self._server.script(scripts.OURS, [self._by], args)
            cursor, said = await self._asking.reply(asked)
            pairs = zip(said[::2], said[1::2], strict=False)
            found |= {os.fsdecode(login): int(uid) for login, uid in pairs if uid.isdigit()}
        return list(found.items())

    async def sweep(self, looked: changing.Looked, now: float) -> list[str]:
        """See Writing. What the accounts say now is stored too."""
        dropped = []
        there = ((login, None, parts) for login, parts in looked.gecos.items())
        gone: Any = ((login, uid, {}) for login, uid in looked.missing)
        for login, uid, parts in (*gone, *there):
            owner = looked.uids[login] if uid is None else uid
            words = [word for name in GECOS for word in (name, parts.get(name, ""))]
            args = [login, self._host, owner, int(uid is not None), repr(now), changing.KEEP_GONE]
            keys = [*self._keys(login), self._by]
            done = await self._asking.reply(
                self._server.script(scripts.SWEEP, keys, [*args, *words])
            )
            if done == b"dropped":
                dropped.append(login)
        await self._asking.reply(self._server.call("SET", self._swept, repr(now), "EX", LOOK_EVERY))
        return sorted(dropped)

    async def close(self) -> None:
        """Give the store back."""
        await self._server.close()

    async def _put(
        self,
        login: str,
        uid: int,
        digest: str,
        at: float,
        fields: Mapping[str, bytes],
        limits: PublishKeys,
        now: float,
    ) -> Any:
        """Have `fields` stored in place of what has `digest`; return what the script says."""
        return await self._asking.written(
            scripts.PUBLISH,
            [*self._keys(login), self._names.spent(uid, int(now // changing.HOUR)), self._by],
            [
                *(login, digest, limits.max_people, limits.per_hour, repr(at)),
                *(len(people.NAMES), *people.NAMES),
                *(word for pair in fields.items() for word in pair),
            ],
        )

    def _keys(self, login: str) -> list[str]:
        return [self._names.person(login), self._names.recent, self._names.asked(login)]

    async def _read(self, login: str) -> tuple[people.Entry | None, str]:
        """Return the entry of `login`, and a digest of what the store has."""
        keys = [self._names.person(login)]
        said = await self._asking.reply(self._server.script(people.SCRIPT, keys, people.ARGUMENTS))
        try:
            entry = people.entry_of(login, said)
        except people.MalformedError as error:
            raise Refused(
                NOT_STORED,
                f"nothing was stored: the store's entry of {login} is malformed: {error}; take it"
                " back with `fingerd-sd publish --remove`, or tell the administrator",
            ) from None
        found = said or [None] * len(people.NAMES)
        parts = (b"-" if part is None else b"%d:%s" % (len(part), part) for part in found)
        return entry, hashlib.sha1(b"".join(parts), usedforsecurity=False).hexdigest()

    def _need_own(self, login: str, uid: int, entry: people.Entry | None) -> None:
        """Raise Refused if another host vouches for another user of that name."""
        if entry is None or entry.uid == uid or entry.host == self._host:
            return
        raise Refused(
            NOT_ALLOWED,
            f"{entry.host} has published {login} with uid {entry.uid}, and here {login} has uid"
            f" {uid}: ask the administrator to give both one uid",
        )

    async def _gecos(self, login: str, uid: int) -> Mapping[str, str] | None:
        """Return what the account says of its user; None: NSS does not tell in time."""
        from fingerd_sd.serving.publishing.gone import gecos_of  # imports ctypes

        try:
            async with asyncio.timeout(NSS_TIMEOUT):
                return await asyncio.wrap_future(self._asks.submit(gecos_of, login, uid))
        except TimeoutError:
            return None

    async def _hashing(self) -> bytes:
        """Return the key of the hashes of networks, which all hosts use."""
        name = self._names.hashing
        await self._asking.reply(self._server.call("SET", name, os.urandom(32), "NX"))
        return bytes(await self._asking.reply(self._server.call("GET", name)))


def _entry(row: Row, host: str, said: Mapping[str, str | None]) -> people.Entry:
    """Return the entry that is `row`, for which `host` vouches; `said`: by the account there."""
    parts: Any = {name: (said.get(name) or "")[: people.MAX_GECOS] or None for name in GECOS}
    return people.Entry(**row._asdict(), host=host, **parts)


def _row(entry: people.Entry) -> Row:
    values: Any = entry[: len(Row._fields)]
    return Row(*values)
