# SPDX-License-Identifier: MIT
"""A bounded pool of daemon threads, for calls that may block for ever.

concurrent.futures' own pool waits at interpreter exit for every thread, so that one dead NFS server
would keep the process from ending. asyncio's default pool does the same. This pool does not wait
for its threads. It knows nothing of what it runs.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

IDLE = 10.0  # seconds that a thread without work stays


class Pool:
    """At most `size` threads. They are made when there is work, and end after IDLE without any."""

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._work: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._waiting = 0

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `call` in a thread. It is skipped if its future is cancelled before that."""
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

        with self._changed:
            self._work.append(run)
            if len(self._work) <= self._waiting:
                self._changed.notify()
            elif self._threads < self._size:
                try:
                    threading.Thread(target=self._serve, name=self._name, daemon=True).start()
                except RuntimeError:  # the machine has no more: TasksMax=, ulimit
                    if not self._threads:
                        self._work.pop()
                        raise
                else:
                    self._threads += 1
        return future

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._work:
                    self._waiting += 1
                    told = self._changed.wait(IDLE)
                    self._waiting -= 1
                    if not told and not self._work:
                        self._threads -= 1
                        return
                run = self._work.popleft()
            run()
            del run  # and what was returned: while it waits a thread keeps nothing


class Shared:
    """Calls in `pool` by a key. Callers that ask for the same while a call is under way share it.

    So a call that hangs holds one thread, however many callers ask again.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._under_way: dict[Hashable, _Call] = {}

    async def call(
        self, key: Hashable, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return what `call` returns, or raise what it raises; `key` tells one call from another.

        A call that has not begun is dropped when nobody waits for it any more.
        """
        shared = self._under_way.get(key)
        if shared is None:
            shared = self._under_way[key] = _Call(self._pool.submit(call, *args, **kwargs))
            shared.future.add_done_callback(lambda _: self._under_way.pop(key, None))
        shared.waiting += 1
        try:
            said: T = await asyncio.shield(asyncio.wrap_future(shared.future))
            return said
        finally:
            shared.waiting -= 1
            if not shared.waiting:
                shared.future.cancel()


class _Call:
    def __init__(self, future: Future[Any]) -> None:
        self.future = future
        self.waiting = 0
