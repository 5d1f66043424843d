# SPDX-License-Identifier: MIT
"""What both stores promise the keeper: the file of one host, and the store that hosts share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.protocol.entry import Link
from fingerd_sd.serving.publishing.wire import Refused, Request, Status
from fingerd_sd.serving.publishing.writing.changing import KEEP_GONE, Looked
from fingerd_sd.serving.publishing.writing.interface import Writing
from fingerd_sd.serving.publishing.writing.threaded import Embedded

from ...helpers.store import store
from ...helpers.wire import run

LIMITS = PublishKeys()
PLAN = Request("publish", {"plan": "Curiouser\nand curiouser\n"})
ALICE, BOB = ("alice", 70001), ("bob", 70002)
LATER = 2 * 86400.0  # seconds: until both look again

Scenario = Callable[[Writing], Awaitable[None]]
Runs = Callable[[Scenario], None]


@asynccontextmanager
async def fleet(folder: Path, *options: str) -> AsyncIterator[Writing]:
    with store(folder, *options) as running:
        from fingerd_sd.serving.publishing.writing.fleet import Fleet
        from fingerd_sd.store.server import Server

        writing = Fleet(Server(running.keys(host="here")))
        try:
            yield writing
        finally:
            await writing.close()


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[Writing]:
    writing = Embedded(str(folder))
    try:
        yield writing
    finally:
        await writing.close()


@pytest.fixture(params=[embedded, fleet], ids=["embedded", "fleet"])
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> Runs:
    """Runs a scenario with a store."""

    async def within(scenario: Scenario) -> None:
        async with request.param(tmp_path) as writing:
            await scenario(writing)

    return lambda scenario: run(within(scenario))


def test_what_is_published_is_there(runs: Runs) -> None:
    async def scenario(writing: Writing) -> None:
        stored = await writing.publish(*ALICE, PLAN, LIMITS, 5.0)
        assert stored is not None
        assert (stored.plan, stored.first, stored.at) == (PLAN.texts["plan"], "Curiouser", 5.0)
        assert await writing.person(*ALICE) == stored
        assert await writing.person(*BOB) is None
        assert await writing.person("alice", 70002) is None
        assert writing.trouble == ""

    runs(scenario)


def test_what_is_not_named_stays_and_what_is_empty_goes(runs: Runs) -> None:
    async def scenario(writing: Writing) -> None:
        await writing.publish(*ALICE, PLAN, LIMITS, 5)
        more = Request("p", status=Status("on call", 99.5), links=(Link("me", "https://e/"),))
        after = await writing.publish(*ALICE, more, LIMITS, 6)
        assert after is not None
        assert (after.plan, after.status, after.until) == (PLAN.texts["plan"], "on call", 99.5)
        assert await writing.person(*ALICE) == after
        less = Request("p", unset=frozenset({"status", "links"}))
        after = await writing.publish(*ALICE, less, LIMITS, 7)
        assert after is not None
        assert (after.status, after.until, after.links, after.at) == (None, None, "[]", 7)
        none = Request("p", unset=frozenset({"plan"}))
        assert await writing.publish(*ALICE, none, LIMITS, 8) is None
        assert await writing.person(*ALICE) is None
        assert not await writing.remove(*ALICE)

    runs(scenario)


def test_a_login_that_has_a_new_owner_begins_anew(runs: Runs) -> None:
    async def scenario(writing: Writing) -> None:
        await writing.publish(*ALICE, PLAN, LIMITS, 5)
        after = await writing.publish("alice", 70002, Request("p", {"key": "k"}), LIMITS, 6)
        assert after is not None
        assert (after.uid, after.plan, after.key) == (70002, None, "k")
        assert await writing.person(*ALICE) is None

    runs(scenario)


def test_a_clock_that_is_set_back_does_not_make_an_entry_older(runs: Runs) -> None:
    async def scenario(writing: Writing) -> None:
        await writing.publish(*ALICE, PLAN, LIMITS, 5000)
        after = await writing.publish(*ALICE, PLAN, LIMITS, 10)
        assert after is not None
        assert after.at == 5000

    runs(scenario)


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (PublishKeys(max_size=20), "too_large"),
        (PublishKeys(max_people=1), "too_many"),
        (PublishKeys(per_hour=1), "too_often"),
    ],
)
def test_what_is_beyond_the_limits_changes_nothing(
    runs: Runs, limits: PublishKeys, error: str
) -> None:
    async def scenario(writing: Writing) -> None:
        await writing.publish(*BOB, Request("p", {"plan": "x"}), limits, 5)
        if error == "too_often":
            await writing.publish(*ALICE, Request("p", {"key": "x"}), limits, 5)
        before = await writing.person(*ALICE)
        with pytest.raises(Refused) as refused:
            await writing.publish(*ALICE, PLAN, limits, 6)
        assert refused.value.error == error
        assert await writing.person(*ALICE) == before
        if error == "too_often":
            await writing.publish(*ALICE, PLAN, limits, 3700)  # an hour later

    runs(scenario)


def test_what_is_taken_back_is_gone(runs: Runs) -> None:
    async def scenario(writing: Writing) -> None:
        await writing.publish(*ALICE, PLAN, LIMITS, 5)
        assert await writing.remove(*ALICE)
        assert await writing.person(*ALICE) is None
        assert not await writing.remove(*ALICE)

    runs(scenario)


def test_an_entry_goes_when_its_account_has_been_gone_for_long(runs: Runs) -> None:
    async def scenario(writing: Writing) -> None:
        for who in (ALICE, BOB):
            await writing.publish(*who, PLAN, LIMITS, 5)
        assert sorted(await writing.to_sweep(10)) == [ALICE, BOB]
        uids, gone = dict([ALICE, BOB]), Looked(frozenset({BOB}), {"alice": {}})
        gone = gone._replace(uids=uids)
        assert await writing.sweep(gone, 10) == []
        assert await writing.to_sweep(11) == []  # it has been done just now
        there = Looked(gecos={"alice": {}, "bob": {}}, uids=uids)
        assert await writing.sweep(there, LATER) == []  # the account is there again
        assert await writing.sweep(gone, 2 * LATER) == []
        assert await writing.sweep(gone, 2 * LATER + KEEP_GONE) == ["bob"]
        assert await writing.person(*BOB) is None
        assert await writing.person(*ALICE) is not None

    runs(scenario)


def test_what_the_new_owner_of_a_login_has_published_meanwhile_stays(runs: Runs) -> None:
    async def scenario(writing: Writing) -> None:
        await writing.publish(*BOB, PLAN, LIMITS, 5)
        gone = Looked(frozenset({BOB}), {}, dict([BOB]))
        await writing.sweep(gone, 10)
        await writing.publish("bob", 70003, PLAN, LIMITS, 10 + KEEP_GONE)
        await writing.sweep(gone, 11 + KEEP_GONE)
        assert await writing.person("bob", 70003) is not None

    runs(scenario)


def test_who_asked_is_two_numbers_of_some_days(runs: Runs) -> None:
    async def scenario(writing: Writing) -> None:
        day = 86400.0
        await writing.publish(*ALICE, PLAN, LIMITS, 5)
        counts = {"alice": {"192.0.2.0/24": 3, "local": 1}, "nobody": {"local": 1}}
        await writing.note(counts, 5)
        await writing.note({"alice": {"local": 2}}, 5 + day)
        assert await writing.asked("alice", 5 + day) == {"times": 6, "networks": 2}
        assert await writing.asked("alice", 5 + 7 * day) == {"times": 2, "networks": 1}
        assert await writing.asked("nobody", 5) == {"times": 0, "networks": 0}
        await writing.remove(*ALICE)
        assert await writing.asked("alice", 5 + day) == {"times": 0, "networks": 0}

    runs(scenario)


def test_two_publishes_at_once_are_both_done(runs: Runs) -> None:
    async def scenario(writing: Writing) -> None:
        texts = {"plan": "p\n", "project": "q\n", "key": "k\n"}
        asked = [Request("p", {name: text}) for name, text in texts.items()]
        await asyncio.gather(*(writing.publish(*ALICE, one, LIMITS, 5) for one in asked))
        found = await writing.person(*ALICE)
        assert found is not None
        assert (found.plan, found.project, found.key) == ("p\n", "q\n", "k\n")

    runs(scenario)
