# SPDX-License-Identifier: MIT
"""The store as the rest of the house asks it: commands in, replies out, a few connections shared.

Each command has a deadline. Once the store is known to be down, commands fail at once, and one task
tries every second whether it is back. The journal has an entry when it goes, and one when it comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from fingerd_sd.config.store import StoreKeys
from fingerd_sd.process.hostname import own_name
from fingerd_sd.store import imported
from fingerd_sd.store.errors import (
    DOWN,
    StoreError,
    code_of,
    is_elsewhere,
    late,
    refusal,
    unreachable,
)
from fingerd_sd.store.keys import Names, digest

if TYPE_CHECKING:
    from fingerd_sd.store.link import Command, Link, Reply, Word

T = TypeVar("T")
Look: TypeAlias = "Callable[[Server], Coroutine[Any, Any, None]]"
log = logging.getLogger(__name__)

MAX_LINKS = 8  # connections for commands, of one process; a command takes some 0.1 ms of each
AGAIN = 1.0  # seconds between two tries while the store is down
LEAVE = 1.0  # seconds for connections to end


class Server:
    """The store that `keys` name. It may be made without an event loop, connects when it is first
    asked, and is closed by the last of those that hold it. `host`: what this one is called there.
    `names`: of the keys in it. `where`: what messages call it. `look`: called when it is first
    reached, and when it is back after a failure: another server may answer then. `watching`: are
    called whenever `trouble` has changed.

    Each method raises StoreError if the store cannot be asked or refuses.
    """

    def __init__(self, keys: StoreKeys) -> None:
        self.keys = keys
        self.host = (keys.host or own_name()).lower()
        self.look: Look | None = None
        self.names = Names(keys.namespace)
        self.watching: list[Callable[[], None]] = []
        self.trouble = ""  # why the store cannot be asked; "" while it can, as far as is known
        self._holders = 0
        self._free = asyncio.Semaphore(MAX_LINKS)
        self._idle: list[Link] = []
        self.where = keys.place.path or ",".join(host for host, _ in keys.place.hosts)
        self._trying: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._looked = False  # at the server that answers now
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    def hold(self) -> Server:
        """Return this server for one more holder, who closes it once."""
        self._holders += 1
        return self

    async def close(self) -> None:
        """End all connections, if nobody else holds this server."""
        self._holders -= 1
        if self._holders > 0 or self._closed:
            return
        self._closed = True
        tasks = [task for task in (self._trying, self._looking) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._leave_all()
        if self._ending:
            await asyncio.wait(self._ending, timeout=LEAVE)

    async def call(self, *words: Word) -> Any:
        """Return the reply to one command: bytes, an int, None, or a list of such."""
        return (await self.on_one(words))[0]

    async def together(self, *commands: Command) -> list[Any]:
        """Return the replies to `commands`, all of which happen at once or none: MULTI."""
        replies = await self.on_one(("MULTI",), *commands, ("EXEC",))
        done = replies[-1]
        if not isinstance(done, list):
            raise StoreError(f"the store at {self.where} did not do what it was asked: {done!r}")
        for reply in done:
            self._check(reply)
        return done

    async def script(self, source: str, keys: Sequence[Word], args: Sequence[Word]) -> Any:
        """Return what the Lua script `source` returns: EVALSHA, or EVAL where that is not known."""
        try:
            return await self.call("EVALSHA", digest(source), len(keys), *keys, *args)
        except StoreError as error:
            if error.code != "NOSCRIPT":
                raise
        return await self.call("EVAL", source, len(keys), *keys, *args)

    async def on_one(self, *commands: Command, patience: float | None = None) -> list[Any]:
        """Return the replies to `commands`, sent over one connection, one after the other; others
        may come between. `patience`: seconds for all; None: `timeout` of [store].
        """
        replies = await self._within(patience, lambda: self._exchange(commands))
        for reply in replies:
            self._check(reply)
        return replies

    async def connection(self) -> Link:
        """Return a new connection to subscribe with, beside the shared ones. The caller closes it,
        and asks it at most what cannot block: it has no deadlines.
        """
        return await self._within(None, self._new)

    # --- exchanging ---

    async def _within(self, patience: float | None, work: Callable[[], Awaitable[T]]) -> T:
        """Return what `work` returns, within its time; nothing while the store is down."""
        if self.trouble:
            raise StoreError(self.trouble, told=True)
        if self._closed:
            raise StoreError("the store has been closed", told=True)
        seconds = self.keys.timeout if patience is None else patience
        try:
            async with asyncio.timeout(seconds):
                return await work()
        except TimeoutError:
            raise self._fallen(late(self.where, seconds)) from None
        except StoreError as error:
            raise self._fallen(error) from None

    async def _exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """Return the replies, over a shared connection. An error of the server's is a value.

        The server may have ended a connection that nobody used, and may have become a replica. So
        commands may be sent twice: whoever sends some must see to it that this does no harm.
        """
        async with self._free:
            while self._idle:
                link = self._idle.pop()
                replies = await self._try(link, commands)
                if replies is not None and not is_elsewhere(replies):
                    self._idle.append(link)
                    return replies
                if replies is not None:
                    self._leave(link)
            link = await self._new()
            replies = await self._try(link, commands)
            if replies is None:
                raise unreachable(self.where, "it ends each connection at once")
            self._idle.append(link)
            return replies

    async def _try(self, link: Link, commands: Sequence[Command]) -> list[Reply] | None:
        """Return the replies; None: `link` is broken, and has been left."""
        from fingerd_sd.store.link import Lost

        try:
            return await link.exchange(*commands)
        except Lost:
            self._leave(link)
            return None
        except BaseException:  # replies may still be on their way
            self._leave(link)
            raise

    async def _new(self) -> Link:
        """Return a new connection. Raises StoreError."""
        finding = await imported()
        link, self.where = await finding.opened(self.keys)
        if self.look is not None and not self._looked and not self._closed:
            self._looked = True
            self._looking = asyncio.get_running_loop().create_task(self.look(self))
        return cast("Link", link)

    def _check(self, reply: Reply) -> None:
        """Raise what it means if `reply` is an error."""
        if isinstance(reply, Exception):
            error = refusal(self.where, reply)
            raise self._fallen(error) if error.code in DOWN else error

    # --- down, and up again ---

    def _fallen(self, error: StoreError) -> StoreError:
        """Return `error`, after which nothing is asked until the store is back."""
        self._leave_all()
        if not self._closed:
            self._looked = self._looking is not None and not self._looking.done()
            self._tell(error)
            if self._trying is None:
                self._trying = asyncio.get_running_loop().create_task(self._return())
        return StoreError(str(error), error.code, told=True)

    def _tell(self, error: StoreError) -> None:
        """Log and remember why the store cannot be asked, if that is news."""
        if self.trouble != str(error):
            self._turn(str(error))
            log.error("%s", error, extra={"event": "STORE_FAILS"})

    def _turn(self, trouble: str) -> None:
        self.trouble = trouble
        for changed in self.watching:
            changed()

    async def _return(self) -> None:
        """Try until the store is back."""
        while True:
            await asyncio.sleep(AGAIN)
            try:
                async with asyncio.timeout(self.keys.timeout):
                    link = await self._new()
                    replies = await self._try(link, [("PING",)])
            except TimeoutError:
                continue
            except StoreError as error:
                self._tell(error)
                continue
            if replies is None:
                continue
            if isinstance(replies[0], Exception) and code_of(replies[0]) in DOWN:
                self._leave(link)
                self._tell(refusal(self.where, replies[0]))
                continue
            self._idle.append(link)
            self._trying = None
            self._turn("")
            text = f"the store at {self.where} can be asked again"
            log.info("%s", text, extra={"event": "STORE_BACK"})
            return

    def _leave_all(self) -> None:
        while self._idle:
            self._leave(self._idle.pop())

    def _leave(self, link: Link) -> None:
        """End a connection, which nobody waits for."""
        ending = asyncio.get_running_loop().create_task(link.close())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
