# SPDX-License-Identifier: MIT
"""The example files of a store, tried: each user may do all that its services do, and no more."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.config.store import Place, StoreKeys
from fingerd_sd.protocol.entry import Person
from fingerd_sd.serving.publishing.wire import Refused, Request
from fingerd_sd.serving.publishing.writing import scripts
from fingerd_sd.serving.publishing.writing.changing import Looked
from fingerd_sd.serving.publishing.writing.fleet import Fleet
from fingerd_sd.sources.people import Range
from fingerd_sd.sources.published.fleet import FleetSource
from fingerd_sd.store import people
from fingerd_sd.store import server as server_module
from fingerd_sd.store.errors import StoreError
from fingerd_sd.store.keys import Names
from fingerd_sd.store.master import fit
from fingerd_sd.store.master.fit import Work, unfit
from fingerd_sd.store.presence import everywhere, telling
from fingerd_sd.store.presence.everywhere import Everywhere
from fingerd_sd.store.presence.told import Told
from fingerd_sd.store.server import Server

from ...helpers import needs
from ...helpers.store import Running, store
from ...helpers.store_places import MASTER, free_port, sentinel, talk
from ...helpers.wire import run, until

needs.modules("redis")

EXAMPLES = Path(__file__).parents[3] / "packaging/example/store"
MANUAL = (EXAMPLES.parents[2] / "docs/store.md").read_text()
# What the manual has root do, without the prompts.
PASSWORDS = re.sub(
    r"^[#>] ", "", re.findall(r"^# for user in (?:.|\n)*? done$", MANUAL, re.M)[0], flags=re.M
)
REMOVING = re.findall(r'EVAL "\n((?:.|\n)*?)" 1 ', MANUAL)[0]
USERS = ("admin", "reader", "writer", "replica", "sentinel")
PLAN = Request("publish", {"plan": "Curiouser\n"})
ALICE = ("alice", 2001)
LIMITS = PublishKeys()
READ: tuple[Work, ...] = ("read",)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The examples, set up as docs/store.md says; the path of redis.conf."""
    needs.programs("bash")
    (tmp_path / "users.acl").write_text((EXAMPLES / "users.acl").read_text())
    subprocess.run(["bash", "-euc", PASSWORDS], cwd=tmp_path, check=True)
    conf = (EXAMPLES / "redis.conf").read_text()
    conf = conf.replace("/etc/redis", str(tmp_path)).replace("192.0.2.10 2001:db8::10 ", "")
    (tmp_path / "fingerd-sd.conf").write_text(conf)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for user in USERS:
        name = user if user in ("admin", "replica", "sentinel") else f"fingerd-{user}"
        password = (tmp_path / f"{user}.password").read_text()
        (tmp_path / user).write_text(f"{name}:{password}")
    return str(tmp_path / "fingerd-sd.conf")


@pytest.fixture
def running(tmp_path: Path, example: str) -> Iterator[Running]:
    """A store that is set up as the examples say."""
    with store(tmp_path, "--include", example) as made:
        run(_before_7_2(made))
        yield made


async def _before_7_2(made: Running) -> None:
    """Give the writer what it needs where there is no WAITAOF, as docs/store.md says."""
    async with asked(made, "admin") as admin:
        found = await admin.call("COMMAND", "INFO", "WAITAOF")
        if found == [None]:
            await admin.call("ACL", "SETUSER", "fingerd-writer", "+config|get")


class asked:  # noqa: N801  # it reads as a function
    """The store as a user, in an `async with`."""

    def __init__(self, made: Running, user: str, host: str = "login1") -> None:
        self._server = Server(made.keys(host=host)._replace(credential=user))

    async def __aenter__(self) -> Server:
        return self._server.hold()

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()


async def denied(server: Server, *words: Any) -> None:
    with pytest.raises(StoreError) as error:
        await server.call(*words)
    assert error.value.code == "NOPERM", (words, str(error.value))


async def fill(running: Running) -> None:
    """Have something of another service in the store, and something of ours."""
    async with asked(running, "admin") as admin:
        await admin.call("SET", "other", "secret")
        await admin.call("HSET", "{other}:p:alice", "plan", "secret")


