# SPDX-License-Identifier: MIT
"""Users who have published on any host, by a real store: who is shown, by whose word, how fresh."""

from __future__ import annotations

import asyncio
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.directory.source import News, Publishes
from fingerd_sd.policy.audience import PLANS, Audience
from fingerd_sd.protocol.entry import Absent, Person
from fingerd_sd.sources.people import Range
from fingerd_sd.sources.published.fleet import ACCOUNT, LASTING, FleetSource
from fingerd_sd.sources.published.source import PublishedSource
from fingerd_sd.store import server as server_module
from fingerd_sd.store.errors import StoreError
from fingerd_sd.store.people import Entry, fields
from fingerd_sd.store.presence.joined import Joined
from fingerd_sd.store.presence.telling import tell
from fingerd_sd.store.presence.told import Told
from fingerd_sd.store.server import Server

from ...helpers import needs
from ...helpers.houses import Told as Saying
from ...helpers.houses import everyone, ruip
from ...helpers.published import NOON, account
from ...helpers.store import Running, store
from ...helpers.wire import run
from ...helpers.wire_cases import NOBODY

needs.modules("redis")

FAILED = b"Internal error in server\r\n"
ALICE = Entry("alice", 1000, NOON, plan="Working.\n", host="login3", name="Alice Liddell")


