# SPDX-License-Identifier: MIT
"""A source whose users are shown with their sessions on all hosts: `sessions = "fleet"`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

from fingerd_sd.directory.source import Source
from fingerd_sd.protocol.entry import Absent, Entry, Person
from fingerd_sd.store.presence.everywhere import KEPT, Everywhere
from fingerd_sd.store.server import Server

# What a source may offer beyond `find`, and is offered here where `below` does.
_OFFERED = ("news", "since", "recent", "match", "give_back", "needs", "uids")


class Joined:
    """`below`, which tells users with their uids and without sessions, and what `server` knows of
    those. `machine`: what this host is called there. A `Source`, which also lists who is logged in,
    on all hosts and on one. It closes `below` and `server`.
    """

    def __init__(self, below: Source, server: Server, machine: str) -> None:
        self.name = below.name
        self.timeout = below.timeout
        self.lifetime = below.lifetime
        self._below: Any = below
        self._server = server
        self._machine = machine
        self._everywhere = Everywhere(server)
        self._wanted = True  # whether any audience may see sessions
        for name in _OFFERED:
            if hasattr(below, name):
                setattr(self, name, getattr(below, name))
        if hasattr(below, "find_consented"):
            self.find_consented = self._find_consented

    @property
    def trouble(self) -> str:
        """What is wrong with `below` or with the store now; "" where nothing is."""
        below = str(getattr(self._below, "trouble", ""))
        told = (below, self._server.trouble, self._everywhere.trouble)
        return "; ".join(dict.fromkeys(filter(None, told)))

    def select(self, atoms: frozenset[str]) -> None:
        """Look only for `atoms`."""
        self._wanted = "sessions" in atoms
        if hasattr(self._below, "select"):
            self._below.select(atoms)

    def start(self, changed: Callable[[], None]) -> None:
        """Connect, and call `changed` when `trouble` changes."""
        if hasattr(self._below, "start"):
            self._below.start(changed)
        else:
            self._server.watching.append(changed)
        self._everywhere.start()

    async def find(self, user: str) -> Entry | Absent | None:
        """Return what `below` knows of `user`, with the sessions on all hosts."""
        return await self._joined(await self._below.find(user))

    async def _find_consented(self, user: str) -> Entry | Absent | None:
        return await self._joined(await self._below.find_consented(user))

    async def who(self) -> Sequence[str] | None:
        """Return who is logged in anywhere. Raises StoreError."""
        return await self._everywhere.who()

    async def who_at(self, host: str) -> Sequence[str] | None:
        """Return who is logged in on `host`; None: it tells nothing. Raises StoreError."""
        return await self._everywhere.who(host)

    async def close(self) -> None:
        """Close all."""
        await self._everywhere.close()
        if hasattr(self._below, "close"):
            await self._below.close()
        await self._server.close()

    async def _joined(self, said: Entry | Absent | None) -> Entry | Absent | None:
        if not isinstance(said, Person) or not self._wanted or said.uid is None:
            return said
        sessions, origin = await self._everywhere.of(said.login, said.uid)
        last = said.last_login
        if last is not None:
            last = last._replace(machine=self._machine)
            origin = f"{origin}; the last login: {said.origins.get('sessions', 'here')}"
        origins = MappingProxyType({**said.origins, "sessions": origin})
        lifetime = min(KEPT, self.lifetime if said.lifetime is None else said.lifetime)
        return said._replace(sessions=sessions, last_login=last, origins=origins, lifetime=lifetime)
