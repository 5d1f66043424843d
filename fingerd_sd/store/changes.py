# SPDX-License-Identifier: MIT
"""Which users have published or taken back anything, on whichever host: the store tells it.

That is Redis' "server-assisted client-side caching" in its broadcasting mode, over RESP2, which all
versions speak: a connection has its own invalidation messages redirected to itself, and subscribes
to them. While it is silent it is asked for a sign of life, so that a network that swallows all of
it is noticed. When it is lost, whoever has kept anything must forget it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from fingerd_sd.store.errors import StoreError, code_of, refusal
from fingerd_sd.store.server import Server

if TYPE_CHECKING:
    from fingerd_sd.store.link import Link

log = logging.getLogger(__name__)

CHANNEL = "__redis__:invalidate"
SILENCE = 0.1, 5.0  # seconds until a sign of life is asked for: at least, at most
MAX_LOG = 1024  # changes of which it is remembered whom they are about
INSIST = 0.1  # seconds until it is told again to end
AGAIN = 0.1, 2.0  # seconds until the next try: after the first failure, doubled up to the last


class Changes:
    """Hears what changes below `server.names.people`, from `start` to `close`. `count`: another
    number after each change, and when hearing begins or ends. `hears`: whether it would hear of a
    change within `ttl` of [store]. `began`: another number each time that hearing begins; 0 while
    it does not. `trouble`: why it does not hear, although the store can be asked. `changed`: called
    before `count` changes, with the logins; None: whichever.
    """

    def __init__(self, server: Server, changed: Callable[[Iterable[str] | None], None]) -> None:
        self.count = 0
        self.began = 0
        self.trouble = ""
        self._server = server
        self._changed = changed
        least, most = SILENCE
        self._silence = min(max(server.keys.ttl / 2, least), most)
        self._log: deque[Sequence[str] | None] = deque(maxlen=MAX_LOG)  # of changes, by count
        self._task: asyncio.Task[None] | None = None

    @property
    def hears(self) -> bool:
        """Whether it would hear of a change."""
        return self.began > 0

    def news(self) -> int:
        """Return `count`."""
        return self.count

    def since(self, news: Hashable) -> set[str] | None:
        """Return the logins of all changes after `count` was `news`; None: whichever."""
        missed = self.count - news if isinstance(news, int) else MAX_LOG + 1
        logins: set[str] = set()
        for told in islice(reversed(self._log), missed):
            if told is None:
                return None
            logins.update(told)
        return logins if missed <= len(self._log) else None

    def start(self) -> None:
        """Hear from now on. It needs a running event loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """End the connection."""
        task, self._task = self._task, None
        while task is not None and not task.done():
            task.cancel()  # what redis 8 does on Python 3.11 may swallow that
            await asyncio.wait((task,), timeout=INSIST)

    async def _run(self) -> None:
        first, longest = AGAIN
        wait = first
        while True:
            try:
                why = await self._follow()
            except Exception as error:  # a bug: nothing is heard now
                why = f"changes in the store are seen only after a while: {error!r}"
                log.error("%s", why, exc_info=error, extra={"event": "INTERNAL_ERROR"})
                self.trouble = why
            if self.hears:
                self.began, wait = 0, first
                self._turn()
            if why != self.trouble:
                self.trouble = why
                if why:
                    log.warning("%s", why, extra={"event": "STORE_FAILS"})
            await asyncio.sleep(wait)
            wait = min(longest, 2 * wait)

    async def _follow(self) -> str:
        """Hear changes until that ends; return why, where the store does not allow it."""
        try:
            link = await self._server.connection()
        except StoreError:  # the server has told it
            return self.trouble
        from fingerd_sd.store.link import Lost

        try:
            async with asyncio.timeout(self._server.keys.timeout):
                await self._subscribe(link)
            self.trouble = ""
            self._turn()  # old answers may have stood in meanwhile
            self.began = self.count
            await self._hear(link)
        except (Lost, TimeoutError):
            return self.trouble
        except StoreError as error:
            return f"changes in the store are seen only after a while: {error}"
        finally:
            await link.close()

    async def _subscribe(self, link: Link) -> None:
        (number,) = self._sound(await link.exchange(("CLIENT", "ID")))
        prefix = self._server.names.people
        how = ("ON", "REDIRECT", number, "BCAST", "PREFIX", prefix)
        self._sound(await link.exchange(("CLIENT", "TRACKING", *how), ("SUBSCRIBE", CHANNEL)))

    def _sound(self, replies: list[Any]) -> list[Any]:
        for reply in replies:
            if isinstance(reply, Exception):
                raise refusal(self._server.where, reply)
        return replies

    async def _hear(self, link: Link) -> NoReturn:
        """Take what the store says. Raises Lost, and TimeoutError if it says nothing at all."""
        asked = False
        hearing: asyncio.Task[Any] | None = None
        try:
            while True:
                hearing = hearing or asyncio.get_running_loop().create_task(link.hear())
                await asyncio.wait((hearing,), timeout=self._silence)
                if hearing.done():
                    said, hearing, asked = hearing.result(), None, False
                    # At a full disk a server says so when it is asked for a sign of life.
                    if not isinstance(said, Exception) or code_of(said) != "MISCONF":
                        self._take(self._sound([said])[0])
                elif asked:
                    raise TimeoutError
                else:
                    asked = True
                    await link.send(("PING",))
        finally:
            if hearing is not None:
                hearing.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await hearing

    def _take(self, said: Any) -> None:
        if not isinstance(said, list) or said[:2] != [b"message", CHANNEL.encode()]:
            return  # a sign of life
        start = self._server.names.people.encode()
        keys = said[2] if len(said) > 2 else None
        if isinstance(keys, list) and all(
            isinstance(key, bytes) and key.startswith(start) for key in keys
        ):
            self._tell([key[len(start) :].decode(errors="replace") for key in keys])
        else:  # everything has been removed
            self._tell(None)

    def _tell(self, logins: Sequence[str] | None) -> None:
        self._changed(logins)
        self._turn(logins)

    def _turn(self, logins: Sequence[str] | None = None) -> None:
        """Count a change. `logins`: of whom; None: it may be of anybody."""
        self._log.append(logins)
        self.count += 1
