# SPDX-License-Identifier: MIT
"""A bounded pool of daemon threads, for calls that may block for ever.

concurrent.futures' own pool waits at interpreter exit for every thread, so that one dead NFS server
would keep the process from ending. asyncio's default pool does the same. This pool does not wait
for its threads. It knows nothing of what it runs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Run: TypeAlias = Callable[[], Any]
Then: TypeAlias = Callable[[Any], None]  # gets what a call returned, or the error that it raised

IDLE = 10.0  # seconds that a thread without work stays
MAX_BACKLOG = 8192  # calls that wait for a thread: twice as many as connections may be open


class Pool:
    """At most `size` threads. A thread starts when there is work for it, and ends when there has
    been none for a while.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()  # of the counts
        self._threads = 0
        self._free = 0  # threads that wait, and have not been given work
        self._backlog = 0  # work in the queue that no thread has been given

    def put(self, run: Callable[[], None]) -> None:
        """Have `run` called in a thread; it must not raise. Raises RuntimeError if no thread can be
        started, or if all hang and very many calls wait already.
        """
        with self._lock:
            if self._free:
                self._free -= 1
            elif not self._started():
                if self._backlog >= MAX_BACKLOG:
                    raise RuntimeError(f"{self._name}: all threads hang, {MAX_BACKLOG} calls wait")
                self._backlog += 1
        self._work.put(run)

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `call` in a thread. A future that is cancelled before that is skipped."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = call(*args, **kwargs)
            except BaseException as error:  # the caller's, whatever it is
                future.set_exception(error)
            else:
                future.set_result(result)

        self.put(run)
        return future

    def _started(self) -> bool:
        """Start one more thread if there may be one; return whether there is."""
        if self._threads >= self._size:
            return False
        try:
            threading.Thread(target=self._serve, name=self._name, daemon=True).start()
        except RuntimeError:  # the machine has no more: TasksMax=, ulimit
            if not self._threads:
                raise
            return False
        self._threads += 1
        return True

    def _serve(self) -> None:
        while True:
            try:
                run = self._work.get(timeout=IDLE)
            except Empty:
                with self._lock:
                    if self._free:
                        self._free -= 1
                        self._threads -= 1
                        return
                continue  # work has just been given to this thread
            run()
            del run  # what it returned is the caller's alone
            with self._lock:
                if self._backlog:
                    self._backlog -= 1
                else:
                    self._free += 1


class Visit(NamedTuple, Generic[T]):
    """A call that may block, to be made in a thread of `shared`. `key` tells it from others."""

    shared: Shared
    key: Hashable
    call: Callable[[], T]

    async def result(self) -> T:
        """Return what the call returns, or raise what it raises."""
        return await self.shared.call(self.key, self.call)

    def begin(self, then: Then) -> Call:
        """Make the call; see Shared.begin."""
        return self.shared.begin(self.key, self.call, then)


class Shared:
    """Calls in `pool` by a key: who asks for the same while it is under way shares the one call.
    One that hangs holds one thread, however often it is asked for. One loop at a time uses it.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._calls: dict[Hashable, Call] = {}
        self._ended: _Ended | None = None
        self._new: list[Call] = []  # that no thread has been given

    def begin(self, key: Hashable, call: Run, then: Then) -> Call:
        """Have `call` called, and then `then`, on the loop, with what that returned or raised;
        `key` tells one call from another. If no thread can be had, that is a RuntimeError. `then`
        must not raise, and may `leave` what this returns: a call that has not begun is dropped once
        nobody waits for it.
        """
        loop = asyncio.get_running_loop()
        if self._ended is None or self._ended.loop is not loop:
            self._ended, self._calls, self._new = _Ended(loop), {}, []
        shared = self._calls.get(key)
        if shared is None:
            shared = self._calls[key] = Call(self._pool, self._ended, call, key, self._calls)
            if not self._new:
                loop.call_soon(self._put)
            self._new.append(shared)
        shared.waiters.append(then)
        return shared

    def _put(self) -> None:
        """Begin all of this turn of the loop: to wake a thread costs more than many a call."""
        new, self._new = self._new, []
        for call in new:
            call.put()

    async def call(
        self, key: Hashable, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return what `call` returns, or raise what it raises; see `begin`."""
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        then = partial(_set, waiter)
        shared = self.begin(key, partial(call, *args, **kwargs), then)
        try:
            return await waiter
        finally:
            if waiter.cancelled():
                shared.leave(then)
            del waiter, then  # they have the error whose traceback has this frame


def _set(waiter: asyncio.Future[T], said: Any) -> None:
    if not waiter.done():
        (waiter.set_exception if isinstance(said, BaseException) else waiter.set_result)(said)


class Call:
    """A call that is shared, `among` others by its `key`. `waiters`: those who are told."""

    __slots__ = ("_among", "_call", "_dropped", "_ended", "_key", "_pool", "_said", "waiters")

    def __init__(
        self, pool: Pool, ended: _Ended, call: Run, key: Hashable, among: dict[Hashable, Call]
    ) -> None:
        self.waiters: list[Then] = []
        self._pool, self._ended, self._call = pool, ended, call
        self._key, self._among = key, among
        self._dropped = False  # nobody waited when it was to begin
        self._said: Any = None

    def leave(self, then: Then) -> None:
        """Forget one who waits no more: a call may hang for days."""
        if then in self.waiters:
            self.waiters.remove(then)

    def run(self) -> None:
        """Make the call, in a thread, unless nobody waits any more."""
        self._dropped = not self.waiters
        if not self._dropped:
            try:
                self._said = self._call()
            except BaseException as error:  # the callers', whatever it is
                self._said = error
        self._ended.put(self._tell)

    def put(self) -> None:
        """Have a thread run it; if none can be had, tell that."""
        try:
            self._pool.put(self.run)
        except RuntimeError as error:
            self._dropped, self._said = False, error
            self._tell()

    def _tell(self) -> None:
        """Tell those who wait, on the loop."""
        if self._dropped and self.waiters:  # somebody came while it was dropped
            self.put()
            return
        del self._among[self._key]
        # What an error leads to, and what holds it, must not hold each other.
        waiters, self.waiters = self.waiters, []
        said, self._said = self._said, None
        for then in waiters:
            then(said)


class _Ended:
    """What threads tell `loop`: many ends with one wake-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._lock = threading.Lock()
        self._told: list[Callable[[], None]] = []

    def put(self, told: Callable[[], None]) -> None:
        """Have `told` called on the loop."""
        with self._lock:
            self._told.append(told)
            if len(self._told) > 1:
                return
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        with self._lock:
            told, self._told = self._told, []
        for tell in told:
            tell()