class Clock:
    """Monotonic seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Fleet:
    """A store, and a source of those who have published there."""

    def __init__(self, running: Running, **keys: Any) -> None:
        self.running = running
        self.server = Server(running.keys()._replace(**keys)).hold()
        self.clock = Clock()
        self.source = FleetSource(
            "published", Range(), self.server.hold(), lambda: NOON + 60, self.clock
        )

    async def publish(self, entry: Entry) -> None:
        """Have the store have `entry`."""
        names = self.server.names
        words = [word for pair in fields(entry).items() for word in pair]
        await self.server.together(
            ("DEL", names.person(entry.login)),
            ("HSET", names.person(entry.login), *words),
            ("ZADD", names.recent, entry.at, entry.login),
        )

    async def hears(self) -> None:
        """Return when the source hears of changes."""
        self.source.start(lambda: None)
        await until(lambda: self.source._changes.hears)


async def heard(one: Fleet, before: object) -> None:
    """Return when there are other news than `before`."""
    await until(lambda: one.source.news() != before)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not what():
            await asyncio.sleep(0.01)


Scenario = Callable[[Fleet], Awaitable[None]]


@asynccontextmanager
async def fleet(running: Running, **keys: Any) -> AsyncIterator[Fleet]:
    one = Fleet(running, **keys)
    try:
        yield one
    finally:
        await one.source.close()
        await one.server.close()


@pytest.fixture
def nss(monkeypatch: pytest.MonkeyPatch) -> dict[str, pwd.struct_passwd]:
    """The accounts of this host, by name: none."""
    known: dict[str, pwd.struct_passwd] = {}
    monkeypatch.setattr(pwd, "getpwnam", lambda name: known[name])
    return known


@pytest.fixture
def go(tmp_path: Path, nss: object, monkeypatch: pytest.MonkeyPatch) -> Callable[[Scenario], None]:
    """Run a scenario with a store of its own."""
    monkeypatch.setattr(server_module, "AGAIN", 0.02)

    def within(scenario: Scenario, **keys: Any) -> None:
        async def whole(running: Running) -> None:
            async with fleet(running, **keys) as one:
                await scenario(one)

        with store(tmp_path) as running:
            run(whole(running))

    return within


Go = Callable[..., None]
Accounts = dict[str, pwd.struct_passwd]


def asking(house: Ruip) -> Callable[..., Awaitable[bytes]]:
    """Return what asks `house`, which may have kept the answer."""

    async def ask(line: bytes = b"alice\r\n") -> bytes:
        client = house.policy.client("192.0.2.1")
        answer = house.ready(line, client, 0) or await house.answer(line, client)
        return answer.octets

    return ask


# --- who is shown ---


def test_who_has_published_anywhere_is_shown_by_the_word_of_that_host(go: Go) -> None:
    async def scenario(one: Fleet) -> None:
        await one.publish(ALICE._replace(office="Hill 016", status="on call"))
        said = await one.source.find("alice")
        assert isinstance(said, Person)
        assert (said.name, said.office, said.phone) == ("Alice Liddell", "Hill 016", None)
        assert (said.plan, said.status and said.status.text) == ("Working.\n", "on call")
        assert (said.uid, said.beneath, said.note) == (1000, True, None)
        assert set(said.origins) == {"name", "office", "status", "plan"}
        assert said.origins["plan"].startswith("published ")
        assert said.origins["plan"].endswith(" at login3")
        assert said.origins["name"] == "the account at login3"
        assert await one.source.find("bob") == Absent("has published nothing", 2.0)

    go(scenario)


def test_where_the_account_is_here_it_says_the_name(go: Go, nss: Accounts) -> None:
    async def scenario(one: Fleet) -> None:
        nss["alice"] = account("alice", 1000, "Alice Pleasance,,123")
        await one.publish(ALICE._replace(office="Hill 016"))
        said = await one.source.find("alice")
        assert isinstance(said, Person)
        assert (said.name, said.office, said.phone) == ("Alice Pleasance", None, "123")
        assert said.origins["name"] == "NSS, account alice"

    go(scenario)


def test_another_user_of_the_same_name_is_not_shown_and_the_journal_told_once(
    go: Go, nss: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(one: Fleet) -> None:
        nss["alice"] = account("alice", 1007)
        await one.publish(ALICE)
        for _ in range(3):
            said = await one.source.find("alice")
            assert isinstance(said, Absent)
            assert said.why == (
                "published by uid 1000 at login3, but here the account has uid 1007"
            )

    go(scenario)
    assert [record.getMessage() for record in caplog.records] == [
        "Source published does not show alice: published by uid 1000 at login3, but here the"
        " account has uid 1007"
    ]


@pytest.mark.parametrize(
    ("entry", "here", "why"),
    [
        (ALICE._replace(uid=999), None, "published by uid 999, not from 1000 to 60000"),
        (ALICE._replace(uid=60001), None, "published by uid 60001, not from 1000 to 60000"),
        (ALICE._replace(gone=NOON), None, "login3 has no such account any more"),
        (ALICE._replace(gone=NOON), "alice", "login3 has no such account any more"),
        (ALICE, "Alice", 'the account is called "Alice"'),
    ],
)
def test_who_is_not_a_person_of_the_fleet_is_not_shown(
    go: Go, nss: Accounts, entry: Entry, here: str | None, why: str
) -> None:
    async def scenario(one: Fleet) -> None:
        if here is not None:
            nss["alice"] = account(here)
        await one.publish(entry)
        said = await one.source.find("alice")
        assert isinstance(said, Absent)
        assert why in said.why

    go(scenario)


def test_what_another_host_has_forged_is_not_shown_and_the_journal_told_once(
    go: Go, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(one: Fleet) -> None:
        names = one.server.names
        await one.publish(ALICE)
        await one.server.call("HSET", names.person("alice"), "uid", "root")
        await one.server.call("SET", names.person("bob"), "x")
        await one.server.call("HSET", names.person("carol"), "plan", b"\xff" * (1 << 20))
        for name in ("alice", "bob", "carol", "alice", "bob"):
            said = await one.source.find(name)
            assert isinstance(said, Absent)
            assert said.why.startswith("the store's entry is malformed: ")
        logins: list[str | bytes] = ["alice", b"\xff", "\x1b[2J", "dave", "x" * 999]
        for at, login in enumerate(logins):
            await one.server.call("ZADD", names.recent, 9e10 + at, login)
        assert await one.source.recent(9) == [("dave", NOON + 60), ("alice", NOON + 60)]
        await one.server.call("SET", names.recent, "x")
        with pytest.raises(StoreError):
            await one.source.recent(9)

    go(scenario)
    assert len([record for record in caplog.records if "malformed" in record.getMessage()]) == 3


def test_a_status_ends_when_the_user_said(go: Go) -> None:
    async def scenario(one: Fleet) -> None:
        await one.hears()
        for left, lifetime in ((90.0, 30.0), (60.0, LASTING), (None, LASTING)):
            until, before = None if left is None else NOON + left, one.source.news()
            await one.publish(ALICE._replace(status="on call", until=until))
            await heard(one, before)
            said = await one.source.find("alice")
            assert isinstance(said, Person)
            assert said.lifetime == lifetime
            assert (said.status is None) == (left == 60)

    go(scenario)


def test_answers_last_where_changes_are_heard_and_no_account_may_be_removed(
    go: Go, nss: Accounts
) -> None:
    async def scenario(one: Fleet) -> None:
        async def lifetimes() -> list[float | None]:
            return [(await one.source.find(name)).lifetime for name in ("alice", "bob", "carol")]

        nss["alice"] = account("alice", 1000)
        await one.publish(ALICE)
        await one.publish(ALICE._replace(login="bob"))
        assert await lifetimes() == [0.5, 0.5, 0.5]
        await one.hears()
        assert await lifetimes() == [ACCOUNT, LASTING, LASTING]

    go(scenario, ttl=0.5)


def test_it_offers_what_the_embedded_one_does(tmp_path: Path) -> None:
    server = Server(Running(tmp_path).keys())
    embedded = PublishedSource("published", Range(5, 6), str(tmp_path))
    source = embedded.in_store(server)
    assert isinstance(source, FleetSource)
    for kind in (News, Publishes):
        assert isinstance(source, kind)
    assert (source.name, source.uids) == ("published", Range(5, 6))
    run(source.close())
    assert server._closed


# --- fresh and old answers ---


def test_a_publish_on_any_host_is_seen_as_soon_as_it_is_heard_of(go: Go) -> None:
    async def scenario(one: Fleet) -> None:
        await one.hears()
        ask = asking(ruip(one.source, audiences=[everyone()], clock=lambda: 0.0))
        assert await ask() == NOBODY
        for plan in ("one", "two"):
            before = one.source.news()
            await one.publish(ALICE._replace(plan=plan))
            await heard(one, before)
            assert plan.encode() in await ask()
            asked = await commands(one)
            assert plan.encode() in await ask()
            assert await commands(one) == asked  # it was kept
        before = one.source.news()
        await one.server.call("DEL", one.server.names.person("alice"))
        await heard(one, before)
        assert await ask() == NOBODY

    go(scenario)


def test_a_publish_leaves_kept_answers_about_others(go: Go) -> None:
    everybody = Audience(list=PLANS, rate=0)

    async def scenario(one: Fleet, audience: Audience = everybody) -> None:
        await one.publish(ALICE)
        await one.publish(ALICE._replace(login="bob"))
        await one.hears()
        ask = asking(house := ruip(one.source, audiences=[audience], clock=lambda: 0.0))
        client = house.policy.client("192.0.2.1")
        lines = (b"alice\r\n", b"/W alice\r\n", b"bob\r\n", b"carol\r\n", b"\r\n")

        async def left(change: Awaitable[Any]) -> list[bytes]:
            for line in lines:
                await ask(line)
            before = one.source.news()
            await change
            await heard(one, before)
            return [line for line in lines if house.ready(line, client, 0.0)]

        assert await left(one.publish(ALICE._replace(plan="Else."))) == list(lines[2:4])
        assert b"Else." in await ask()
        before = one.source.news()
        await one.publish(ALICE._replace(login="carol"))
        await heard(one, before)
        gone = one.server.call("DEL", one.server.names.person("carol"))
        assert await left(gone) == list(lines[:3])
        assert await left(one.server.call("CLIENT", "KILL", "TYPE", "pubsub")) == []

    go(scenario)


def test_where_full_names_are_searched_an_answer_may_be_about_anybody(go: Go) -> None:
    async def scenario(one: Fleet) -> None:
        await one.publish(ALICE)
        await one.hears()
        audience = Audience(list="sessions", rate=0, match_names=True)
        assert audience.matches
        ask = asking(house := ruip(one.source, audiences=[audience], clock=lambda: 0.0))
        await ask()
        before = one.source.news()
        await one.publish(ALICE._replace(login="bob"))
        await heard(one, before)
        assert house.ready(b"alice\r\n", house.policy.client("192.0.2.1"), 0.0) is None

    go(scenario)


async def commands(one: Fleet) -> int:
    """Return how many scripts the store has run."""
    said = (await one.server.call("INFO", "commandstats")).decode().split("\r\n")
    rows = (row for row in said if row.startswith("cmdstat_eval"))
    return sum(int(row.split("calls=")[1].split(",")[0]) for row in rows)


def test_the_store_is_asked_again_only_if_something_may_have_changed(go: Go) -> None:
    async def scenario(one: Fleet) -> None:
        await one.publish(ALICE)

        async def asked(*names: str) -> int:
            before = await commands(one)
            for name in names:
                await one.source.find(name)
            return await commands(one) - before

        assert await asked("alice", "bob") >= 2  # the script is sent whole at first
        assert await asked("alice", "bob") == 2
        await one.hears()
        assert await asked("alice", "bob") == 2
        assert await asked("alice", "bob", "alice", "bob") == 0
        before = one.source.news()
        await one.publish(ALICE._replace(login="bob"))
        await heard(one, before)
        assert await asked("alice", "bob", "bob") == 1
        one.clock.now = LASTING + 1
        assert await asked("alice", "bob") == 2
        before = one.source.news()
        await one.server.call("CLIENT", "KILL", "TYPE", "pubsub")
        await heard(one, before)
        await one.hears()
        assert await asked("alice", "bob") == 2

    go(scenario)


def test_what_was_kept_is_dropped_when_changes_are_not_heard_any_more(go: Go) -> None:
    async def scenario(one: Fleet) -> None:
        await one.publish(ALICE)
        await one.hears()
        ask = asking(ruip(one.source, audiences=[everyone()], clock=lambda: 0.0))
        assert b"Working." in await ask()
        before = one.source.news()
        one.source._changes._server = _Nowhere()
        await one.server.call("CLIENT", "KILL", "TYPE", "pubsub")
        await heard(one, before)
        await one.publish(ALICE._replace(plan="Else."))
        assert b"Else." in await ask()
        said = await one.source.find("alice")
        assert said.lifetime == one.server.keys.ttl

    go(scenario)


class _Nowhere(Any):  # type: ignore[misc]
    """A store to which no new connection can be had."""

    async def connection(self) -> None:
        raise StoreError("no", told=True)


def test_while_the_store_is_down_old_answers_are_marked_and_misses_fail(
    go: Go, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(one: Fleet) -> None:
        await one.publish(ALICE)
        await one.publish(ALICE._replace(login="bob"))
        changed: list[str] = []
        one.source.start(lambda: changed.append(one.source.trouble))
        await until(lambda: one.source._changes.hears)
        house = ruip(one.source, Saying(name="later"), audiences=[everyone()], clock=lambda: 0.0)
        ask = asking(house)
        whole = await ask()
        one.running.stop()
        await until(lambda: bool(changed))
        assert changed == [one.source.trouble]
        assert "cannot be reached" in house.trouble
        one.clock.now = 180.0
        mark = b"[This answer is 3 minutes old: no newer one can be had now]\r\n"
        assert await ask() == whole + mark
        said = await one.source.find("alice")
        assert isinstance(said, Person)
        assert "; 3 minutes old, since: the store at " in said.origins["plan"]
        assert said.lifetime == 2.0
        assert await ask(b"bob\r\n") == FAILED  # nobody has asked for bob before
        assert await ask(b"carol\r\n") == FAILED
        one.clock.now = 86401.0
        with pytest.raises(StoreError) as error:
            await one.source.find("alice")
        assert error.value.told
        await asyncio.to_thread(one.running.start)
        await until(lambda: one.source._changes.hears)
        assert (await ask(), await ask(b"carol\r\n")) == (whole, NOBODY)
        assert (changed[-1], house.trouble) == ("", "")

    go(scenario)
    events = [getattr(record, "event", "") for record in caplog.records]
    told = [record.getMessage() for record in caplog.records if "store at" in record.getMessage()]
    assert len(told) == len(set(told))  # besides, it may still be loading
    assert "SOURCE_FAILED" not in events


def test_a_later_source_may_know_while_the_store_is_down(go: Go) -> None:
    async def scenario(one: Fleet) -> None:
        later = Saying(says=Person("alice", plan="from later"))
        ask = asking(ruip(one.source, later, audiences=[everyone()]))
        one.running.stop()
        assert b"from later" in await ask()

    go(scenario)


def test_nothing_stands_in_that_is_known_to_have_been_taken_back(go: Go) -> None:
    async def scenario(one: Fleet) -> None:
        await one.publish(ALICE)
        await one.hears()
        assert isinstance(await one.source.find("alice"), Person)
        before = one.source.news()
        await one.server.call("DEL", one.server.names.person("alice"))
        await heard(one, before)
        one.running.stop()
        with pytest.raises(StoreError):
            await one.source.find("alice")

    go(scenario)


def test_what_may_stand_in_is_given_back_unless_it_is_needed(go: Go) -> None:
    async def scenario(one: Fleet) -> None:
        for name in ("alice", "bob"):
            await one.publish(ALICE._replace(login=name))
            await one.source.find(name)
        one.source.give_back()
        await one.source.find("bob")
        one.running.stop()
        for _ in range(2):
            assert (await one.source.find("bob")).lifetime == 2.0
            with pytest.raises(StoreError):
                await one.source.find("alice")
            one.source.give_back()

    go(scenario)


def test_what_the_store_does_not_allow_is_in_the_journal_once(
    go: Go, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(one: Fleet) -> None:
        await one.publish(ALICE)
        ask = asking(ruip(one.source, audiences=[everyone()]))
        await one.server.call("ACL", "SETUSER", "default", "-@scripting")
        for _ in range(3):
            assert await ask() == FAILED
        assert "does not allow this to its user" in one.source.trouble
        await one.server.call("ACL", "SETUSER", "default", "+@scripting")
        assert b"Working." in await ask()
        assert one.source.trouble == ""

    go(scenario)
    assert [getattr(record, "event", "") for record in caplog.records] == ["SOURCE_FAILED"]


# --- lists ---


def test_a_list_of_plans_has_those_of_all_hosts(go: Go, nss: Accounts) -> None:
    async def scenario(one: Fleet) -> None:
        nss["bob"] = account("bob", 1001, "Bob Here")
        nss["carol"] = account("carol", 7)
        await one.publish(ALICE)
        await one.publish(Entry("bob", 1001, NOON + 5, plan="B", host="login1"))
        await one.publish(Entry("carol", 1002, NOON + 6, plan="C", host="login1"))
        audience = Audience(list=PLANS, rate=0)
        said = await asking(ruip(one.source, audiences=[audience]))(b"\r\n")
        rows = said.decode().split("\r\n")
        assert [row.split()[0] for row in rows[:-1]] == ["Login", "bob", "alice"]
        assert "Bob Here" in rows[1]
        assert "Alice Liddell" in rows[2]

    go(scenario)


def test_a_front_without_accounts_shows_who_is_on_anywhere(go: Go) -> None:
    async def scenario(one: Fleet) -> None:
        await one.publish(ALICE)
        await tell(one.server, "login2", [Told("alice", 1000, NOON, "pts/0")])
        await tell(one.server, "login3", [Told("bob", 1001, NOON), Told("alice", 7, NOON)])
        embedded = PublishedSource("published", Range(), "")
        embedded.fleet = True
        source = embedded.in_store(one.server)
        assert isinstance(source, Joined)
        everybody = Audience(list="sessions", show=everyone().show, rate=0)
        house = ruip(source, audiences=[everybody])
        house.directory.start(lambda: None)
        ask = asking(house)
        assert b"pts/0 at login2" in await ask()
        rows = (await ask(b"\r\n")).decode().split("\r\n")
        assert [row.split()[0] for row in rows[:-1]] == ["Login", "alice"]
        said = await source.find("alice")
        assert isinstance(said, Person)
        assert said.lifetime == 2.0  # although the plan may last
        await house.close()

    go(scenario)
