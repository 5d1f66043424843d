# SPDX-License-Identifier: MIT
"""The keeper and its socket: who asks by the kernel's word, its bounds, what the world sees."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.source import Mounted
from fingerd_sd.policy.audience import Audience
from fingerd_sd.serving.publishing import service
from fingerd_sd.serving.publishing.client import exchange
from fingerd_sd.serving.publishing.keeper import Rules
from fingerd_sd.serving.publishing.service import Publishing, Setup
from fingerd_sd.serving.publishing.views import Seen
from fingerd_sd.serving.publishing.wire import longest
from fingerd_sd.sources.people import Range
from fingerd_sd.sources.published.source import PublishedSource
from fingerd_sd.sources.published.store import FILE, Reader

from ...helpers.wire import run, until

ME = pwd.getpwuid(os.getuid()).pw_name
EVERYBODY = Range(0, 2**32 - 2)
PLAN = {"do": "publish", "set": {"plan": "Curiouser\n"}}


class House:
    """A keeper that serves `path`, with its files in `state`."""

    def __init__(self, folder: Path, served: Publishing) -> None:
        self.path = str(folder / "publish")
        self.served = served
        self.reader = Reader(str(folder / FILE))

    async def say(self, octets: bytes) -> bytes:
        """Return what a user's command gets for `octets`."""
        return await asyncio.to_thread(exchange, self.path, octets)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection to the keeper."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def ask(self, **request: Any) -> dict[str, Any]:
        """Return the response to a request."""
        told: dict[str, Any] = json.loads(await self.say(json.dumps(request).encode() + b"\n"))
        return told


def set_up(folder: Path, limits: PublishKeys, uids: Range, *audiences: Audience) -> Setup:
    source = PublishedSource("published", EVERYBODY, str(folder))
    directory = Directory([Mounted(source)])
    return Setup(Rules(limits, *uids), Seen((*audiences, Audience()), directory), 600)


@asynccontextmanager
async def house(
    folder: Path,
    limits: PublishKeys | None = None,
    uids: Range = EVERYBODY,
    audiences: tuple[Audience, ...] = (),
) -> AsyncIterator[House]:
    loop = asyncio.get_running_loop()
    made = set_up(folder, limits or PublishKeys(), uids, *audiences)
    served = Publishing(loop, made, str(folder))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(folder / "publish"))
        listener.listen()
        served.start([listener])
        try:
            yield House(folder, served)
        finally:
            served.stop_accepting()
            await served.drain()
            await served.close()


def test_a_user_publishes_sees_it_and_takes_it_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            told = await here.ask(**PLAN)
            assert (told["ok"], told["person"]["plan"], told["person"]["login"]) == (
                True,
                "Curiouser\n",
                ME,
            )
            row = here.reader.person(ME)
            assert row is not None
            assert (row.uid, row.plan) == (os.getuid(), "Curiouser\n")
            shown = await here.ask(do="show")
            assert shown["person"] == told["person"]
            (view,) = shown["seen"]
            assert view["audience"] == "everyone"
            assert "Plan:\nCuriouser\n" in view["text"]
            assert (await here.ask(do="remove"))["person"] is None
            assert here.reader.count() == 0
            assert (await here.ask(do="show"))["person"] is None
            assert here.served.counts == "1 published, 1 removed, 2 shown"

    run(scenario())


def test_links_are_published_and_taken_back_alone(tmp_path: Path) -> None:
    link = {"rel": "me", "href": "https://social.example/@alice"}

    async def scenario() -> None:
        async with house(tmp_path) as here:
            told = await here.ask(do="publish", set={"links": [link]})
            assert (told["ok"], told["person"]["links"]) == (True, [link])
            shown = await here.ask(do="show")
            assert shown["person"]["links"] == [link]
            assert "social.example" not in shown["seen"][0]["text"]  # no part of a finger answer
            await here.ask(**PLAN)
            assert (await here.ask(do="show"))["person"]["links"] == [link]
            person = (await here.ask(do="publish", unset=["links"]))["person"]
            assert (person["links"], person["plan"]) == ([], "Curiouser\n")
            assert (await here.ask(do="publish", set={"links": []}, unset=["plan"]))[
                "person"
            ] is None

    run(scenario())


