# SPDX-License-Identifier: MIT
"""Waiting: for a source within its time, and for look-ups that several clients share.

In the directory only this module and directory/lists.py import asyncio. `Directory.prepare` imports
both; else the first query that must wait does.
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


class Failed(Exception):  # noqa: N818  # the callers catch it
    """A source did not answer; the text is for the administrator only."""


async def answer_of(source: Source, question: Awaitable[T]) -> T:
    """Return what `source` says, within its time. If the source raises anything, log that and raise
    Failed: it is the source's failure, not ours.
    """
    try:
        async with asyncio.timeout(source.timeout):
            return await question
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # this task was cancelled, not the source
        failure: BaseException = error
    except Exception as error:
        failure = error
    log_failure(source, failure)
    raise Failed(summary(failure))


class Pending(Generic[T, A]):
    """A result to wait for. `finish` makes it from what the look-up said, or from the error that
    ended it. Others may wait for the same look-up.
    """

    def __init__(self, task: asyncio.Task[T], finish: Callable[[T | BaseException], A]) -> None:
        self._task = task
        self._finish = finish

    def then(self, call: Callable[[A], None]) -> None:
        """Call `call` with the result, from the loop, when it is there."""
        self._task.add_done_callback(lambda task: call(self._finish(_end_of(task))))

    async def result(self) -> A:
        """Return the result. The look-up goes on even if nobody waits for it any more."""
        await asyncio.wait([self._task])
        return self._finish(_end_of(self._task))


def _end_of(task: asyncio.Task[T]) -> T | BaseException:
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception() or task.result()


class UnderWay(Generic[T]):
    """Look-ups by a key. Clients who ask for the same while a look-up is under way share it. It
    goes on when one of them leaves.
    """

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}

    def join(
        self,
        key: Hashable,
        look_up: Callable[[], Coroutine[Any, Any, T]],
        finish: Callable[[T | BaseException], A],
    ) -> Pending[T, A]:
        """Return what `finish` makes of the look-up of `key`; `look_up` begins one if need be."""
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
    """Return a task of `coroutine`, already run up to its first wait if Python can do that."""
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=loop, eager_start=True)
    return loop.create_task(coroutine)
