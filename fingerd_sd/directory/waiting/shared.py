# SPDX-License-Identifier: MIT
"""Look-ups that several clients share, and what each of them waits for.

A look-up goes on by visits of threads as far as that leads (waiting/sources.py). Only what is left
then takes a coroutine and a task.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from fingerd_sd.directory.search import Search
from fingerd_sd.directory.waiting.sources import Course, Visits

T = TypeVar("T")
A = TypeVar("A")


class Pending(Generic[T, A]):
    """A result to wait for. `finish` makes it from what the look-up said, or from the error that
    ended it. Others may wait for the same look-up.
    """

    __slots__ = ("_finish", "_look_up")

    def __init__(self, look_up: LookUp[T], finish: Callable[[T | BaseException], A]) -> None:
        self._look_up = look_up
        self._finish = finish

    def then(self, call: Callable[[A], None]) -> None:
        """Call `call` with the result, from the loop, when it is there."""
        finish = self._finish
        self._look_up.then(lambda said: call(finish(said)))

    async def result(self) -> A:
        """Return the result. The look-up goes on even if nobody waits for it any more."""
        return self._finish(await self._look_up.ended())


class UnderWay(Generic[T]):
    """Look-ups by a key. Clients who ask for the same while a look-up is under way share it. It
    goes on when one of them leaves. One event loop at a time uses it.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._look_ups: dict[Hashable, LookUp[T]] = {}

    def join(
        self,
        key: Hashable,
        search: Search | None,
        sought: Callable[[Search], T | None],
        look_up: Callable[[], Coroutine[Any, Any, T]],
        finish: Callable[[T | BaseException], A],
    ) -> Pending[T, A]:
        """Return what `finish` makes of the look-up of `key`, which begins if need be. A `search`
        goes on by visits, and `sought` says what it has come to. If there is none, or if `sought`
        returns None, `look_up` does the rest.
        """
        self._turn_to_this_loop()
        shared = self._look_ups.get(key)
        if shared is None:
            shared = LookUp(self._visits, search, self._look_ups, key, sought, look_up)
            self._look_ups[key] = shared
            shared.ask_on()
        return Pending(shared, finish)

    async def end(self, cancel: bool) -> None:
        """Return when nothing is under way; `cancel`: do not wait for that."""
        self._turn_to_this_loop()
        # A query that was taken in this turn of the loop starts its look-up before this goes on.
        await asyncio.sleep(0)
        while self._look_ups:
            look_ups = list(self._look_ups.values())
            if cancel:
                for look_up in look_ups:
                    look_up.cancel()
            for look_up in look_ups:
                await look_up.ended()

    def _turn_to_this_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # what waited in another one waits no more
            self._loop, self._look_ups, self._visits = loop, {}, Visits(loop)


class LookUp(Course, Generic[T]):
    """A look-up that is `among` others by its `key` until it ends, and those who wait for it."""

    __slots__ = ("_among", "_calls", "_key", "_look_up", "_said", "_sought", "_task")

    def __init__(
        self,
        visits: Visits,
        search: Search | None,
        among: dict[Hashable, LookUp[T]],
        key: Hashable,
        sought: Callable[[Search], T | None],
        look_up: Callable[[], Coroutine[Any, Any, T]],
    ) -> None:
        super().__init__(visits, search)
        self._among = among
        self._key = key
        self._sought = sought
        self._look_up = look_up
        self._said: T | BaseException | None = None  # None: it is under way
        self._calls: list[Callable[[T | BaseException], None]] = []
        self._task: asyncio.Task[T] | None = None

    def then(self, call: Callable[[T | BaseException], None]) -> None:
        """Call `call`, from the loop, with what was said or raised."""
        if self._said is None:
            self._calls.append(call)
        else:
            asyncio.get_running_loop().call_soon(call, self._said)

    async def ended(self) -> T | BaseException:
        """Return what was said or raised, when it was."""
        ended: asyncio.Future[T | BaseException] = asyncio.get_running_loop().create_future()
        self.then(lambda said: None if ended.done() else ended.set_result(said))
        return await ended

    def cancel(self) -> None:
        """End at once, unless it has ended."""
        if self._task is not None:
            self._task.cancel()
        elif self._said is None:
            self.stop()

    def over(self, error: BaseException | None) -> None:
        """Say what the search has come to, or have the rest done; Course.over."""
        if error is not None:
            self._tell(error)
            return
        try:
            said = None if self._search is None else self._sought(self._search)
        except Exception as bug:
            self._tell(bug)
            return
        if said is None:
            self._do_the_rest()
        else:
            self._tell(said)

    def _do_the_rest(self) -> None:
        self._task = _begun(self._look_up())
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self._tell(asyncio.CancelledError())
        else:
            self._tell(task.exception() or task.result())

    def _tell(self, said: T | BaseException) -> None:
        self._said = said
        self._task = None  # it holds this one: no cycle stays
        self._among.pop(self._key, None)
        calls, self._calls = self._calls, []
        for call in calls:
            try:
                call(said)
            except Exception as error:  # a bug: the others are told all the same
                context = {"message": "Exception in callback of a look-up", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)


def _begun(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Return a task of `coroutine`, already run up to its first wait if Python can do that."""
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=loop, eager_start=True)
    return loop.create_task(coroutine)