def test_each_audience_sees_its_own_and_is_told_why_not_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        office = Audience("office", show=frozenset({"name", "key"}))
        async with house(tmp_path, audiences=(office,)) as here:
            await here.ask(do="publish", set={"plan": "p\n", "key": "k\n"})
            first, last = (await here.ask(do="show"))["seen"]
            assert first["hidden"] == {"plan": 'not in show of the audience "office"'}
            assert last["hidden"] == {"key": 'not in show of the audience "everyone"'}
            assert "k" in first["text"]
            assert "Plan" not in first["text"]

    run(scenario())


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (b"what\n", "bad_request"),
        (b"{}\n", "bad_request"),
        (b"[" * 5000 + b"\n", "bad_request"),
        (b'{"do": "publish"}\n', "bad_request"),
        (b'{"do": "publish", "set": {"shell": "x"}}\n', "bad_request"),
        (b'{"do": "publish", "set": {"plan": 5}}\n', "bad_request"),
        (b'{"do": "publish", "set": {"plan": "\\ud800"}}\n', "bad_request"),
        (b'{"do": "publish", "set": {"plan": "a\\u0000b"}}\n', "bad_request"),
        (b'{"do": "publish", "set": {"plan": "x"}, "unset": ["plan"]}\n', "bad_request"),
        (b'{"do": "publish", "set": {"links": "x"}}\n', "bad_request"),
        (b'{"do": "publish", "set": {"links": [7]}}\n', "bad_request"),
        (b'{"do": "publish", "set": {"links": [{"rel": "me"}]}}\n', "bad_request"),
        (b'{"do": "publish", "set": {"links": [{"rel": "me", "href": 7}]}}\n', "bad_request"),
        (
            b'{"do": "publish", "set": {"links": [{"rel": "me", "href": "javascript:x"}]}}\n',
            "bad_request",
        ),
        (
            b'{"do": "publish", "set": {"links": [{"rel": "me", "href": "https://\\ud800/"}]}}\n',
            "bad_request",
        ),
        (
            b'{"do": "publish", "set": {"links": [{"rel": "http://openid.net/specs/connect/1.0/'
            b'issuer", "href": "https://e/"}]}}\n',
            "bad_request",
        ),
        (b'{"do": "publish", "set": {"links": []}, "unset": ["links"]}\n', "bad_request"),
        (
            b'{"do": "publish", "set": {"links": [%s]}}\n'
            % b", ".join([b'{"rel": "me", "href": "https://e/"}'] * 17),
            "too_large",
        ),
        (b'{"do": "publish", "set": {"status": {"text": ""}}}\n', "bad_request"),
        (b'{"do": "publish", "set": {"status": {"text": "x", "until": NaN}}}\n', "bad_request"),
        (b'{"do": "publish", "set": {"status": {"text": "x", "until": true}}}\n', "bad_request"),
        (b'{"do": "publish", "set": {"status": {"text": "two\\nlines"}}}\n', "too_large"),
        (b'{"do": "publish", "set": {"plan": "' + b"x" * 3000 + b'"}}\n', "too_large"),
        (b'{"do": "publish", "set": {"plan": "' + b"x" * (1 << 20) + b'"}}\n', "too_large"),
        (b'{"do": "publish", "login": "root", "uid": 0}\n', "bad_request"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line_and_changes_nothing(
    tmp_path: Path, request_: bytes, error: str
) -> None:
    async def scenario() -> None:
        async with house(tmp_path, PublishKeys(max_size=2048)) as here:
            told = json.loads(await here.say(request_))
            assert (told["ok"], told["error"]) == (False, error)
            assert told["say"]
            assert "\n" not in told["say"]
            assert here.reader.count() == 0

    run(scenario())


def test_who_it_is_comes_from_the_kernel_and_from_nothing_that_is_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            told = await here.ask(**PLAN, login="mallory", uid=4711)
            assert told["person"]["login"] == ME

    run(scenario())


def test_uids_that_are_no_people_may_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        mine = os.getuid()
        async with house(tmp_path, uids=Range(mine + 1, mine + 2)) as here:
            told = await here.ask(**PLAN)
            assert told["error"] == "not_allowed"
            assert f"uid {mine} is not from {mine + 1}" in told["say"]

    run(scenario())


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """NSS, where the user's name belongs to another uid."""
    other = pwd.struct_passwd((ME, "x", os.getuid() + 1, 1, "", "/", "/"))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: other)


