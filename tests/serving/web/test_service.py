# SPDX-License-Identifier: MIT
"""Who may ask what, and how often: on the web as on port 79. What is kept, logged and counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from fingerd_sd.config.server import Limits
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.rates import MISS_COST
from fingerd_sd.protocol.entry import Absent, Person, Text

from ...helpers import needs
from ...helpers.houses import ALICE, VILLAGE, Told, networks, static

needs.modules("aiohttp", "jinja2")
from fingerd_sd.serving.web.client import HIDDEN  # noqa: E402  # where these are there
from fingerd_sd.serving.web.http import connections  # noqa: E402
from fingerd_sd.serving.web.target import target_of  # noqa: E402

from ...helpers.visits import PATIENCE, Visited, setup_of, visiting  # noqa: E402

HAPPY = b"Happy and well\n"
LOCAL = Audience("here", networks("127.0.0.0/8"), frozenset(("name", "office")), rate=0)
OFFICE = Audience("office", networks("198.51.100.0/24"), frozenset(("name", "phone")), rate=0)


def visits(scenario: Any, *sources: Any, **settings: Any) -> None:
    """Run `scenario(visited)` on a village, or on `sources`."""

    async def run() -> None:
        async with visiting(*(sources or [static(VILLAGE)]), **settings) as it:
            await scenario(it)

    asyncio.run(run())


# --- who asks ---


def test_a_client_sees_what_its_audience_may_see() -> None:
    async def scenario(it: Visited) -> None:
        said = await it.get("/~alice.json")
        assert said.json["office"] == "Hill 016"
        assert "plan" not in said.json
        said = await it.get("/~alice.json", "X-Forwarded-For: 198.51.100.7")
        assert "office" in said.json, "nobody may say who it is"

    visits(scenario, audiences=[LOCAL, OFFICE])


@pytest.mark.parametrize("unix", [True, False])
def test_a_trusted_proxy_says_who_the_client_is(unix: bool) -> None:
    async def scenario(it: Visited) -> None:
        for header in ("X-Forwarded-For: 198.51.100.7", 'Forwarded: for="198.51.100.7:80"'):
            said = await it.get("/~alice.json", header)
            assert said.json["phone"] == "9085551234"
            assert "office" not in said.json
        _, client, _ = it.logged[-1]
        assert (client.address, client.audience.name) == ("198.51.100.7", "office")

    trusted = () if unix else networks("127.0.0.0/8")
    visits(scenario, audiences=[LOCAL, OFFICE], unix=unix, trusted=trusted)


def test_a_proxy_that_names_nobody_is_on_this_machine_and_that_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(it: Visited) -> None:
        await it.get("/~alice.json", "X-Forwarded-For: 198.51.100.7")
        assert "neither Forwarded nor" not in caplog.text
        for _ in range(2):
            assert (await it.get("/~alice.json")).json["office"] == "Hill 016"
            assert it.logged[-1][1].address == "local"

    visits(scenario, audiences=[LOCAL], unix=True)
    assert caplog.text.count("neither Forwarded nor X-Forwarded-For") == 1


@pytest.mark.parametrize(
    "headers",
    [
        ["X-Forwarded-For: rubbish"],
        ["Forwarded: rubbish"],
        ["Forwarded:"],
        ["Forwarded: for=198.51.100.7", "X-Forwarded-For: 198.51.100.8"],
    ],
)
def test_a_proxy_whose_word_is_unclear_is_not_taken_for_the_client(headers: list[str]) -> None:
    async def scenario(it: Visited) -> None:
        said = await it.get("/~moshez.txt", *headers)
        assert (said.status, said.text.count("\n")) == (400, 1)
        answer, client, _ = it.logged[-1]
        assert (answer.result, client.address) == ("malformed", HIDDEN)

    visits(scenario, unix=True)


def test_a_client_that_its_proxy_hides_has_no_rights_but_those_of_everybody() -> None:
    async def scenario(it: Visited) -> None:
        said = await it.get("/~alice.json", "Forwarded: for=_secret")
        assert "office" not in said.json
        assert it.logged[-1][1].audience.name == "everyone"

    visits(scenario, audiences=[LOCAL], unix=True)


def test_answers_are_kept_for_one_audience_only() -> None:
    async def scenario(it: Visited) -> None:
        for _ in range(2):
            said = await it.get("/~alice.json", "X-Forwarded-For: 198.51.100.7")
            assert "phone" in said.json
            said = await it.get("/~alice.json", "X-Forwarded-For: 203.0.113.7")
            assert "phone" not in said.json

    visits(scenario, audiences=[OFFICE], unix=True)


# --- how often ---


def limited(rate: int) -> Audience:
    return Audience("limited", networks("198.51.100.0/24"), rate=rate)


async def until_limited(it: Visited, target: str) -> int:
    """Return how often `target` was answered before it was limited."""
    for number in range(200):
        said = await it.get(target, "X-Forwarded-For: 198.51.100.7")
        if said.status == 429:
            assert said.headers["Retry-After"].isdecimal()
            assert b"Too many queries, try again later" in said.body
            return number
    raise AssertionError("never limited")


def test_a_rate_holds_and_a_miss_counts_more() -> None:
    async def answered(target: str) -> int:
        async with visiting(static(VILLAGE), audiences=[limited(12)], unix=True) as it:
            return await until_limited(it, target)

    async def scenario() -> None:
        assert await answered("/~moshez.txt") == 12
        assert await answered("/.well-known/webfinger?resource=acct:moshez@example.org") == 12
        for miss in (
            "/~nobody",
            "/",
            "/~%00",
            "/feed.atom",
            "/.well-known/webfinger",
            "/.well-known/webfinger?resource=acct:nobody@example.org",
            "/.well-known/webfinger?resource=acct:moshez@example.net",
        ):
            assert await answered(miss) == 12 // MISS_COST, miss

    asyncio.run(scenario())


def test_limited_clients_are_counted_and_told_of_apart(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(it: Visited) -> None:
        assert await until_limited(it, "/~moshez") == 3
        assert [answer.result for answer, *_ in it.logged] == ["found"] * 3
        assert "1 limited" in it.web.counts

    caplog.set_level(logging.WARNING)
    visits(scenario, audiences=[limited(3)], unix=True)
    assert "Too many queries from 198.51.100.7: 1 refused" in caplog.text


def test_the_stylesheet_does_not_count() -> None:
    async def scenario(it: Visited) -> None:
        for _ in range(10):
            assert (await it.get("/style.css", "X-Forwarded-For: 198.51.100.7")).status == 200

    visits(scenario, audiences=[limited(1)], unix=True)


def test_what_is_no_request_counts_against_the_rate_of_who_sends_it() -> None:
    async def scenario(it: Visited) -> None:
        seen = [(await it.raw(b"rubbish\r\n\r\n")).split(b" ")[1] for _ in range(3)]
        assert seen == [b"400", b"400", b"429"]

    visits(scenario, audiences=[Audience("here", networks("127.0.0.0/8"), rate=MISS_COST + 1)])


# --- how many connections ---


def test_a_client_with_too_many_connections_is_told_so() -> None:
    async def scenario(it: Visited) -> None:
        first, second = await it.connect(), await it.connect()
        async with first, second:
            assert (await first.ask("/~moshez")).status == 200
            assert (await second.ask("/~moshez")).status == 200
            said = await it.get("/~moshez")
            assert (said.status, said.headers["Connection"]) == (429, "close")
        while it.web.counts.count("kept alive"):
            await asyncio.sleep(0)
        assert (await it.get("/~moshez")).status == 200

    visits(scenario, limits=Limits(max_per_client=2))


def test_those_over_it_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_OVER", 1)

    async def scenario(it: Visited) -> None:
        async with await it.connect() as first, await it.connect() as over:
            assert (await first.ask("/~moshez")).status == 200
            while it.web.open < 1:
                await asyncio.sleep(0)
            assert await it.raw(b"") == b""
            assert (await over.ask("/~moshez")).status == 429

    visits(scenario, limits=Limits(max_per_client=1))


def test_a_proxy_may_have_many_connections_and_each_of_its_clients_a_few_requests() -> None:
    waits = asyncio.Event()

    async def scenario(it: Visited) -> None:
        header = "X-Forwarded-For: 198.51.100.7"
        async with asyncio.TaskGroup() as group:
            slow = [group.create_task(it.get(f"/~u{n}.txt", header)) for n in range(2)]
            while len(source.asked) < 2:
                await asyncio.sleep(0)
            assert (await it.get("/~u3", header)).status == 429
            other = group.create_task(it.get("/~u4.txt", "X-Forwarded-For: 198.51.100.8"))
            while len(source.asked) < 3:
                await asyncio.sleep(0)
            waits.set()
        assert [(await task).body for task in (*slow, other)] == [b"hello\n"] * 3
        assert (await it.get("/~u5.txt", header)).body == b"hello\n"

    source = Told(Text("hello"), waits=waits)
    visits(scenario, source, unix=True, limits=Limits(max_per_client=2))


def test_when_all_connections_are_taken_one_that_waits_gives_way() -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as first, await it.connect() as second:
            for visitor in (first, second):
                assert (await visitor.ask("/~moshez")).status == 200
            assert (await it.get("/~moshez.txt")).body == HAPPY
            assert await first.rest() == b""
            assert (await second.ask("/~moshez.txt")).body == HAPPY

    visits(scenario, limits=Limits(max_connections=2))


def test_when_all_are_at_work_new_ones_wait() -> None:
    waits = asyncio.Event()

    async def scenario(it: Visited) -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(it.get("/~alice.txt"))
            while not source.asked:
                await asyncio.sleep(0)
            second = group.create_task(it.get("/~bob.txt"))
            while not it.web.trouble:
                await asyncio.sleep(0)
            assert it.web.trouble == "all 1 connections are taken"
            assert source.asked == ["alice"]
            waits.set()
        assert [(await task).body for task in (first, second)] == [b"hello\n"] * 2

    source = Told(Text("hello"), waits=waits)
    visits(scenario, source, limits=Limits(max_connections=1))


# --- sources ---


def test_a_source_that_fails_is_an_error_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(it: Visited) -> None:
        said = await it.get("/~alice")
        assert (said.status, b"disk" in said.octets) == (503, False)
        assert "Retry-After" in said.headers
        assert it.logged[-1][0].result == "failed"

    caplog.set_level(logging.CRITICAL)
    visits(scenario, Told(ValueError("the disk is on fire")))


def test_a_bug_is_an_error_of_the_server_too(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError

    async def scenario(it: Visited) -> None:
        monkeypatch.setattr(it.web._site, "reply", broken)
        said = await it.get("/~alice")
        assert (said.status, said.body) == (500, b"Internal error in server\n")
        assert it.logged[-1][0].result == "failed"
        monkeypatch.undo()
        assert (await it.get("/~moshez.txt")).body == HAPPY

    visits(scenario)
    assert "ZeroDivisionError" in caplog.text


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    async def scenario(it: Visited) -> None:
        assert (await it.get("/~alice")).status == 503
        assert it.logged[-1][0].result == "failed"

    source = Told(ALICE, waits=asyncio.Event())
    visits(scenario, source, limits=Limits(answer_timeout=0.05, miss_time=0))


def test_those_who_ask_the_same_share_one_look_up() -> None:
    waits = asyncio.Event()

    async def scenario(it: Visited) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(it.get(f"/~alice{suffix}")) for suffix in ("", ".txt")]
            while it.web.open < 2:
                await asyncio.sleep(0)
            for _ in range(20):
                await asyncio.sleep(0.001)
            waits.set()
        assert [(await task).status for task in tasks] == [200, 200]
        assert source.asked == ["alice"]

    source = Told(ALICE, waits=waits)
    visits(scenario, source)


def test_what_is_good_for_a_while_is_asked_for_once() -> None:
    async def scenario(it: Visited) -> None:
        for _ in range(3):
            assert (await it.get("/~alice")).status == 200
        assert source.asked == ["alice"]
        assert target_of.cache_info().currsize
        it.web.give_back()
        assert target_of.cache_info().currsize == 0
        assert (await it.get("/~alice")).status == 200
        assert source.asked == ["alice"] * 2

    source = Told(ALICE, lifetime=3600)
    visits(scenario, source)


def test_nothing_is_kept_that_is_good_for_no_time() -> None:
    async def scenario(it: Visited) -> None:
        for _ in range(2):
            assert (await it.get("/~alice")).status == 200
        assert source.asked == ["alice"] * 2

    source = Told(ALICE)
    visits(scenario, source)


class Telling(Told):
    """A source that tells when its answers have changed."""

    count = 0

    def news(self) -> int:
        return self.count


def test_what_a_source_has_changed_is_seen_at_the_next_request() -> None:
    async def scenario(it: Visited) -> None:
        said = await it.get("/~alice.txt")
        assert (said.body, said.headers["Cache-Control"]) == (b"old\n", "private, no-cache")
        source.says = Text("new")
        assert (await it.get("/~alice.txt")).body == b"old\n"
        source.count += 1
        assert (await it.get("/~alice.txt")).body == b"new\n"

    source = Telling(Text("old"), lifetime=3600)
    visits(scenario, source)


def test_what_was_looked_up_before_the_news_is_not_kept() -> None:
    waits = asyncio.Event()

    async def scenario(it: Visited) -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(it.get("/~alice.txt"))
            while not source.asked:
                await asyncio.sleep(0)
            source.count += 1
            waits.set()
        assert (await task).body == b"old\n"
        source.says = Text("new")
        assert (await it.get("/~alice.txt")).body == b"new\n"

    source = Telling(Text("old"), lifetime=3600, waits=waits)
    visits(scenario, source)


# --- lists ---


class Listed(Told):
    """A source that knows who is here."""

    async def who(self) -> list[str]:
        return ["alice", "bob"]

    async def match(self, words: Any) -> list[str]:
        return ["alice", "bob"] if list(words) == ["Liddell"] else []

    async def find(self, user: str) -> Person | Absent:
        return Person(user, name=f"{user} Liddell") if user in ("alice", "bob") else Absent()


LISTING = Audience("here", networks("127.0.0.0/8"), list="sessions", rate=0, match_names=True)


def test_who_may_list_gets_the_list_in_each_form() -> None:
    async def scenario(it: Visited) -> None:
        page, text, data = [await it.get(f"/{name}") for name in ("", "index.txt", "index.json")]
        for said in (page, text, data):
            assert said.status == 200
            assert b"alice" in said.body
        assert text.text.splitlines()[0].startswith("Login")
        assert data.json
        assert (await it.get("/feed.atom")).status == 403

    visits(scenario, Listed(), audiences=[LISTING])


def test_who_may_search_finds_by_full_name() -> None:
    async def scenario(it: Visited) -> None:
        said = await it.get("/~Liddell.txt")
        assert (said.status, said.text.count("Login: ")) == (200, 2)
        assert (await it.get("/~Liddell")).status == 200
        for one in ("/~Liddell.vcf", "/.well-known/webfinger?resource=acct:Liddell@example.org"):
            assert (await it.get(one)).status == 404
        assert (await it.get("/~nobody")).status == 404

    visits(scenario, Listed(), audiences=[LISTING])


# --- WebFinger, as far as it is HTTP ---

FINGER = "/.well-known/webfinger?resource="


def test_webfinger_is_for_any_site() -> None:
    async def scenario(it: Visited) -> None:
        for query, status in (
            ("acct:alice@example.org", 200),
            ("acct:nobody@example.org", 404),
            ("acct:alice@example.net", 404),
            ("https://example.org/other", 404),
            ("", 400),
            ("rubbish", 400),
            ("%zz", 400),
        ):
            said = await it.get(f"{FINGER}{query}")
            assert said.status == status, query
            assert said.headers["Access-Control-Allow-Origin"] == "*"
            kind = "application/jrd+json" if status == 200 else "application/json"
            assert said.headers["Content-Type"] == kind

    visits(scenario)


def test_absent_hidden_and_other_domains_users_are_one_answer() -> None:
    hidden = Audience("here", networks("127.0.0.0/8"), rate=0)

    async def bodies() -> set[bytes]:
        async with visiting(Told(Absent("hidden")), static(VILLAGE), audiences=[hidden]) as it:
            asked = ("acct:nobody@example.org", "acct:hidden@example.org", "acct:alice@example.net")
            answers = [await it.get(f"{FINGER}{query}") for query in asked]
            dated = {"Date": ""}
            return {f"{a.status}{a.headers | dated}{a.text}".encode() for a in answers}

    assert len(asyncio.run(bodies())) == 1


# --- the log, the counts, the setup ---


def test_every_request_is_logged_once_with_all_fields() -> None:
    async def scenario(it: Visited) -> None:
        said = await it.get("/~moshez.txt?a=%0Ab\\c")
        answer, client, sent = it.logged[-1]
        assert (answer.query, answer.result, answer.source) == (
            "/~moshez.txt?a=%0Ab\\\\c",
            "found",
            "static",
        )
        assert (client.address, sent) == ("127.0.0.1", len(said.octets))
        await it.get("/~moshez.txt", f"If-None-Match: {said.headers['ETag']}")
        await it.get("/~nobody", method="HEAD")
        results = [answer.result for answer, *_ in it.logged]
        assert results == ["found", "found", "absent"]
        assert it.web.counts.startswith("3 requests (2 found, 1 absent)")

    visits(scenario)


def test_a_new_setup_holds_from_the_next_request_and_closes_the_old_sources() -> None:
    closed = asyncio.Event()

    class Closing(Told):
        async def close(self) -> None:
            closed.set()

    waits = asyncio.Event()

    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor, asyncio.TaskGroup() as group:
            assert (await visitor.ask("/style.css")).status == 200
            slow = group.create_task(it.get("/~alice.txt"))
            while not old.asked:
                await asyncio.sleep(0)
            it.web.use(setup_of(static({"alice": Text("new")}), visited=it))
            assert (await visitor.ask("/~alice.txt")).body == b"new\n"
            assert not closed.is_set()
            waits.set()
            assert (await slow).body == b"old\n"
            async with asyncio.timeout(PATIENCE):
                await closed.wait()

    old = Closing(Text("old"), waits=waits)
    visits(scenario, old)


def test_sources_are_started_once_and_their_trouble_is_told_without_a_request() -> None:
    changed: list[Callable[[], None]] = []

    class Starts(Told):
        def start(self, tell: Callable[[], None]) -> None:
            changed.append(tell)

    async def scenario(it: Visited) -> None:
        assert len(changed) == 1
        it.web.use(setup_of(Starts(), visited=it))
        assert len(changed) == 2
        told: list[str] = []
        it.web.on_change = lambda: told.append("changed")
        changed[1]()
        changed[1]()  # it is to be set again first
        assert told == ["changed"]

    visits(scenario, Starts())


def test_a_proxy_that_is_trusted_no_longer_is_not_believed_on_an_old_connection() -> None:
    header = "X-Forwarded-For: 198.51.100.7"

    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            await visitor.ask("/~moshez", header)
            assert it.logged[-1][1].address == "198.51.100.7"
            it.web.use(setup_of(static(VILLAGE), visited=it))
            await visitor.ask("/~moshez", header)
            assert it.logged[-1][1].address == "127.0.0.1"

    visits(scenario, trusted=networks("127.0.0.0/8"))


def test_the_status_has_the_trouble_of_the_sources() -> None:
    class Troubled(Told):
        trouble = "the site is down"

    async def scenario(it: Visited) -> None:
        assert it.web.trouble == "the site is down"

    visits(scenario, Troubled())


def test_who_watches_the_counts_is_told_once() -> None:
    async def scenario(it: Visited) -> None:
        told: list[str] = []
        it.web.on_change = lambda: told.append("changed")
        for _ in range(3):
            await it.get("/~moshez")
        assert told == ["changed"]

    visits(scenario)
