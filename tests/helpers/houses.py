# SPDX-License-Identifier: MIT
"""Directories to ask: who lives there, and sources that say what a test tells them to."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.directory.source import Mounted, Source
from fingerd_sd.policy.audience import Audience, Network
from fingerd_sd.policy.rules import Policy
from fingerd_sd.protocol.entry import ATOMS, Absent, Entry, Person, Text
from fingerd_sd.protocol.layout.long import MAX_TEXT
from fingerd_sd.sources.static.source import StaticSource

Saying: TypeAlias = Entry | Absent | Exception | None
Said = TypeVar("Said", Entry, Absent, Entry | Absent)


@dataclass
class Told:
    """A source that says what it was told to: an entry, an absence, or an exception to raise.

    `waits`: what it awaits first. `asked`: whom it was asked for.
    """

    says: Saying = None
    name: str = "told"
    timeout: float = 30.0
    lifetime: float = 0.0
    waits: asyncio.Event | None = None
    asked: list[str] = field(default_factory=list)

    async def find(self, user: str) -> Entry | Absent | None:
        self.asked.append(user)
        if self.waits is not None:
            await self.waits.wait()
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class Waited:
    """`source`, which is waited for although it could answer at once."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        if name == "find_now":
            raise AttributeError(name)
        return getattr(self._source, name)

    name: str
    timeout: float
    lifetime: float

    async def find(self, user: str) -> Entry | Absent | None:
        await asyncio.sleep(0)
        return await self._source.find(user)


def waited(house: Ruip) -> Ruip:
    """Return `house` with sources that all must be waited for."""
    sources = [Mounted(Waited(source), audiences) for source, audiences in house.directory.sources]
    return Ruip(house.policy, Directory(sources), time.monotonic)


def bare(said: Said) -> Said:
    """Return what a source said, without where that came from and how long it is good."""
    if isinstance(said, Person):
        return said._replace(origins=MappingProxyType({}))
    if isinstance(said, Text):
        return Text(said.text)
    return Absent() if isinstance(said, Absent) else said


def static(users: dict[str, Entry], name: str = "static") -> StaticSource:
    """Return a static source of `users`."""
    source = StaticSource(name)
    for user, entry in users.items():
        assert source.add(user, entry)
    return source


def networks(*texts: str) -> tuple[Network, ...]:
    """Return `texts` as an audience holds them."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def everyone(show: Iterable[str] = ATOMS, rate: int = 0) -> Audience:
    """Return an audience of all clients that may see the atoms `show`."""
    return Audience(show=frozenset(show), rate=rate)


def ruip(
    *sources: Source,
    audiences: Sequence[Audience] = (),
    log_client: str = "full",
    clock: Callable[[], float] = time.monotonic,
    names: Sequence[str] = (),
) -> Ruip:
    """Return a Ruip that asks `sources` in order. `names`: what it is called."""
    mounted = [Mounted(source) for source in sources]
    return Ruip(Policy(audiences, log_client, names), Directory(mounted), clock)


ALICE = Person(
    "alice",
    name="Alice Liddell",
    office="Hill 016",
    phone="9085551234",
    home_phone="2125550100",
    directory="/home/alice",
    shell="/bin/bash",
    project="finger",
    plan="Working on finger.\n",
)
SAM = Text("the first Sam")
VILLAGE: dict[str, Entry] = {
    "moshez": Text("Happy and well"),
    "alice": ALICE,
    "Alice Liddell": ALICE,
    "Sam": SAM,
    "SAM": Text("the second Sam"),
    "Żółw": Text("zażółć gęślą jaźń"),
    "coke": Text("Coke: 3 left, cold"),
    "ends": Text("lf\ncr\rcrlf\r\nlfcr\n\rnone"),
    "empty": Text(""),
    "world": Text("zażółć 日本語 \N{GRINNING FACE} می\u200cخواهم\n"),
    "evil": Text("\x1b[31mred\x7f \x9b31m\x85 \u202elive\u2066 \ufeff\x00\x07\x0c\x0b end\ttab"),
    "script": Text("<script>alert(1)</script>"),
    "format": Text("%s%n{0}$HOME\\x1b"),
    "longname": Person("longname", name="A" * (1 << 20)),
    "longline": Person("longline", plan="p" * (1 << 20)),
    "longtext": Text("t" * (MAX_TEXT + 10)),
}


def village() -> Ruip:
    """Return the house most cases ask: a static directory, and the atoms shown by default."""
    return ruip(static(VILLAGE))


def nobody() -> Ruip:
    """Return a house without a source."""
    return ruip()


def broken() -> Ruip:
    """Return a house whose one source always fails."""
    return ruip(Told(ValueError("the disk is on fire")))


def half_broken() -> Ruip:
    """Return a house whose first source fails, and whose second knows those of the village."""
    return ruip(Told(ValueError("the disk is on fire")), static(VILLAGE))


def showing(*show: str) -> Callable[[], Ruip]:
    """Return a maker of a village that shows the atoms `show` and no other."""
    return lambda: ruip(static(VILLAGE), audiences=[everyone(show)])
