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
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

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


class Shared:
    """Calls in `pool` by a key: who asks for the same while it is under way shares the one call.

    So a call that hangs holds one thread, however often it is asked for again. One event loop at a
    time uses it.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._calls: dict[Hashable, _Call] = {}
        self._ended: _Ended | None = None

    async def call(
        self, key: Hashable, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return what `call` returns, or raise what it raises; `key` tells one call from another.

        A call that has not begun is dropped once nobody waits for it.
        """
        loop = asyncio.get_running_loop()
        if self._ended is None or self._ended.loop is not loop:
            self._ended, self._calls = _Ended(loop), {}
        waiter: asyncio.Future[T] = loop.create_future()
        shared = self._calls.get(key)
        if shared is None:
            shared = _Call(partial(call, *args, **kwargs), waiter)
            self._begin(key, shared, self._ended)
            self._calls[key] = shared
        else:
            shared.waiters.append(waiter)
        try:
            return await waiter
        finally:
            if waiter.cancelled():
                shared.leave(waiter)
            del waiter  # it has the error whose traceback has this frame

    def _begin(self, key: Hashable, call: _Call, ended: _Ended) -> None:
        def run() -> None:
            call.run()
            ended.put(tell)

        def tell() -> None:
            if call.dropped and not all(waiter.done() for waiter in call.waiters):
                try:
                    self._begin(key, call, ended)  # somebody came while it was dropped
                except RuntimeError as error:  # no thread can be had
                    call.fail(error)
                else:
                    return
            del self._calls[key]
            call.tell()

        self._pool.put(run)


class _Call:
    """A call that is shared. `waiters`: a future for each who waits. `dropped`: nobody did when it
    was to begin.
    """

    def __init__(self, call: Callable[[], Any], waiter: asyncio.Future[Any]) -> None:
        self.waiters = [waiter]
        self.dropped = False
        self._call = call
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Make the call, in a thread, unless nobody waits any more."""
        self.dropped = all(waiter.cancelled() for waiter in tuple(self.waiters))
        if not self.dropped:
            try:
                self._result = self._call()
            except BaseException as error:  # the callers', whatever it is
                self._error = error

    def leave(self, waiter: asyncio.Future[Any]) -> None:
        """Forget one who waits no more: a call may hang for days."""
        if waiter in self.waiters:
            self.waiters.remove(waiter)

    def fail(self, error: BaseException) -> None:
        """Have `error` told to those who wait."""
        self._error = error

    def tell(self) -> None:
        """Tell those who wait, on the loop."""
        # What an error leads to, and what holds it, must not hold each other.
        waiters, self.waiters = self.waiters, []
        error, self._error = self._error, None
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(self._result)
            else:
                waiter.set_exception(error)


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
            wakes = len(self._told) == 1
        if wakes:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self.loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        with self._lock:
            told, self._told = self._told, []
        for tell in told:
            tell()
