# SPDX-License-Identifier: MIT
"""Calls that are shared by a key: who hangs holds one thread, and nothing of the others."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable

import pytest

from fingerd_sd.process.threads import Pool, Shared


def test_those_who_ask_the_same_share_one_call_and_its_exception() -> None:
    calls: list[str] = []
    begin = threading.Event()

    def work(word: str) -> str:
        begin.wait(20)
        calls.append(word)
        if word == "bad":
            raise OSError(word)
        return word.upper()

    async def scenario() -> list[object]:
        shared = Shared(Pool(2, "test"))
        asked = [
            asyncio.create_task(shared.call(word, work, word)) for word in ("a", "bad", "a", "bad")
        ]
        await asyncio.sleep(0)
        begin.set()
        return [
            *await asyncio.gather(*asked, return_exceptions=True),
            await shared.call(1, len, ""),
        ]

    first, error, again, same, other = asyncio.run(scenario())
    assert (first, again, other) == ("A", "A", 0)
    assert isinstance(error, OSError)
    assert isinstance(same, OSError)
    assert sorted(calls) == ["a", "bad"]


def test_a_call_that_hangs_holds_one_thread_however_often_it_is_asked_for() -> None:
    release = threading.Event()

    async def scenario() -> None:
        shared = Shared(Pool(2, "test"))
        for _ in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await shared.call("dead", release.wait, 20)
        assert await shared.call("alive", len, "abc") == 3

    try:
        asyncio.run(scenario())
    finally:
        release.set()


def test_a_call_that_nobody_waits_for_any_more_is_dropped_unless_it_has_begun() -> None:
    release, begun = threading.Event(), threading.Event()
    called: list[str] = []

    def hang() -> None:
        begun.set()
        release.wait(20)

    async def scenario() -> None:
        shared = Shared(Pool(1, "test"))
        first = asyncio.create_task(shared.call("first", hang))
        dropped = asyncio.create_task(shared.call("second", called.append, "second"))
        kept = [asyncio.create_task(shared.call("third", called.append, "third")) for _ in "ab"]
        await asyncio.to_thread(begun.wait, 20)
        for task in (dropped, kept[0]):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        release.set()
        await asyncio.gather(first, kept[1])

    asyncio.run(scenario())
    assert called == ["third"]


def test_a_call_keeps_nothing_of_what_it_raised() -> None:
    """A cycle would keep it, and what its frames hold, until Python looks for cycles."""

    class LargeError(Exception):
        pass

    def fail() -> None:
        raise LargeError

    async def scenario() -> weakref.ref[LargeError]:
        try:
            await Shared(Pool(1, "test")).call("", fail)
        except LargeError as error:
            return weakref.ref(error)
        raise AssertionError

    gc.disable()
    try:
        large = asyncio.run(scenario())
        assert large() is None
    finally:
        gc.enable()


def test_who_comes_while_a_call_is_dropped_is_told_all_the_same() -> None:
    """The thread has seen that nobody waits; the loop has not yet heard of it."""
    held: list[Callable[[], None]] = []

    class Slow(Pool):
        def put(self, run: Callable[[], None]) -> None:
            held.append(run)

    async def scenario() -> str:
        shared = Shared(Slow(1, "test"))
        leaver = asyncio.create_task(shared.call("key", "abc".upper))
        await asyncio.sleep(0)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        held.pop()()  # it is dropped
        comer = asyncio.create_task(shared.call("key", "abc".upper))
        await asyncio.sleep(0)
        while not held:
            await asyncio.sleep(0)
        held.pop()()
        return await comer

    assert asyncio.run(scenario()) == "ABC"


def test_a_dropped_call_that_cannot_begin_again_is_an_error_and_not_the_last_word() -> None:
    held: list[Callable[[], None]] = []

    class Full(Pool):
        full = False

        def put(self, run: Callable[[], None]) -> None:
            if self.full:
                raise RuntimeError("all threads hang")
            held.append(run)

    async def scenario() -> str:
        pool = Full(1, "test")
        shared = Shared(pool)
        leaver = asyncio.create_task(shared.call("key", "abc".upper))
        await asyncio.sleep(0)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        held.pop()()  # it is dropped
        comer = asyncio.create_task(shared.call("key", "abc".upper))
        pool.full = True
        with pytest.raises(RuntimeError, match="all threads hang"):
            await comer
        pool.full = False
        again = asyncio.create_task(shared.call("key", "abc".upper))
        while not held:
            await asyncio.sleep(0)
        held.pop()()
        return await again

    assert asyncio.run(scenario()) == "ABC"


def test_a_call_that_hangs_keeps_nothing_of_those_who_left() -> None:
    release = threading.Event()

    async def scenario() -> int:
        shared = Shared(Pool(1, "test"))
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await shared.call("dead", release.wait, 20)
        [call] = shared._calls.values()
        return len(call.waiters)

    try:
        assert asyncio.run(scenario()) == 0
    finally:
        release.set()


def test_one_turn_of_the_loop_hands_over_all_that_it_begins() -> None:
    put: list[int] = []

    class Counted(Pool):
        turn = 0

        def put(self, run: Callable[[], None]) -> None:
            put.append(self.turn)
            super().put(run)

    async def scenario() -> list[str]:
        pool = Counted(1, "test")
        shared = Shared(pool)
        told: list[str] = []
        for number in range(3):
            shared.begin(number, str(number).upper, told.append)
        assert put == []
        pool.turn = 1
        while len(told) < 3:
            await asyncio.sleep(0)
        return told

    assert asyncio.run(scenario()) == ["0", "1", "2"]
    assert put == [1, 1, 1]
