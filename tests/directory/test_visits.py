# SPDX-License-Identifier: MIT
"""Sources that are visited in a thread: no task, one timer, and the words are as of a coroutine."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.directory.answer import Answer
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.ruip import Begun, Ruip
from fingerd_sd.directory.source import Mounted, Source, Visits
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.rules import Policy
from fingerd_sd.process.threads import Pool, Shared, Visit
from fingerd_sd.protocol.entry import Absent, Entry, Text
from fingerd_sd.sources.accounts.source import AccountsSource, Options
from fingerd_sd.sources.people import Range
from fingerd_sd.sources.published.source import PublishedSource
from fingerd_sd.sources.static import compile as users_compile
from fingerd_sd.sources.static.database import DatabaseSource

from ..helpers.houses import Told
from ..helpers.wire import run, until

NOBODY, FAILED = b"No such user\r\n", b"Internal error in server\r\n"


class Visited:
    """A source that says, in a thread, what `says` returns or raises for a user."""

    lifetime = 0.0

    def __init__(
        self,
        says: Callable[[str], Entry | Absent],
        name: str = "visited",
        timeout: float = 30.0,
        pool: Pool | None = None,
    ) -> None:
        self.name = name
        self.timeout = timeout
        self.asked: list[str] = []
        self._says = says
        self._shared = Shared(pool or Pool(2, name))

    async def find(self, user: str) -> Entry | Absent:
        return await self.visit(user, False).result()

    def visit(self, user: str, consented: bool) -> Visit[Entry | Absent]:
        return Visit(self._shared, (user, consented), partial(self._say, user))

    def _say(self, user: str) -> Entry | Absent:
        self.asked.append(user)
        return self._says(user)


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """An event for which a source may wait; it comes at the end at the latest."""
    release = threading.Event()
    yield release
    release.set()


def hanging(held: threading.Event) -> Callable[[str], Entry | Absent]:
    def says(user: str) -> Entry:
        assert held.wait(60)
        return Text(f"{user} at last")

    return says


def house(*sources: Source, match_names: bool = False) -> Ruip:
    audience = Audience(list="sessions" if match_names else "", match_names=match_names)
    return Ruip(Policy([audience]), Directory([Mounted(source) for source in sources]), lambda: 0)


def begun(it: Ruip, line: bytes) -> Begun:
    said = it.begin(line, it.policy.client("192.0.2.1"), 0)
    assert isinstance(said, Begun)
    return said


async def ask(it: Ruip, line: bytes) -> bytes:
    return (await it.answer(line, it.policy.client("192.0.2.1"))).octets


async def tasks_of(it: Ruip, line: bytes) -> tuple[Answer, int]:
    """Return the first answer to `line`, and how many tasks were made for it."""
    loop, task = asyncio.get_running_loop(), asyncio.Task
    made: list[asyncio.Task[Any]] = []

    def count(coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(task(coroutine, **options))
        return made[-1]

    told: list[Answer] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "Task", count)  # eager ones are made without a factory
        loop.set_task_factory(lambda loop, coroutine, **more: count(coroutine, loop=loop, **more))
        asking = begun(it, line)
        it.wait(asking).then(lambda timed: told.append(it.settle(asking, timed)))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await until(lambda: bool(told))
        loop.set_task_factory(None)
    return told[0], len(made)


def database(folder: Path) -> DatabaseSource:
    file = folder / "users.db"
    lines = [b'{"alice": "Down the hole"}']
    users_compile.write(users_compile.from_lines(lines, []), [], file)
    return DatabaseSource("database", file)


@pytest.mark.parametrize("user", ["alice", "bob"])
@pytest.mark.parametrize("kind", ["database", "accounts", "published"])
def test_a_first_asking_takes_no_task(kind: str, user: str, tmp_path: Path) -> None:
    source: Source
    if kind == "database":
        source = database(tmp_path)
    elif kind == "accounts":
        source = AccountsSource("accounts", Options())
    else:
        source = PublishedSource("published", Range(), str(tmp_path))
    assert isinstance(source, Visits)

    async def scenario() -> None:
        it = house(source)
        answer, tasks = await tasks_of(it, user.encode() + b"\r\n")
        assert tasks == 0
        assert answer.octets == (
            b"Down the hole\r\n" if (kind, user) == ("database", "alice") else answer.octets
        )
        await it.close()

    run(scenario())


def test_what_visits_do_not_answer_takes_one_task() -> None:
    """Here a source that is no visit comes after one that is, and then one that is again."""

    async def scenario() -> None:
        last = Visited(lambda user: Text(f"{user} is here"))
        it = house(Visited(lambda _: Absent("none"), "first"), Told(Absent("none")), last)
        answer, tasks = await tasks_of(it, b"alice\r\n")
        assert (answer.octets, tasks) == (b"alice is here\r\n", 1)

    run(scenario())


def test_a_miss_goes_on_with_full_names_where_they_are_searched() -> None:
    async def scenario() -> None:
        it = house(Visited(lambda _: Absent("none")), match_names=True)
        answer, tasks = await tasks_of(it, b"alice\r\n")
        assert (answer.octets, tasks >= 1) == (NOBODY, True)

    run(scenario())


@pytest.mark.parametrize("error", [OSError(5, "NSS"), asyncio.CancelledError(), SystemExit(3)])
def test_a_source_that_raises_is_logged_and_the_next_one_is_asked(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(user: str) -> Entry:
        raise error

    async def scenario() -> None:
        it = house(Visited(fail, "broken"), Visited(Text, "well"))
        assert await ask(it, b"alice\r\n") == b"alice\r\n"
        assert await ask(house(Visited(fail, "broken")), b"alice\r\n") == FAILED

    run(scenario())
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert all("broken" in record.getMessage() for record in caplog.records)
    assert all(record.exc_info for record in caplog.records)


def test_a_source_that_hangs_gets_the_same_words_as_if_it_were_a_coroutine(
    held: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> list[str]:
        texts = []
        for hangs in (
            Visited(hanging(held), "slow", timeout=0.01),
            Told(name="slow", timeout=0.01, waits=asyncio.Event()),
        ):
            caplog.clear()
            answer = await house(hangs).answer(b"alice\r\n", Policy([]).client("192.0.2.1"))
            [record] = caplog.records
            texts.append(f"{answer.octets!r} {answer.steps} {record.levelname} {record.message}")
        return texts

    visited, awaited = run(scenario())
    assert visited == awaited


def test_one_timer_keeps_the_time_of_each(held: threading.Event) -> None:
    """The source with less time is asked last, and is late first."""

    async def scenario() -> None:
        it = house(
            Visited(lambda user: Absent("none") if user == "bob" else hanging(held)(user)),
            Visited(hanging(held), "hasty", timeout=0.01),
        )
        long = asyncio.create_task(ask(it, b"alice\r\n"))
        assert await ask(it, b"bob\r\n") == FAILED
        assert not long.done()
        held.set()
        assert await long == b"alice at last\r\n"

    run(scenario())


def test_where_no_thread_can_be_had_the_source_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    class Full(Pool):
        def put(self, run: Callable[[], None]) -> None:
            raise RuntimeError("can't start new thread")

    async def scenario() -> None:
        starved = Visited(Text, "starved", pool=Full(1, "full"))
        assert await ask(house(starved), b"alice\r\n") == FAILED
        assert await ask(house(starved, Visited(lambda _: Text("here"))), b"bob\r\n") == b"here\r\n"

    run(scenario())
    assert ["can't start new thread" in record.getMessage() for record in caplog.records] == [
        True,
        True,
    ]


def test_a_look_up_outlives_its_clients_and_is_shared(held: threading.Event) -> None:
    async def scenario() -> None:
        source = Visited(hanging(held))
        it = house(source)
        leaver = asyncio.create_task(ask(it, b"alice\r\n"))
        await until(lambda: bool(source.asked))
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        comers = [asyncio.create_task(ask(it, line)) for line in (b"alice\r\n", b"/W alice\r\n")]
        await asyncio.sleep(0)
        held.set()
        assert await asyncio.gather(*comers) == [b"alice at last\r\n"] * 2
        assert source.asked == ["alice"]

    run(scenario())


def test_an_end_waits_for_visits(held: threading.Event) -> None:
    async def scenario() -> None:
        it = house(Visited(hanging(held)))
        asking = asyncio.create_task(ask(it, b"alice\r\n"))
        await asyncio.sleep(0)
        ending = asyncio.create_task(it.close())
        await asyncio.sleep(0)
        assert not ending.done()
        held.set()
        await ending
        assert await asking == b"alice at last\r\n"

    run(scenario())


def test_an_end_that_does_not_wait_asks_no_source_any_more(held: threading.Event) -> None:
    """What has begun in a thread goes on, and nobody hears of it; what has not is dropped."""

    async def scenario() -> None:
        pool = Pool(1, "one")
        first, second = Visited(hanging(held), pool=pool), Visited(hanging(held), "next")
        it = house(first, second)
        asking = [asyncio.create_task(ask(it, line)) for line in (b"alice\r\n", b"bob\r\n")]
        await until(lambda: first.asked == ["alice"])
        await it.close(cancel=True)
        assert await asyncio.gather(*asking) == [FAILED] * 2
        held.set()
        done = asyncio.wrap_future(pool.submit(len, ""))  # behind all that the thread had to do
        await done
        await asyncio.sleep(0)
        assert (first.asked, second.asked) == (["alice"], [])

    run(scenario())


def test_another_loop_does_not_wait_for_what_hung_in_the_last_one(held: threading.Event) -> None:
    source = Visited(hanging(held))
    it = house(source)

    async def leave() -> None:
        it.wait(begun(it, b"alice\r\n")).then(lambda _: None)
        await until(lambda: bool(source.asked))

    async def come() -> bytes:
        held.set()
        return await ask(it, b"alice\r\n")

    run(leave())
    assert run(come()) == b"alice at last\r\n"
    assert source.asked == ["alice"] * 2


def test_a_bug_in_one_who_waits_keeps_nobody_else_from_the_answer(held: threading.Event) -> None:
    async def scenario() -> None:
        errors: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: errors.append(told))
        it = house(Visited(hanging(held)))

        def fail(_: object) -> None:
            raise ZeroDivisionError

        it.wait(begun(it, b"alice\r\n")).then(fail)
        asking = asyncio.create_task(ask(it, b"alice\r\n"))
        await asyncio.sleep(0)
        held.set()
        assert await asking == b"alice at last\r\n"
        [told] = errors
        assert isinstance(told["exception"], ZeroDivisionError)

    run(scenario())


def test_a_source_whose_visit_raises_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    class Raises(Visited):
        def visit(self, user: str, consented: bool) -> Visit[Entry | Absent]:
            raise ZeroDivisionError

    async def scenario() -> None:
        last = Visited(lambda _: Text("here"))
        assert await ask(house(Raises(lambda _: Text(""), "raises"), last), b"a\r\n") == b"here\r\n"

    run(scenario())
    assert "raises" in caplog.text


@pytest.mark.parametrize("text", ["here", ""])
def test_a_look_up_leaves_no_cycle_for_the_collector(text: str) -> None:
    """To look for cycles takes longer than many a look-up."""

    async def scenario() -> int:
        it = house(Visited(lambda _: Text(text) if text else Absent("none")))

        async def once(line: bytes) -> None:
            told: list[Answer] = []
            asking = begun(it, line)
            it.wait(asking).then(lambda timed: told.append(it.settle(asking, timed)))
            await until(lambda: bool(told))

        await once(b"alice\r\n")
        gc.collect()
        gc.disable()
        try:
            for number in range(20):
                await once(b"user%d\r\n" % number)
            return gc.collect()
        finally:
            gc.enable()

    assert run(scenario()) < 100
