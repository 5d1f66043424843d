# SPDX-License-Identifier: MIT
"""Waiting for sources, each within its time: for a coroutine, or for a visit of a thread.

A visit takes no coroutine and no task, which take longer than many a look-up, and all visits share
one timer. The words and the log of a failure are the same for both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from fingerd_sd.directory.search import Search, log_failure, summary
from fingerd_sd.directory.source import Source
from fingerd_sd.process.threads import Call

T = TypeVar("T")


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


class Visits:
    """The visits that `loop` waits for, and the one timer that keeps their times."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._until: dict[Course, float] = {}  # in the loop's seconds
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, course: Course, seconds: float) -> None:
        """Call `course.late` in `seconds`, unless it is forgotten before."""
        until = self._until[course] = self._loop.time() + seconds
        if self._timer is None or until < self._timer.when():
            self._arm(until)

    def forget(self, course: Course) -> None:
        """What `course` waited for has come."""
        self._until.pop(course, None)

    def _arm(self, until: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(until, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for course in [course for course, until in self._until.items() if until <= now]:
            course.late()
        if self._until:
            self._arm(min(self._until.values()))


class Course:
    """The rest of `search`, if there is one, as far as its sources are visited. Then `over` is
    called, once: with None, or with the error that has ended it, which is a bug or that it was
    cancelled. This may happen before `ask_on` returns. Then somebody else may have `search`.
    """

    __slots__ = ("_call", "_search", "_visits")

    def __init__(self, visits: Visits, search: Search | None) -> None:
        self._visits = visits
        self._search = search
        self._call: Call | None = None  # that it waits for

    def over(self, error: BaseException | None) -> None:
        """Take what this has come to."""
        raise NotImplementedError

    def ask_on(self) -> None:
        """Ask the first source. It needs a running event loop."""
        try:
            self._go_on()
        except Exception as error:  # a bug
            self.over(error)

    def late(self) -> None:
        """Take it that the source does not answer in time."""
        self._leave()
        self._take(TimeoutError())

    def stop(self) -> None:
        """End at once. What a thread does already goes on, and nobody hears of it."""
        self._leave()
        self.over(asyncio.CancelledError())

    def _leave(self) -> None:
        self._visits.forget(self)
        if self._call is not None:
            self._call.leave(self._take)

    def _take(self, said: Any) -> None:
        """Take what the source has said or raised, and go on."""
        self._call = None
        self._visits.forget(self)
        search = self._search
        if search is None:  # then nobody was asked
            return
        try:
            if isinstance(said, BaseException):
                _fail(search, said)
            else:
                search.take(said)
            if search.next is not None:
                self._go_on()
                return
        except Exception as error:  # a bug
            self.over(error)
        else:
            self.over(None)

    def _go_on(self) -> None:
        search = self._search
        while search is not None and (source := search.next) is not None:
            try:
                visit = search.visit()
                if visit is None:
                    break
                seconds = source.timeout
                self._call = visit.begin(self._take)
            except Exception as error:  # no thread can be had, or it is the source's
                _fail(search, error)
            else:
                self._visits.expect(self, seconds)
                return
        self.over(None)


def _fail(search: Search, error: BaseException) -> None:
    if search.next is not None:
        log_failure(search.next, error)
    search.fail(summary(error))