def test_the_reader_does_all_that_a_server_does(running: Running) -> None:
    async def scenario() -> None:
        async with asked(running, "writer") as writer:
            fleet = Fleet(writer)
            await fleet.publish(*ALICE, PLAN, LIMITS, 5)
            await telling.tell(writer, "login1", [Told("alice", 2001, 1.0)])
            async with asked(running, "reader") as reader:
                assert await unfit(reader, READ) == []
                source = FleetSource("published", Range(), reader.hold())
                source.start(lambda: None)
                found = await source.find("alice")
                assert isinstance(found, Person)
                assert found.plan == "Curiouser\n"
                await until(lambda: source._changes.hears)
                before = source.news()
                await fleet.publish(*ALICE, Request("publish", {"plan": "x"}), LIMITS, 6)
                await until(lambda: source.news() != before)
                assert source.trouble == ""
                assert [login for login, _ in await source.recent(5)] == ["alice"]
                sessions = Everywhere(reader)
                assert await sessions.who() == ["alice"]
                await sessions.close()
                await source.close()
                assert await reader.together(("ZCARD", reader.names.recent)) == [1]
            await fleet.close()

    run(scenario())


def test_nothing_is_lost_when_the_server_is_restarted(running: Running) -> None:
    """The server reads its log as its user `default`, in Redis 7.0 by the rights of that."""

    async def scenario() -> None:
        async with asked(running, "writer") as writer:
            fleet = Fleet(writer)
            await fleet.publish(*ALICE, PLAN, LIMITS, 5)
            running.stop()
            running.start()
            row = None
            async with asyncio.timeout(60):
                while row is None:
                    try:
                        row = await fleet.person(*ALICE)
                    except Refused:  # it may still be reading its log
                        await asyncio.sleep(0.05)
            assert row.plan == "Curiouser\n"
            await fleet.close()

    run(scenario())


def test_nobody_is_let_in_without_a_password(running: Running) -> None:
    async def scenario() -> None:
        nobody = Server(running.keys()).hold()
        with pytest.raises(StoreError) as error:
            await nobody.call("GET", "other")
        assert error.value.code == "NOAUTH"
        await nobody.close()

    run(scenario())


def test_the_reader_writes_nothing_and_sees_nothing_else(running: Running) -> None:
    async def scenario() -> None:
        await fill(running)
        async with asked(running, "reader") as reader:
            ours = reader.names.person("alice")
            for words in (
                ("SET", ours, "x"), ("HSET", ours, "plan", "x"), ("DEL", ours), ("UNLINK", ours),
                ("EXPIRE", ours, 1), ("RENAME", ours, ours), ("RESTORE", ours, 0, "x"),
                ("ZADD", reader.names.recent, 1, "x"), ("INCR", ours), ("COPY", ours, ours),
                ("EVAL", "return redis.call('SET', KEYS[1], 'x')", 1, ours),
                ("GET", "other"), ("HMGET", "{other}:p:alice", "plan"),
                ("EVAL", "return redis.call('GET', 'other')", 0),
                ("EVAL", "return redis.call('KEYS', '*')", 0),
                ("KEYS", "*"), ("SCAN", 0), ("RANDOMKEY",), ("DBSIZE",), ("DUMP", ours),
                ("SUBSCRIBE", "__keyspace@0__:*"), ("PSUBSCRIBE", "*"), ("PUBLISH", "a", "b"),
            ):  # fmt: skip
                await denied(reader, *words)
            await no_power(reader)
            fleet = Fleet(reader)
            with pytest.raises(Refused, match="nothing was stored"):
                await fleet.publish(*ALICE, PLAN, LIMITS, 5)
            await fleet.close()
        async with asked(running, "admin") as admin:
            assert await admin.call("EXISTS", ours) == 0

    run(scenario())


async def no_power(server: Server) -> None:
    """Check that a user may do nothing to the server itself."""
    for words in (
        ("CONFIG", "SET", "dir", "/tmp"), ("CONFIG", "REWRITE"), ("SHUTDOWN", "NOSAVE"),
        ("FLUSHALL",), ("FLUSHDB",), ("SWAPDB", 0, 1), ("SAVE",), ("BGREWRITEAOF",),
        ("MODULE", "LIST"), ("ACL", "LIST"), ("ACL", "WHOAMI"),
        ("REPLICAOF", "NO", "ONE"), ("SCRIPT", "FLUSH"), ("FUNCTION", "LIST"), ("MONITOR",),
        ("CLIENT", "LIST"), ("CLIENT", "KILL", "TYPE", "normal"), ("CLIENT", "PAUSE", 1),
        ("SLOWLOG", "GET"), ("PSYNC", "?", -1), ("MIGRATE", "h", 1, "k", 0, 1), ("KEYS", "*"),
    ):  # fmt: skip
        await denied(server, *words)


