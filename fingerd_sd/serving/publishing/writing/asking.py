# SPDX-License-Identifier: MIT
"""The store as a keeper asks it: what is done is on the disk, and what is not is said in a line."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from fingerd_sd.serving.publishing.wire import FULL, NOT_STORED, Refused
from fingerd_sd.serving.publishing.writing.durable import UnfitError, wait_of
from fingerd_sd.store.errors import StoreError
from fingerd_sd.store.server import Server

T = TypeVar("T")

log = logging.getLogger(__name__)

# Who says one of these has not done what it was asked. Of anything else that is not known.
_NOT_DONE = {
    *("OOM", "MISCONF", "READONLY", "NOREPLICAS", "NOPERM", "NOAUTH", "WRONGPASS", "LOADING"),
    *("MASTERDOWN", "MOVED", "CLUSTERDOWN", "TRYAGAIN", "MAXCLIENTS"),
}
_UNKNOWN = "it may be stored or not: look with `fingerd-sd publish --show`, and try again"


class Asking:
    """Asks `server`. Its methods raise Refused."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._unfit = ""

    @property
    def trouble(self) -> str:
        """Why nothing can be stored; "" where all is well."""
        why = self._server.trouble or self._unfit
        return f"nothing can be stored: {why}" if why else ""

    async def written(self, source: str, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """Return what the script returns, when its work is on the disk."""
        try:
            wait = await wait_of(self._server)
        except UnfitError as error:
            self._unfit = str(error)
            raise self._failed(f"nothing was stored: {error}; tell the administrator") from None
        except StoreError as error:
            raise self._not_done(error) from None
        self._unfit = ""
        commands: list[Any] = [("EVAL", source, len(keys), *keys, *args)]
        if wait.command:
            commands.append(wait.command)
        try:
            done, *waited = await self._server.on_one(*commands, patience=wait.patience)
        except StoreError as error:
            if error.code in _NOT_DONE:
                raise self._not_done(error) from None
            raise self._failed(f"{error}; {_UNKNOWN}") from None
        if done == b"done" and waited and not wait.holds(waited[0]):
            say = "the store does not say in time that it is on the disk, there and of its replicas"
            raise self._failed(f"{say} (replicas in [store] is {wait.replicas}); {_UNKNOWN}")
        return done

    async def reply(self, reply: Awaitable[T]) -> T:
        """Return `reply`, of what changes nothing that is published."""
        try:
            return await reply
        except StoreError as error:
            raise self._not_done(error) from None

    def _not_done(self, error: StoreError) -> Refused:
        kind = FULL if error.code in ("OOM", "MISCONF") else NOT_STORED
        say = f"nothing was stored: {error}; try again later, or tell the administrator"
        return Refused(kind, say) if error.told else self._failed(say, kind)

    def _failed(self, say: str, kind: str = NOT_STORED) -> Refused:
        log.error("%s", f"Not stored: {say}", extra={"event": "NOT_STORED"})
        return Refused(kind, say)
