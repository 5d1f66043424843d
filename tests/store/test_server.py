# SPDX-License-Identifier: MIT
"""The store as the rest of the house asks it, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.config.store import Place, StoreKeys
from fingerd_sd.store import server
from fingerd_sd.store.errors import StoreError
from fingerd_sd.store.server import Server

from ..helpers import needs
from ..helpers.store import Running, store

needs.modules("redis")


def asked(keys: StoreKeys, ask: Callable[[Server], Awaitable[Any]]) -> Any:
    """Return what `ask` returns of a server, which is closed then."""

    async def run() -> Any:
        one = Server(keys).hold()
        try:
            return await ask(one)
        finally:
            await one.close()

    return asyncio.run(run())


def test_commands_have_replies_in_octets(tmp_path: Path) -> None:
    async def ask(one: Server) -> list[Any]:
        return [
            await one.call("SET", "a", b"\xff"),
            await one.call("GET", "a"),
            await one.together(("SET", "b", 1), ("GET", "b")),
            await one.script("return {KEYS[1], ARGV[1]}", ["k"], [1.5]),
            await one.script("return {KEYS[1], ARGV[1]}", ["k"], [2]),
            await one.on_one(("SET", "c", 1), ("WAIT", 0, 10)),
        ]

    with store(tmp_path) as running:
        said = asked(running.keys(), ask)
    assert said == [
        b"OK", b"\xff", [b"OK", b"1"], [b"k", b"1.5"], [b"k", b"2"], [b"OK", 0],
    ]  # fmt: skip


def test_many_at_once_share_a_few_connections(tmp_path: Path) -> None:
    async def ask(one: Server) -> tuple[set[int], int]:
        counted = await asyncio.gather(*(one.call("INCR", "n") for _ in range(200)))
        clients = await one.call("INFO", "clients")
        return set(counted), int(clients.split(b"connected_clients:")[1].split()[0])

    with store(tmp_path) as running:
        counted, clients = asked(running.keys(), ask)
    assert counted == set(range(1, 201))
    assert clients <= server.MAX_LINKS


def test_an_error_of_the_server_is_told_in_one_line_and_the_next_command_goes_on(
    tmp_path: Path,
) -> None:
    async def ask(one: Server) -> tuple[str, str, Any]:
        with pytest.raises(StoreError) as unknown:
            await one.call("NO\nSUCH")
        with pytest.raises(StoreError) as wrong:
            await one.together(("SET", "a", "x"), ("INCR", "a"))
        return str(unknown.value), str(wrong.value), await one.call("GET", "a")

    with store(tmp_path) as running:
        unknown, wrong, value = asked(running.keys(), ask)
    assert "unknown command" in unknown
    assert unknown.isprintable()
    assert "not an integer" in wrong
    assert value == b"x"


def test_a_store_that_dies_is_known_to_be_down_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "AGAIN", 0.02)

    async def ask(running: Running, one: Server) -> list[Any]:
        await one.call("SET", "a", "x")
        running.stop()
        said = []
        for _ in range(2):
            with pytest.raises(StoreError) as error:
                await one.call("GET", "a")
            said.append(error.value)
        assert one.trouble == str(said[0])
        await asyncio.to_thread(running.start)
        while one.trouble:
            await asyncio.sleep(0.02)
        return [*said, await one.call("GET", "a")]

    with store(tmp_path) as running, caplog.at_level("INFO"):
        first, second, value = asked(running.keys(), lambda one: ask(running, one))
    assert "cannot be reached" in str(first)
    assert str(first) == str(second)
    assert first.told
    assert second.told
    assert value == b"x"  # it was on the disk
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events[0] == "STORE_FAILS"
    assert events[-1] == "STORE_BACK"


def test_a_store_that_restarts_between_two_commands_loses_neither(tmp_path: Path) -> None:
    async def ask(running: Running, one: Server) -> Any:
        await asyncio.gather(*(one.call("SET", "a", "x") for _ in range(20)))
        running.stop()
        await asyncio.to_thread(running.start)
        return await one.call("GET", "a")

    with store(tmp_path) as running:
        assert asked(running.keys(), lambda one: ask(running, one)) == b"x"


@pytest.mark.parametrize(
    ("said", "credential", "expected"),
    [
        ("right", "fingerd:right", b"PONG"),
        ("right", "fingerd:wrong\n", "credential in [store]"),
        ("right", None, "there is no"),
    ],
)
def test_a_password_comes_from_a_file(
    said: str,
    credential: str | None,
    expected: bytes | str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setattr("fingerd_sd.store.master.finding.FOLDERS", ())
    if credential is not None:
        (tmp_path / "store").write_text(credential)

    async def ask(one: Server) -> Any:
        try:
            return await one.call("PING")
        except StoreError as error:
            return str(error)

    with store(tmp_path, "--user", "fingerd", "on", f">{said}", "~*", "+@all") as running:
        answer = asked(running.keys()._replace(credential="store"), ask)
    if isinstance(expected, bytes):
        assert answer == expected
    else:
        assert expected in answer
        assert "credential" in answer


def test_a_subscription_has_a_connection_of_its_own(tmp_path: Path) -> None:
    async def ask(one: Server) -> Any:
        link = await one.connection()
        try:
            await link.exchange(("SUBSCRIBE", "news"))
            await one.call("PUBLISH", "news", "x")
            return await link.hear()
        finally:
            await link.close()

    with store(tmp_path) as running:
        assert asked(running.keys(), ask) == [b"message", b"news", b"x"]


def test_a_store_that_never_was_there_fails_and_can_be_closed(tmp_path: Path) -> None:
    async def ask(one: Server) -> str:
        with pytest.raises(StoreError) as error:
            await one.call("PING")
        return str(error.value)

    path = str(tmp_path / "none")
    said = asked(StoreKeys(f"unix://{path}", Place("unix", path=path)), ask)
    assert said.startswith(f"the store at {path} cannot be reached: ")


def test_the_last_of_those_who_hold_it_closes_it(tmp_path: Path) -> None:
    async def run(keys: StoreKeys) -> Any:
        one = Server(keys)
        first, second = one.hold(), one.hold()
        assert await first.call("PING") == b"PONG"
        await first.close()
        assert await second.call("PING") == b"PONG"
        await second.close()
        with pytest.raises(StoreError, match="closed"):
            await one.call("PING")

    with store(tmp_path) as running:
        asyncio.run(run(running.keys()))