def test_the_writer_does_all_that_a_login_host_does(running: Running) -> None:
    async def scenario() -> None:
        async with asked(running, "writer") as writer:
            assert await unfit(writer, ("read", "publish", "tell")) == []
            fleet = Fleet(writer)
            assert await fleet.publish(*ALICE, PLAN, LIMITS, 5) is not None
            assert await fleet.person(*ALICE) is not None
            await fleet.note({"alice": {"192.0.2.0/24": 2}}, 5)
            assert await fleet.asked("alice", 5) == {"times": 2, "networks": 1}
            assert await fleet.to_sweep(5) == [ALICE]
            assert await fleet.sweep(Looked(frozenset([ALICE]), {}, {}), 5) == []
            assert await fleet.remove(*ALICE)
            await telling.tell(writer, "login1", [Told("alice", 2001, 1.0)])
            await telling.leave(writer, "login1")
            assert fleet.trouble == ""
            await fleet.close()

    run(scenario())


def test_the_writer_sees_and_writes_nothing_else(running: Running) -> None:
    async def scenario() -> None:
        await fill(running)
        async with asked(running, "writer") as writer:
            for words in (
                ("GET", "other"), ("SET", "other", "x"), ("DEL", "other"), ("SCAN", 0),
                ("HMGET", "{other}:p:alice", "plan"), ("RENAME", "other", "x"),
                ("EVAL", "return redis.call('DEL', 'other')", 0),
            ):  # fmt: skip
                await denied(writer, *words)
            await no_power(writer)

    run(scenario())


def test_who_has_no_password_does_nothing(running: Running) -> None:
    assert running.say("GET other").startswith("-NOAUTH")


def test_what_a_host_that_is_gone_vouched_for_can_be_removed(running: Running) -> None:
    async def scenario() -> None:
        bob = ("bob", 2002)
        async with asked(running, "writer", "login3") as gone, asked(running, "writer") as other:
            one, two = Fleet(gone), Fleet(other)
            for who in (ALICE, bob):
                await one.publish(*who, PLAN, LIMITS, 5)
            await two.publish(*bob, PLAN, LIMITS, 6)  # who has moved
            async with asked(running, "admin") as admin:
                keys = ("{fingerd-sd}:by:login3", "{fingerd-sd}", "login3")
                assert await admin.call("EVAL", REMOVING, 1, *keys) == 1
                assert await admin.call("EVAL", REMOVING, 1, *keys) == 0
                assert await admin.call("ZRANGE", admin.names.recent, 0, -1) == [b"bob"]
            assert await two.person(*ALICE) is None
            assert await two.person(*bob) is not None
            await one.close()
            await two.close()

    run(scenario())


def test_servers_and_sentinel_have_the_rights_for_a_failover(
    tmp_path: Path, example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "AGAIN", 0.05)
    password = {user: (tmp_path / f"{user}.password").read_text().strip() for user in USERS}
    first, second = free_port(), free_port()
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    every = (
        *("--include", example, "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"),
        *("--masteruser", "replica", "--masterauth", password["replica"]),
    )
    lines = (
        f"sentinel auth-user {MASTER} sentinel",
        f"sentinel auth-pass {MASTER} {password['sentinel']}",
    )

    async def scenario(watch: int, kill: Callable[[], None]) -> None:
        place = Place("sentinel", (("127.0.0.1", watch),), master=MASTER)
        keys = StoreKeys("", place, credential="admin", timeout=20.0)
        one = Server(keys).hold()
        while not await one.call("WAIT", 1, 100):
            pass
        while b"num-slaves\r\n$1\r\n1" not in talk(watch, f"SENTINEL MASTER {MASTER}"):
            await asyncio.sleep(0.05)
        await one.on_one(("SET", "a", "kept"), ("WAIT", 1, 30_000))
        kill()
        while True:
            try:
                await one.call("SET", "b", "x")
                break
            except StoreError:
                await asyncio.sleep(0.05)
        assert one.where == f"127.0.0.1:{second}"
        assert await one.call("GET", "a") == b"kept"
        await one.close()

    replica = ("--replicaof", "127.0.0.1", str(first))
    with (
        store(folders[0], *every, "--port", str(first)) as main,
        store(folders[1], *every, "--port", str(second), *replica),
        sentinel(tmp_path, first, *lines) as watch,
    ):
        run(scenario(watch, main.stop))


READING = people.SCRIPT, people.RECENT, everywhere._READ
PUBLISHING = (
    *(scripts.PUBLISH, scripts.REMOVE, scripts.OURS, scripts.SWEEP, scripts.NOTE, scripts.ASKED),
    people.SCRIPT,
)
TELLING = telling._TELL, telling._LEAVE


@pytest.mark.parametrize(
    ("work", "sources"), [("read", READING), ("publish", PUBLISHING), ("tell", TELLING)]
)
def test_what_scripts_do_is_looked_for(work: Work, sources: Collection[str]) -> None:
    does = set(re.findall(r"redis\.p?call\('(\w+)'", "\n".join(sources)))
    assert does
    assert does <= {command[0] for command in fit._commands(Names("a"), (work,))}
