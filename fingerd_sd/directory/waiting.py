# SPDX-License-Identifier: MIT
"""What must be waited for: a source within its time, and look-ups that several clients share.

The only part of the directory that needs an event loop. It is imported when the first query must
wait.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from fingerd_sd.directory.search import log_failure, summary
from fingerd_sd.directory.source import Source

T = TypeVar("T")
A = TypeVar("A")


class Failed(Exception):  # noqa: N818  # it is caught by who asks
    """A source did not say what it was asked for; the text is for the administrator only."""


async def answer_of(source: Source, question: Awaitable[T]) -> T:
    """Return what `source` says, within its time. Raises Failed, after it was logged, for whatever
    the source raises: that is its own failure, not ours.
    """
    try:
        async with asyncio.timeout(source.timeout):
            return await question
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # it is we who are no longer wanted
        failure: BaseException = error
    except Exception as error:
        failure = error
    log_failure(source, failure)
    raise Failed(summary(failure))


class Pending(Generic[T, A]):
    """What is waited for. `finish` makes it of what the look-up said, or of the error that it ended
    with; others may wait for the same look-up.
    """

    def __init__(self, task: asyncio.Task[T], finish: Callable[[T | BaseException], A]) -> None:
        self._task = task
        self._finish = finish

    def then(self, call: Callable[[A], None]) -> None:
        """Have `call` called with it, from the loop, once it is there."""
        self._task.add_done_callback(lambda task: call(self._finish(_end_of(task))))

    async def result(self) -> A:
        """Return it. The look-up goes on where nobody waits for it any more."""
        await asyncio.wait([self._task])
        return self._finish(_end_of(self._task))


def _end_of(task: asyncio.Task[T]) -> T | BaseException:
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception() or task.result()


class UnderWay(Generic[T]):
    """Look-ups by a key. Those who ask for the same while it is under way share it, and it goes on
    where one of them leaves.
    """

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}

    def join(
        self,
        key: Hashable,
        look_up: Callable[[], Coroutine[Any, Any, T]],
        finish: Callable[[T | BaseException], A],
    ) -> Pending[T, A]:
        """Return what `finish` makes of the look-up of `key`; `look_up` begins it where nobody else
        has.
        """
        task = self._tasks.get(key)
        if task is None:
            task = _begun(look_up())
            if not task.done():
                self._tasks[key] = task
                task.add_done_callback(lambda _: self._tasks.pop(key, None))
        return Pending(task, finish)

    async def end(self, cancel: bool) -> None:
        """Return when nothing is under way; `cancel`: do not wait for that."""
        # A query that was taken in this turn of the loop starts its look-up before this goes on.
        await asyncio.sleep(0)
        while self._tasks:
            tasks = list(self._tasks.values())
            if cancel:
                for task in tasks:
                    task.cancel()
            await asyncio.wait(tasks)


def _begun(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Return a task of `coroutine`, which has run up to its first wait where Python can do that."""
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=loop, eager_start=True)
    return loop.create_task(coroutine)