@pytest.mark.usefixtures("renamed")
def test_a_name_that_is_anothers_may_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            assert (await here.ask(**PLAN))["error"] == "not_allowed"

    run(scenario())


def test_a_disk_that_fails_is_told_and_heals(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / FILE).mkdir()
        async with house(tmp_path) as here:
            told = await here.ask(**PLAN)
            assert told["error"] == "not_stored"
            assert "nothing can be stored" in here.served.trouble
            (tmp_path / FILE).rmdir()
            assert (await here.ask(**PLAN))["ok"]
            assert here.served.trouble == ""

    run(scenario())


def test_open_connections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_OPEN", 3)
    monkeypatch.setattr(service, "MAX_PER_USER", 2)

    async def scenario() -> None:
        async with house(tmp_path) as here:
            await until(lambda: not here.served.open)  # the first task is over
            async with here.connected(), here.connected():
                await until(lambda: here.served.open == 2)
                assert (await here.ask(**PLAN))["error"] == "too_many"
            await until(lambda: not here.served.open)
            assert (await here.ask(**PLAN))["ok"]

    run(scenario())


def test_a_request_that_does_not_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REQUEST_TIME", 0.05)

    async def scenario() -> None:
        async with house(tmp_path) as here, here.connected() as (reader, writer):
            writer.write(b'{"do":')
            assert await reader.read() == b""

    run(scenario())


def test_draining_finishes_what_was_taken(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            await until(lambda: not here.served.open)
            async with here.connected() as (reader, writer):
                await until(lambda: here.served.open > 0)
                here.served.stop_accepting()
                drained = asyncio.create_task(here.served.drain())
                writer.write(json.dumps(PLAN).encode() + b"\n")
                assert json.loads(await reader.readline())["ok"]
                await drained

    run(scenario())


def test_a_new_configuration_holds_for_the_next_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as here:
            here.served.use(set_up(tmp_path, PublishKeys(max_size=1024), EVERYBODY))
            told = await here.ask(do="publish", set={"plan": "x" * 2000})
            assert told["error"] == "too_large"

    run(scenario())


def test_a_request_of_the_largest_entry_is_read() -> None:
    whole = {"do": "publish", "set": {"plan": "\x01" * 5000}}
    assert len(json.dumps(whole)) <= longest(5000)


def test_the_server_tells_who_asked_and_the_user_sees_two_numbers(tmp_path: Path) -> None:
    async def scenario() -> None:
        counts = {"counts": {ME: {"192.0.2.0/24": 3, "local": 1}}}
        async with house(tmp_path, PublishKeys(who=True)) as here:
            await here.ask(**PLAN)
            assert (await here.ask(do="asked", **counts))["error"] == "bad_request"  # of a user
            made = set_up(tmp_path, PublishKeys(who=True), EVERYBODY)
            here.served.use(made._replace(rules=made.rules._replace(server_uid=os.getuid())))
            assert (await here.ask(do="asked", **counts))["ok"]
            assert (await here.ask(do="show", who=True))["who"] == {"times": 4, "networks": 2}
            assert (await here.ask(do="show"))["who"] is None
            here.served.use(set_up(tmp_path, PublishKeys(), EVERYBODY))
            assert (await here.ask(do="show", who=True))["who"] is None

    run(scenario())
