# SPDX-License-Identifier: MIT
"""An answer that tells of nobody leaves at a moment that does not tell why."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from fingerd_sd.config.server import Limits
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.directory.source import Mounted
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.rules import Policy
from fingerd_sd.protocol.entry import Absent, Text
from fingerd_sd.serving.waiting import floor
from fingerd_sd.serving.waiting.floor import Floor

from ...helpers.held import Held
from ...helpers.houses import Told, Waited, everyone, networks, ruip, static, village
from ...helpers.wire import run, serving, turns, until
from ...helpers.wire_cases import BROKEN, HAPPY, LIMITED, NOBODY

FLOOR = 0.02  # seconds
GRID = FLOOR / floor.GRID


class Timer:
    """A call that is to come."""

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at, self.call, self.cancelled = at, call, False

    def when(self) -> float:
        return self.at

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """An event loop whose time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.003
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(at, call))
        return self.timers[-1]

    def pass_to(self, now: float) -> None:
        """Let it be `now`, and every timer before that go off at its time."""
        while due := [t for t in self.timers if not t.cancelled and t.at <= now]:
            first = min(due, key=Timer.when)
            self.timers.remove(first)
            self.now = max(self.now, first.at)
            first.call()
        self.now = now

    @property
    def pending(self) -> int:
        return sum(not timer.cancelled for timer in self.timers)


