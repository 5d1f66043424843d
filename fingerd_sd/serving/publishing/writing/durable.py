# SPDX-License-Identifier: MIT
"""When the store has what was written on its disk: what is to be sent behind a write, so that its
reply says so.

WAITAOF, of Redis 7.2 and Valkey, tells it of the server and of its replicas. An older server does
not, so it has to write before it replies: appendfsync always. See Redis, "WAITAOF" and
"Redis persistence".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fingerd_sd.store.errors import StoreError
from fingerd_sd.store.server import Server

LEAST_WAIT = 2.0  # seconds: with appendfsync everysec a write is on the disk after one


class UnfitError(Exception):
    """The store would lose what it acknowledges; the text names the setting, as a line."""


class Wait(NamedTuple):
    """What to send behind a write. `command`: nothing where the write's own reply is enough.
    `patience`: seconds for both.
    """

    command: tuple[str | int, ...]
    local: bool
    replicas: int
    patience: float

    def holds(self, reply: Any) -> bool:
        """Whether `reply` says that it is on all disks."""
        counts = reply if isinstance(reply, list) else [1, reply]
        local, replicas = int(counts[0]), int(counts[-1])
        return (not self.local or local >= 1) and replicas >= self.replicas


async def wait_of(server: Server) -> Wait:
    """Return how to wait for what is written to `server`. Raises UnfitError, and StoreError."""
    replicas, seconds = server.keys.replicas, max(server.keys.timeout, LEAST_WAIT)
    patience, wait = server.keys.timeout + seconds, int(1000 * seconds)
    try:
        await server.call("WAITAOF", 1, 0, 1)  # it says at once whether it can
    except StoreError as error:
        if "appendonly is disabled" in str(error):
            raise UnfitError(_NO_LOG) from None
        if "unknown command" not in str(error):
            raise
    else:
        return Wait(("WAITAOF", 1, replicas, wait), True, replicas, patience)
    said = await server.call("CONFIG", "GET", "append*")
    found = dict(zip(said[::2], said[1::2], strict=False))
    if found.get(b"appendonly") != b"yes":
        raise UnfitError(_NO_LOG)
    if found.get(b"appendfsync") != b"always":
        raise UnfitError(
            "the store would lose what it has just taken if its machine failed: set appendfsync"
            " always there, or use one with WAITAOF (Redis 7.2, Valkey)"
        )
    command = ("WAIT", replicas, wait) if replicas else ()
    return Wait(command, False, replicas, patience)


_NO_LOG = "the store writes no log of what it takes: set appendonly yes there"
