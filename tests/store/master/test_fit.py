# SPDX-License-Identifier: MIT
"""What makes a server unfit to be the store, in lines: real servers, and those that lie."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.config.store import Place, StoreKeys
from fingerd_sd.store.errors import StoreError
from fingerd_sd.store.master.fit import Work, looking, unfit
from fingerd_sd.store.server import Server

from ...helpers import needs
from ...helpers.fake_store import Error, fake
from ...helpers.store import Running, store

needs.modules("redis")
READ: tuple[Work, ...] = ("read",)
ALL: tuple[Work, ...] = ("read", "publish", "tell")


def said_of(keys: StoreKeys, works: Collection[Work] = ALL) -> list[str]:
    """Return what is wrong with the server at `keys`."""

    async def run() -> list[str]:
        one = Server(keys).hold()
        try:
            return await unfit(one, works)
        finally:
            await one.close()

    return asyncio.run(run())


def told_of(said: dict[str, Any], works: Collection[Work] = ALL, **changes: Any) -> list[str]:
    """Return the same of a fake that says `said` to commands."""
    with fake(said) as port:
        place = Place("redis", (("127.0.0.1", port),))
        keys = StoreKeys("", place, timeout=30.0)
        lines = said_of(keys._replace(**changes), works)
    return [line for line in lines if "asks for no password" not in line]


def test_the_store_of_the_tests_is_fit(tmp_path: Path) -> None:
    with store(tmp_path) as running:
        assert said_of(running.keys()) == []
        assert running.say("DBSIZE") == ":0"  # and nothing has been written


@pytest.mark.parametrize(
    ("options", "setting", "count"),
    [
        (["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"], "noeviction", 1),
        (["--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"], "noeviction", 1),
        (["--maxmemory", "100mb", "--maxmemory-policy", "noeviction"], "", 0),
        (["--maxmemory-policy", "allkeys-lru"], "", 0),  # no bound, so nothing is dropped
        (["--appendonly", "no"], "appendonly yes", 1),
        (["--replicaof", "127.0.0.1", "1"], "is a replica", 1),
        (["--cluster-enabled", "yes", "--port", "0"], "redis+cluster://", 1),
    ],
)
def test_each_setting_is_named_in_a_line(
    options: list[str], setting: str, count: int, tmp_path: Path
) -> None:
    with store(tmp_path, *options) as running:
        said = said_of(running.keys(), READ)
    assert len(said) == count
    assert all(setting in line and line.isprintable() for line in said)


def test_too_few_replicas_are_told_to_who_publishes(tmp_path: Path) -> None:
    with store(tmp_path) as running:
        assert said_of(running.keys(replicas=1), ("read", "tell")) == []
        (line,) = said_of(running.keys(replicas=1))
    assert "replicas in [store]" in line


def test_a_server_without_a_password_is_open_to_all() -> None:
    with fake({}) as port:
        keys = StoreKeys("", Place("redis", (("127.0.0.1", port),)), timeout=30.0)
        (line,) = said_of(keys)
    assert "credential" in line


def test_what_a_user_may_not_do_is_named(tmp_path: Path) -> None:
    rights = ["--user", "default", "on", "nopass", "~{fingerd-sd}:*", "&*", "+@all"]
    rights += ["-hset", "-info", "-client"]
    with store(tmp_path, *rights) as running:
        told = said_of(running.keys())
    assert len(told) == 2
    assert "cannot be seen" in told[0]
    assert "+info" in told[0]
    for denied in ("HSET", "CLIENT ID", "CLIENT TRACKING"):
        assert denied in told[1]
    assert "ZADD" not in told[1]


def test_nothing_is_tried_where_that_would_be_done(tmp_path: Path) -> None:
    rights = ["--user", "default", "on", "nopass", "~*", "&*", "+@all", "-multi"]
    with store(tmp_path, *rights) as running:
        (line,) = said_of(running.keys())
        assert running.say("DBSIZE") == ":0"
    assert "MULTI" in line


@pytest.mark.parametrize(
    ("version", "expected"),
    [("6.0.16", "6.2"), ("3.2", "6.2"), ("6.2.0", ""), ("7.0.15", ""), ("255.255.255", "")],
)
def test_a_server_that_is_too_old_is_told(version: str, expected: str) -> None:
    said = told_of({"INFO": f"# Server\r\nredis_version:{version}\r\nrole:master\r\n".encode()})
    assert bool(said) == bool(expected)
    assert all(version.rpartition(".")[0] in line and expected in line for line in said)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (b"", "which version"),
        (b"redis_version:", "which version"),
        (b"redis_version:\xd9\xa7.2\r\n", "which version"),
        (b"redis_version:99999999.9\r\n", "which version"),
        (b"x" * 200_000 + b"\r\nredis_version:7.0.0\r\n", "which version"),
        (b"redis_version:7.2.4\r\nmaxmemory:1\r\nmaxmemory_policy:\x1b[2J\r\n", ""),
        (b"redis_version:7.2.4\r\nconnected_slaves:" + b"9" * 5000 + b"\r\n", ""),
        (7, "does not say what it is"),
        (None, "does not say what it is"),
        ([b"redis_version:7.2.4"], "does not say what it is"),
    ],
)
def test_what_a_server_says_of_itself_is_not_believed(info: Any, expected: str) -> None:
    said = told_of({"INFO": info})
    assert [expected in line for line in said] == [True] * bool(expected)
    assert all(line.isprintable() and len(line) < 300 for line in said)


UNKNOWN = Error("ERR unknown command 'WAITAOF', with args beginning with: ")
DENIED = Error("NOPERM this user has no permissions to run the 'config|get' command")


@pytest.mark.parametrize(
    ("waits", "sync", "expected"),
    [
        ([1, 0], [b"appendfsync", b"everysec"], ""),
        (UNKNOWN, [b"appendfsync", b"always"], ""),
        (UNKNOWN, [b"appendfsync", b"everysec"], "appendfsync always"),
        (UNKNOWN, [], "appendfsync always"),
        (UNKNOWN, DENIED, "+config|get"),
        (UNKNOWN, b"always", "appendfsync always"),
    ],
)
def test_a_publish_needs_a_log_that_is_written(waits: Any, sync: Any, expected: str) -> None:
    says = {"WAITAOF": waits, "CONFIG": sync}
    assert told_of(says, ("read", "tell")) == []
    assert [expected in line for line in told_of(says)] == [True] * bool(expected)


def test_the_log_that_is_not_written_any_more_is_told() -> None:
    info = b"redis_version:7.0.15\r\naof_enabled:1\r\naof_last_write_status:err\r\n"
    (line,) = told_of({"INFO": info})
    assert "disk" in line


def test_the_protected_mode_is_named() -> None:
    denial = b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n"
    with fake({}, greeting=denial) as port, pytest.raises(StoreError) as error:
        said_of(StoreKeys("", Place("redis", (("127.0.0.1", port),)), timeout=30.0))
    assert "protected mode" in str(error.value)
    assert error.value.code == "DENIED"


def test_the_journal_has_each_line_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fingerd_sd.store.server.AGAIN", 0.02)

    def unfits() -> list[str]:
        records = caplog.records
        return [r.getMessage() for r in records if getattr(r, "event", "") == "STORE_UNFIT"]

    async def run(running: Running) -> None:
        one = Server(running.keys()).hold()
        one.look = looking("read")
        for _ in range(3):
            await one.call("PING")
        while not unfits():
            await asyncio.sleep(0.01)
        running.stop()
        with pytest.raises(StoreError):
            await one.call("PING")
        await asyncio.to_thread(running.start)
        while one.trouble:
            await asyncio.sleep(0.01)
        await one.call("PING")
        await one.close()

    options = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu")
    with store(tmp_path, *options) as running, caplog.at_level("INFO"):
        asyncio.run(run(running))
    (line,) = unfits()
    assert "maxmemory-policy allkeys-lfu" in line