class House:
    """Answers that are held, and the moments at which they left."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.bursts: list[str] = []  # "(" and ")", and between them who left
        self.floor = Floor(cast(Any, self.loop), lambda on: self.bursts.append("(" if on else ")"))
        self.left: list[tuple[str, float]] = []

    def hold(self, who: str, since: float, looked_up: float) -> None:
        """Hold the answer to `who`, who asked at `since` and was looked up at `looked_up`."""
        self.loop.pass_to(looked_up)
        self.floor.hold(lambda: self._leave(who), since, FLOOR)

    def _leave(self, who: str) -> None:
        self.left.append((who, self.loop.now))
        self.bursts.append(who)

    def moments(self) -> dict[str, float]:
        self.loop.pass_to(self.loop.now + 10)
        return dict(self.left)


def left_after(since: float, took: float) -> float:
    """Return when an answer leaves whose query came at `since` and whose look-up took `took`."""
    house = House()
    house.hold("x", since, since + took)
    return house.moments()["x"]


@pytest.mark.parametrize("since", [1000.003, 1000.0049, 1000.0101])
def test_what_a_look_up_took_below_the_floor_is_not_seen(since: float) -> None:
    moments = {left_after(since, took) for took in (0.0001, 0.0004, 0.003, 0.0199)}
    [moment] = moments
    assert since + FLOOR <= moment <= since + FLOOR + GRID


def test_those_who_leave_at_one_moment_leave_in_one_burst() -> None:
    house = House()
    for who in "abc":
        house.hold(who, 1000.003, 1000.003)
    house.moments()
    assert "".join(house.bursts) == "(abc)"


def test_a_look_up_that_took_longer_leaves_at_the_next_multiple() -> None:
    since = 1000.003
    for took, floors in ((0.021, 2), (0.039, 2), (0.0401, 3), (5.001, 251)):
        moment = left_after(since, took)
        assert since + floors * FLOOR <= moment <= since + floors * FLOOR + GRID


def test_answers_of_one_moment_leave_in_the_order_of_the_queries() -> None:
    """Not in the order in which their look-ups ended."""
    house = House()
    house.hold("second", 1000.0032, 1000.0033)
    house.hold("first", 1000.0031, 1000.009)
    assert [who for who, _ in house.left] == []
    moments = house.moments()
    assert [who for who, _ in house.left] == ["first", "second"]
    assert len(set(moments.values())) == 1


def test_one_timer_serves_all() -> None:
    house = House()
    for number in range(50):
        house.hold(str(number), 1000.003 + number / 1000, 1000.0031 + number / 1000)
        assert house.loop.pending <= 1
    assert len(house.moments()) == 50
    assert house.loop.pending == 0


def test_of_very_many_all_leave_a_batch_at_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "BATCH", 2)
    house = House()
    for number in range(5):
        house.hold(str(number), 1000.003, 1000.0031)
    turns_of_loop = []
    while house.loop.pending:
        [timer] = [timer for timer in house.loop.timers if not timer.cancelled]
        house.loop.timers.remove(timer)
        house.loop.now = max(house.loop.now, timer.at)
        timer.call()
        turns_of_loop.append(len(house.left))
    assert turns_of_loop == [2, 4, 5]
    assert [who for who, _ in house.left] == ["0", "1", "2", "3", "4"]


# --- on a server: which answers are held ---


LIMITS = Limits(miss_time=FLOOR)
HELLO = Text("hello")


@pytest.mark.parametrize(
    ("says", "answer"),
    [
        (None, NOBODY),
        (Absent("hidden"), NOBODY),
        (Absent("the home cannot be searched"), NOBODY),
        (ValueError("x"), BROKEN),
    ],
)
def test_whatever_the_reason_an_answer_that_tells_of_nobody_is_held(
    says: Absent | Exception | None, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with serving(ruip(Told(says)), LIMITS) as house:
            held = Held(house.server.floor, FLOOR)
            with house.connect() as peer:
                await peer.send(b"alice\r\n")
                await until(lambda: bool(held.releases))
                assert (house.server.open, house.log) == (1, [])
                held.let_go()
                assert await peer.receive() == answer
            await house.settled()

    caplog.set_level(logging.CRITICAL)
    run(scenario())


def test_a_user_denied_to_the_audience_is_held_like_one_who_is_absent() -> None:
    """Though no source at all is asked for this client."""

    async def scenario() -> None:
        sources = [
            Mounted(static({"moshez": Text("Happy and well")})),
            Mounted(Told(HELLO), frozenset({"inside"})),
        ]
        inside = Audience("inside", networks("192.0.2.0/24"))
        rules = Ruip(
            Policy([inside, everyone()]), Directory(sources), asyncio.get_running_loop().time
        )
        async with serving(rules, LIMITS) as house:
            held = Held(house.server.floor, FLOOR)
            with house.connect() as peer:
                await peer.send(b"alice\r\n")
                await until(lambda: bool(held.releases))
                held.let_go()
                assert await peer.receive() == NOBODY
            assert await house.ask(b"moshez\r\n") == HAPPY

    run(scenario())


def test_who_is_found_is_answered_at_once_and_nobody_waits_where_no_source_does() -> None:
    async def scenario() -> None:
        async with serving(ruip(Waited(static({"alice": HELLO}))), LIMITS) as house:
            held = Held(house.server.floor, FLOOR)
            assert await house.ask(b"alice\r\n") == b"hello\r\n"
            assert held.releases == []
        async with serving(village(), LIMITS) as house:
            held = Held(house.server.floor, FLOOR)
            assert await house.ask(b"nobody\r\n") == NOBODY
            assert held.releases == []

    run(scenario())


def test_an_answer_is_kept_and_counted_when_it_leaves_and_not_before() -> None:
    """Else a second query would tell whether the look-up of the first is over."""

    async def scenario() -> None:
        source = Told(None, lifetime=60.0)
        async with serving(ruip(source, audiences=[everyone(rate=5)]), LIMITS) as house:
            held = Held(house.server.floor, FLOOR)
            with house.connect() as first, house.connect() as second, house.connect() as third:
                await first.send(b"alice\r\n")
                await until(lambda: len(held.releases) == 1)
                await second.send(b"alice\r\n")
                await until(lambda: len(held.releases) == 2)  # not answered at once
                assert house.log == []
                await third.send(b"bob\r\n")  # the third of five: no miss has been counted
                await until(lambda: len(held.releases) == 3)
                held.let_go()
                for peer in (first, second, third):
                    assert await peer.receive() == NOBODY
            assert house.server.ruip.ready(
                b"alice\r\n", house.server.ruip.policy.client("192.0.2.1"), time.monotonic()
            )
            assert await house.ask(b"bob\r\n") == LIMITED

    run(scenario())


def test_an_empty_list_is_held_since_looking_for_the_hidden_takes_time() -> None:
    class Empty(Told):
        async def who(self) -> list[str]:
            return []

    async def scenario() -> None:
        lists = everyone()._replace(list="sessions")
        async with serving(ruip(Empty(None), audiences=[lists]), LIMITS) as house:
            held = Held(house.server.floor, FLOOR)
            with house.connect() as peer:
                await peer.send(b"\r\n")
                await until(lambda: bool(held.releases))
                held.let_go()
                assert await peer.receive() == b"No one logged on.\r\n"

    run(scenario())


def test_a_bug_in_one_release_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with serving(ruip(Told(None)), LIMITS) as house:
            told: list[object] = []

            def query_log(*logged: object) -> None:
                told.append(logged)
                if len(told) == 1:
                    raise RuntimeError("a bug")

            house.server.query_log = query_log
            peers = [house.connect() for _ in range(3)]
            for number, peer in enumerate(peers):
                await peer.send(b"user%d\r\n" % number)
            answers = [await peer.receive() for peer in peers]
            assert answers == [NOBODY] * 3
            assert len(told) == 3

    run(scenario())
    assert [record.__dict__["event"] for record in caplog.records] == ["INTERNAL_ERROR"]


def test_no_floor_holds_nobody() -> None:
    async def scenario() -> None:
        async with serving(ruip(Told(None)), Limits(miss_time=0)) as house:
            held = Held(house.server.floor, FLOOR)
            assert await house.ask(b"alice\r\n") == NOBODY
            assert held.releases == []

    run(scenario())


def test_those_who_wait_count_for_max_per_client() -> None:
    async def scenario() -> None:
        async with serving(ruip(Told(None)), LIMITS._replace(max_per_client=1)) as house:
            held = Held(house.server.floor, FLOOR)
            with house.connect() as peer:
                await peer.send(b"alice\r\n")
                await until(lambda: bool(held.releases))
                assert await house.ask(b"bob\r\n") == LIMITED
                held.let_go()
                assert await peer.receive() == NOBODY

    run(scenario())


def test_a_drain_waits_for_those_who_wait() -> None:
    async def scenario() -> None:
        async with serving(ruip(Told(None)), LIMITS) as house:
            held = Held(house.server.floor, FLOOR)
            with house.connect() as peer:
                await peer.send(b"alice\r\n")
                await until(lambda: bool(held.releases))
                drained = asyncio.create_task(house.server.drain())
                await turns()
                assert not drained.done()
                held.let_go()
                await drained
                assert await peer.receive() == NOBODY

    run(scenario())


def test_what_is_held_and_takes_too_long_is_answered_all_the_same() -> None:
    async def scenario() -> None:
        limits = LIMITS._replace(answer_timeout=0.05)
        async with serving(ruip(Told(None)), limits) as house:
            held = Held(house.server.floor, FLOOR)
            with house.connect() as peer:
                await peer.send(b"alice\r\n")
                assert await peer.receive() == BROKEN
            held.let_go()
            await house.settled()
            assert house.server.counts["failed"] == 1

    run(scenario())


@pytest.mark.parametrize("over", ["tcp", "unix"])
def test_octets_that_come_while_an_answer_is_held_do_not_cost_it(over: str) -> None:
    async def scenario() -> None:
        async with serving(ruip(Told(None)), LIMITS) as house:
            held = Held(house.server.floor, FLOOR)
            with house.connect(over) as peer:
                await peer.send(b"alice\r\n")
                await until(lambda: bool(held.releases))
                await peer.send(b"and more\r\n" * 100)
                held.let_go()
                assert await peer.receive(len(NOBODY)) == NOBODY
                assert await peer.receive() == b""

    run(scenario())
