# SPDX-License-Identifier: MIT
"""Asks one source, within its time, and keeps its failure from all others."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable
from typing import TypeVar

from fingerd_sd.directory.source import Source, SourceError

T = TypeVar("T")

log = logging.getLogger(__name__)


class Failed(Exception):  # noqa: N818  # it is caught in this module
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
    raise Failed(_summary(failure))


def _summary(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, SourceError):
        return str(error)
    return "".join(traceback.format_exception_only(error)).strip()


def log_failure(source: Source, error: BaseException) -> None:
    """Log that `source` failed, unless the journal knows. A SourceError has no traceback."""
    if isinstance(error, SourceError) and error.told:
        return
    log.error(
        "Source %s failed: %s",
        source.name,
        _summary(error),
        exc_info=None if isinstance(error, SourceError) else error,
        extra={"event": "SOURCE_FAILED", "fields": {"FINGER_SOURCE": source.name}},
    )
