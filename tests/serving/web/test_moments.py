# SPDX-License-Identifier: MIT
"""On the web, too, an answer that tells of nobody leaves at a moment that does not tell why."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from fingerd_sd.config.server import Limits
from fingerd_sd.policy.audience import Audience
from fingerd_sd.protocol.entry import Absent, Text

from ...helpers import needs
from ...helpers.held import Held
from ...helpers.houses import VILLAGE, Told, networks, static

needs.modules("aiohttp", "jinja2")
from ...helpers.visits import Answered, Visited, visiting  # noqa: E402  # where these are there

FLOOR = 0.02  # seconds
FINGER = "/.well-known/webfinger?resource="
LISTING = Audience("here", networks("127.0.0.0/8"), list="sessions", rate=0, match_names=True)


def visits(scenario: Any, *sources: Any, **settings: Any) -> None:
    """Run `scenario(visited, held)` on `sources`."""

    async def run() -> None:
        settings.setdefault("limits", Limits(miss_time=FLOOR))
        async with visiting(*sources, **settings) as it:
            await scenario(it, Held(it.web._floor, FLOOR))

    asyncio.run(run())


async def held_back(it: Visited, held: Held, target: str) -> Answered:
    """Return the answer to `target`, which has to be held back until it is let go."""
    asked = asyncio.create_task(it.get(target))
    while not held.releases:
        assert not asked.done(), f"{target} was not held back"
        await asyncio.sleep(0)
    assert it.logged == []
    held.let_go()
    said = await asked
    it.logged.clear()
    return said


ABSENCES = [None, Absent("hidden"), Absent("no plan"), ValueError("x")]


@pytest.mark.parametrize("says", ABSENCES)
@pytest.mark.parametrize(
    "target", ["/~alice", "/~alice.txt", "/~alice.vcf", f"{FINGER}acct:alice@example.org"]
)
def test_whatever_the_reason_an_answer_that_tells_of_nobody_is_held(
    says: Any, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(it: Visited, held: Held) -> None:
        said = await held_back(it, held, target)
        assert said.status == (503 if isinstance(says, Exception) else 404)

    caplog.set_level(logging.CRITICAL)
    visits(scenario, Told(says))


@pytest.mark.parametrize(
    "target",
    [f"{FINGER}acct:alice@example.net", f"{FINGER}https://example.org/other", "/~alice@host"],
)
def test_what_no_source_is_asked_for_is_held_like_what_is_absent(target: str) -> None:
    source = Told(Text("hello"))

    async def scenario(it: Visited, held: Held) -> None:
        assert (await held_back(it, held, target)).status == 404
        assert source.asked == []

    visits(scenario, source)


def test_a_user_who_is_there_is_not_held() -> None:
    async def scenario(it: Visited, held: Held) -> None:
        assert (await it.get("/~alice.txt")).body == b"hello\n"
        assert held.releases == []

    visits(scenario, Told(Text("hello")))


@pytest.mark.parametrize("target", ["/~nobody", f"{FINGER}acct:alice@example.net"])
def test_where_no_source_is_waited_for_nothing_is(target: str) -> None:
    async def scenario(it: Visited, held: Held) -> None:
        assert (await it.get(target)).status == 404
        assert held.releases == []

    visits(scenario, static(VILLAGE))


def test_without_a_floor_nothing_is_held() -> None:
    async def scenario(it: Visited, held: Held) -> None:
        for target in ("/~nobody", f"{FINGER}acct:alice@example.net"):
            assert (await it.get(target)).status == 404
        assert held.releases == []

    visits(scenario, Told(None), limits=Limits(miss_time=0))


def test_an_empty_list_is_held() -> None:
    class Empty(Told):
        async def who(self) -> list[str]:
            return []

    async def scenario(it: Visited, held: Held) -> None:
        assert (await held_back(it, held, "/index.txt")).status == 200

    visits(scenario, Empty(), audiences=[LISTING])


def test_it_is_kept_and_counted_at_the_moment_when_it_leaves() -> None:
    """Done before, either would tell the next request when the look-up ended."""
    source = Told(None, lifetime=3600)
    few = Audience("here", networks("127.0.0.0/8"), rate=4)

    async def scenario(it: Visited, held: Held) -> None:
        asked = asyncio.create_task(it.get("/~alice"))
        while not held.releases:
            await asyncio.sleep(0)
        again = asyncio.create_task(it.get("/~alice"))
        while len(held.releases) < 2:  # it was neither answered from the cache nor limited
            assert not again.done()
            await asyncio.sleep(0)
        held.let_go()
        assert ((await asked).status, (await again).status) == (404, 404)
        assert (await it.get("/~alice")).status == 429

    visits(scenario, source, audiences=[few])


def test_what_is_held_is_given_up_when_the_answer_is_due() -> None:
    async def scenario(it: Visited, held: Held) -> None:
        assert (await it.get("/~alice")).status == 503
        held.let_go()  # which finds nobody waiting

    visits(scenario, Told(None), limits=Limits(miss_time=FLOOR, answer_timeout=0.05))


def test_a_client_that_goes_away_meanwhile_does_no_harm() -> None:
    async def scenario(it: Visited, held: Held) -> None:
        async with await it.connect() as visitor:
            await visitor.send(b"GET /~alice HTTP/1.1\r\nHost: x\r\n\r\n")
            while not held.releases:
                await asyncio.sleep(0)
        while it.web.open:
            await asyncio.sleep(0)
        held.let_go()
        for _ in range(5):
            await asyncio.sleep(0)

    # Its end is noticed when the answer is due.
    visits(scenario, Told(None), limits=Limits(miss_time=FLOOR, answer_timeout=0.5))
