# SPDX-License-Identifier: MIT
"""Whichever store has what users publish, they are shown alike: the file of one host, and the store
that several share, each written by its own keeper.
"""

from __future__ import annotations

import asyncio
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.directory.source import SourceError
from fingerd_sd.policy.audience import PLANS, Audience
from fingerd_sd.protocol.entry import Absent, Link, Person, Status
from fingerd_sd.serving.publishing.wire import Request
from fingerd_sd.serving.publishing.wire import Status as Until
from fingerd_sd.serving.publishing.writing.interface import Writing
from fingerd_sd.serving.publishing.writing.threaded import Embedded
from fingerd_sd.sources.people import Range
from fingerd_sd.sources.published.source import PublishedSource

from ...helpers.houses import bare, everyone, ruip
from ...helpers.published import NOON, account
from ...helpers.store import store
from ...helpers.wire import run
from ...helpers.wire_cases import NOBODY

LIMITS = PublishKeys()
ALICE, BOB, CAROL = ("alice", 1000), ("bob", 1001), ("carol", 1002)
ALL = Request(
    "publish",
    {"plan": "Curiouser\nand curiouser\n", "project": "P", "key": "PGP"},
    status=Until("on call", NOON + 90),
    links=(Link("me", "https://e.example/"),),
)
PLAN = Request("publish", {"plan": "Working.\n"})

Scenario = Callable[[Writing, Any], Awaitable[None]]


@asynccontextmanager
async def fleet(folder: Path) -> AsyncIterator[tuple[Writing, Any]]:
    with store(folder) as running:
        from fingerd_sd.serving.publishing.writing.fleet import Fleet
        from fingerd_sd.sources.published.fleet import FleetSource
        from fingerd_sd.store.server import Server

        server = Server(running.keys()._replace(host="login3"))
        source = FleetSource("published", Range(), server.hold(), lambda: NOON + 60)
        source.start(lambda: None)
        await until(lambda: source._changes.hears)
        writing = Fleet(server)
        yield writing, source
        await source.close()
        await writing.close()


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[tuple[Writing, Any]]:
    writing = Embedded(str(folder))
    source = PublishedSource("published", Range(), str(folder), lambda: NOON + 60)
    yield writing, source
    await source.close()
    await writing.close()


@pytest.fixture(params=[embedded, fleet], ids=["embedded", "fleet"])
def runs(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Scenario], None]:
    """Runs a scenario with a store, on a host where alice and bob have accounts."""
    here = {"alice": account(*ALICE, "Alice Liddell,Hill 016,9085551234"), "bob": account(*BOB)}
    monkeypatch.setattr(pwd, "getpwnam", lambda name: here[name])

    async def within(scenario: Scenario) -> None:
        async with request.param(tmp_path) as (writing, source):
            await scenario(writing, source)

    return lambda scenario: run(within(scenario))


Runs = Callable[[Scenario], None]


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not what():
            await asyncio.sleep(0.01)


async def other_news(source: Any, before: object) -> None:
    await until(lambda: source.news() != before)


async def published(writing: Writing, source: Any, who: tuple[str, int], asked: Request) -> None:
    """Publish, and wait until the source has heard of it."""
    before = source.news()
    await writing.publish(*who, asked, LIMITS, NOON)
    await other_news(source, before)


def test_all_that_is_published_is_shown(runs: Runs) -> None:
    async def scenario(writing: Writing, source: Any) -> None:
        await published(writing, source, ALICE, ALL)
        said = await source.find("alice")
        assert bare(said) == Person(
            "alice",
            name="Alice Liddell",
            office="Hill 016",
            phone="9085551234",
            plan="Curiouser\nand curiouser\n",
            project="P",
            key="PGP",
            status=Status("on call", said.status.until),
            links=(Link("me", "https://e.example/"),),
            beneath=True,
            lifetime=2.0,
            uid=1000,
        )
        assert said.status.until.timestamp() == NOON + 90
        assert set(said.origins) == {
            *("name", "office", "phone", "plan", "project", "key", "status"),
        }
        assert said.origins["name"] == "NSS, account alice"
        assert said.origins["plan"].startswith("published ")
        assert (await source.find("bob")).why == "has published nothing"

    runs(scenario)


def test_a_change_is_seen_by_the_next_query(runs: Runs) -> None:
    async def scenario(writing: Writing, source: Any) -> None:
        house = ruip(source, audiences=[everyone()], clock=lambda: 0.0)
        client = house.policy.client("192.0.2.1")

        async def ask(line: bytes = b"alice\r\n") -> bytes:
            answer = house.ready(line, client, 0) or await house.answer(line, client)
            return answer.octets

        for plan in ("one", "two"):
            assert await ask() == NOBODY
            await published(writing, source, ALICE, Request("publish", {"plan": plan}))
            assert plan.encode() in await ask()
            assert await ask() == await ask()
            before = source.news()
            assert await writing.remove(*ALICE)
            await other_news(source, before)
        assert await ask() == NOBODY

    runs(scenario)


def test_another_uid_than_the_accounts_is_nobody(runs: Runs) -> None:
    async def scenario(writing: Writing, source: Any) -> None:
        await published(writing, source, ("alice", 1007), PLAN)
        said = await source.find("alice")
        assert isinstance(said, Absent)
        assert said.why.startswith("published by uid 1007")
        assert said.why.endswith("the account has uid 1000")

    runs(scenario)


def test_a_list_of_plans_is_newest_first(runs: Runs) -> None:
    async def scenario(writing: Writing, source: Any) -> None:
        await writing.publish(*BOB, PLAN, LIMITS, NOON + 5)
        await published(writing, source, ALICE, PLAN)
        assert await source.recent(9) == [("bob", NOON + 5), ("alice", NOON)]
        assert await source.recent(1) == [("bob", NOON + 5)]
        house = ruip(source, audiences=[Audience(list=PLANS, rate=0)])
        answer = await house.answer(b"\r\n", house.policy.client("192.0.2.1"))
        rows = answer.octets.decode().split("\r\n")
        assert [row.split()[0] for row in rows[:-1]] == ["Login", "bob", "alice"]

    runs(scenario)


def test_nss_that_fails_is_the_sources_failure(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(writing: Writing, source: Any) -> None:
        def fails(name: str) -> Any:
            raise OSError("no")

        await published(writing, source, ALICE, PLAN)
        monkeypatch.setattr(pwd, "getpwnam", fails)
        with pytest.raises((OSError, SourceError)):
            await source.find("alice")

    runs(scenario)
