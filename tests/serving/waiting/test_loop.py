# SPDX-License-Identifier: MIT
"""The loop that calls who accepts without a turn of asyncio's: what it stays for, what ends that.

At a door of these tests somebody always waits, so that the loop would stay there for ever.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fingerd_sd.serving.waiting import accept
from fingerd_sd.serving.waiting.loop import Loop

from ...helpers.houses import village
from ...helpers.wire import run, serving, turns
from ...helpers.wire_cases import HAPPY

AT = 20  # the call at which something happens

# Makes something that is to end the stay, and by which `done` is set.
Happening = Callable[[asyncio.AbstractEventLoop, Callable[[], None]], object]


class Door:
    """Calls `happens` at the call number AT."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self.calls = 0
        self.fd, self._end = os.pipe()
        self._happens = happens
        os.write(self._end, b"x")

    def call(self) -> None:
        """Take nothing of what is there."""
        self.calls += 1
        if self.calls == AT:
            self._happens()

    def close(self) -> None:
        """Close the pipe."""
        os.close(self.fd)
        os.close(self._end)


def the_loop() -> Loop:
    """Return the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    return loop


@contextmanager
def door(happens: Callable[[], object]) -> Iterator[Door]:
    """Open a door of the running loop."""
    it = Door(happens)
    the_loop().doors.open(it.fd, it.call)
    try:
        yield it
    finally:
        the_loop().doors.shut(it.fd)
        it.close()


def _in_a_thread(loop: asyncio.AbstractEventLoop, done: Callable[[], None]) -> None:
    threading.Thread(target=loop.call_soon_threadsafe, args=(done,)).start()


def _by_a_signal(loop: asyncio.AbstractEventLoop, done: Callable[[], None]) -> None:
    loop.add_signal_handler(signal.SIGUSR1, done)
    os.kill(os.getpid(), signal.SIGUSR1)


def _by_a_descriptor(loop: asyncio.AbstractEventLoop, done: Callable[[], None]) -> None:
    fd = os.eventfd(1)

    def ready() -> None:
        loop.remove_reader(fd)
        os.close(fd)
        done()

    loop.add_reader(fd, ready)


async def _call(done: Callable[[], None]) -> None:
    done()


@pytest.mark.parametrize(
    "happening",
    [
        lambda loop, done: loop.call_soon(done),
        lambda loop, done: loop.call_later(0.001, done),
        lambda loop, done: loop.call_at(loop.time(), done),
        lambda loop, done: loop.create_task(_call(done)),
        _in_a_thread,
        _by_a_signal,
        _by_a_descriptor,
    ],
    ids=["call", "timer", "time", "task", "thread", "signal", "descriptor"],
)
def test_it_stays_at_a_door_until_something_else_happens(happening: Happening) -> None:
    async def scenario() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        made: list[object] = []  # a task must be kept
        with door(lambda: made.append(happening(loop, done.set))) as it:
            await done.wait()
            assert it.calls >= AT

    run(scenario())


def test_what_is_answered_meanwhile_takes_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        loop, done, turned = the_loop(), asyncio.Event(), []
        select = loop.doors.select

        def counted(timeout: float | None = None) -> object:
            turned.append(timeout)
            return select(timeout)

        await turns()
        monkeypatch.setattr(loop.doors, "select", counted)
        with door(lambda: loop.call_soon(done.set)) as it:
            await done.wait()
            assert it.calls == AT + 1  # and a look at the door in the turn that sets `done`
        assert len(turned) == 2

    run(scenario())


def test_a_timer_that_was_set_before_ends_the_stay() -> None:
    async def scenario() -> None:
        with door(lambda: None) as it:
            await asyncio.sleep(0.01)
            assert it.calls > 0

    run(scenario())


def test_a_call_that_fails_is_told_and_harms_nobody() -> None:
    async def scenario() -> None:
        loop, done, told = the_loop(), asyncio.Event(), []
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        error = RuntimeError("a bug")

        def fails() -> None:
            loop.call_later(0.001, done.set)
            raise error

        with door(fails) as it:
            await done.wait()
            assert it.calls > AT
        assert told == [error]

    run(scenario())


def test_who_is_shut_is_not_called_any_more() -> None:
    async def scenario() -> None:
        loop, done = the_loop(), asyncio.Event()

        def shut() -> None:
            loop.doors.shut(it.fd)
            loop.call_later(0.001, done.set)

        with door(shut) as it:
            await done.wait()
            assert it.calls == AT
            loop.doors.open(it.fd, it.call)

    run(scenario())


def test_no_door_keeps_another_waiting() -> None:
    async def scenario() -> None:
        loop, done = the_loop(), asyncio.Event()
        with door(lambda: loop.call_soon(done.set)) as one, door(lambda: None) as other:
            await done.wait()
            assert abs(one.calls - other.calls) <= 1

    run(scenario())


def test_many_clients_are_answered_while_it_stays() -> None:
    """From a thread of their own, as from other processes; more than until it looks for several."""

    async def scenario() -> None:
        async with serving(village()) as house:
            loop, done, answers = the_loop(), asyncio.Event(), []

            def clients() -> None:
                for _ in range(4 * accept.PROBE):
                    with socket.create_connection(house.listeners["tcp"].getsockname()) as sock:
                        sock.sendall(b"moshez\r\n")
                        answers.append(sock.makefile("rb").read())
                loop.call_soon_threadsafe(done.set)

            thread = threading.Thread(target=clients)
            thread.start()
            await done.wait()
            thread.join()
            assert answers == [HAPPY] * (4 * accept.PROBE)

    run(scenario())


def test_it_serves_in_any_loop_of_asyncio() -> None:
    async def scenario() -> None:
        async with serving(village()) as house:
            assert await house.ask(b"moshez\r\n") == HAPPY

    asyncio.run(scenario())
