# SPDX-License-Identifier: MIT
"""The unit source: real sockets, what a name must not reach, and units that fail."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.commands import settings
from fingerd_sd.commands.cli import main
from fingerd_sd.config.mistakes import ConfigError
from fingerd_sd.directory.source import SourceError
from fingerd_sd.protocol.entry import Absent, Text
from fingerd_sd.sources.unit.place import Place
from fingerd_sd.sources.unit.source import Options, UnitSource

from ...helpers.clock import put_forward

PATIENCE = 30.0  # seconds; reached only by a failure
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def source(folder: Path, **options: Any) -> UnitSource:
    return UnitSource("unit", Place(str(folder)), Options(**{"timeout": PATIENCE, **options}))


@asynccontextmanager
async def unit(path: Path, serve: Serve) -> AsyncIterator[None]:
    """A unit that listens on `path`, and leaves when it has served."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(served, path)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)  # Python 3.13 does it by itself


def saying(octets: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.write(octets)
        await writer.drain()

    return serve


async def failure(asked: UnitSource, user: str = "coffee") -> str:
    with pytest.raises(SourceError) as caught:
        await asked.find(user)
    return str(caught.value)


def test_what_the_unit_says_is_the_answer(tmp_path: Path) -> None:
    async def work() -> None:
        async with unit(tmp_path / "coffee", saying(b"2 cups\n")):
            found = await source(tmp_path).find("coffee")
        assert found == Text("2 cups\n", str(tmp_path / "coffee"))

    asyncio.run(work())


def test_the_unit_gets_the_name_a_line_end_and_the_end(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read())
        writer.write(b"yes")

    async def work() -> None:
        async with unit(tmp_path / "käse", serve):
            await source(tmp_path).find("käse")

    asyncio.run(work())
    assert asked == ["käse\r\n".encode()]


def test_octets_that_are_not_utf_8_are_repaired(tmp_path: Path) -> None:
    async def work() -> None:
        async with unit(tmp_path / "coffee", saying(b"caf\xe9")):
            found = await source(tmp_path).find("coffee")
        assert isinstance(found, Text)
        assert found.text == "café"

    asyncio.run(work())


@pytest.mark.parametrize("octets", [b"", b"\r\n"])
def test_an_empty_answer_is_absent(tmp_path: Path, octets: bytes) -> None:
    async def work() -> None:
        async with unit(tmp_path / "coffee", saying(octets)):
            assert isinstance(await source(tmp_path).find("coffee"), Absent)

    asyncio.run(work())


# --- a name never leaves the folder ---


@pytest.mark.parametrize(
    "user", ["../outside", "/outside", ".", "..", "in/coffee", "coffee\0", "x" * 200, "link", ""]
)
def test_a_name_that_is_no_socket_of_the_folder_is_absent(tmp_path: Path, user: str) -> None:
    folder = tmp_path / "in"
    (folder / "in").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path / "outside")
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read())

    async def work() -> None:
        async with unit(tmp_path / "outside", serve), unit(folder / "in/coffee", serve):
            assert isinstance(await source(folder).find(user), Absent)

    asyncio.run(work())
    assert asked == []


def test_files_folders_and_pipes_are_absent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for user in ("file", "folder", "pipe", "nothing"):
        assert isinstance(asyncio.run(source(tmp_path).find(user)), Absent)


def test_without_the_folder_everybody_is_absent(tmp_path: Path) -> None:
    asked = source(tmp_path / "nothing")
    assert isinstance(asyncio.run(asked.find("coffee")), Absent)
    assert asyncio.run(asked.who()) == []


def test_a_folder_that_is_a_link_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    async def work() -> None:
        async with unit(tmp_path / "coffee", saying(b"2 cups\n")):
            await failure(source(tmp_path / "link"))

    asyncio.run(work())


# --- units that fail ---


def test_a_socket_on_which_nobody_listens_is_a_failure(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "coffee"))
    assert "nobody listens" in asyncio.run(failure(source(tmp_path)))


def test_a_unit_that_says_too_much_is_a_failure(tmp_path: Path) -> None:
    async def work() -> None:
        async with unit(tmp_path / "coffee", saying(b"x" * 9)):
            assert "max_output, 8 octets" in await failure(source(tmp_path, max_output=8))
            found = await source(tmp_path, max_output=9).find("coffee")
            assert isinstance(found, Text)

    asyncio.run(work())


def test_a_unit_that_takes_too_long_is_a_failure(tmp_path: Path) -> None:
    async def work() -> None:
        came = asyncio.Event()
        over = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"half")
            came.set()
            await over.wait()

        async with unit(tmp_path / "coffee", serve):
            asked = asyncio.create_task(failure(source(tmp_path)))
            await came.wait()
            put_forward(PATIENCE)
            assert "no answer in 30 s" in await asked
            over.set()

    asyncio.run(work())


def test_a_unit_that_closes_with_the_question_unread_is_a_failure(tmp_path: Path) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.setblocking(False)
            listening.bind(str(tmp_path / "coffee"))
            listening.listen()
            asked = asyncio.create_task(failure(source(tmp_path)))
            connection, _ = await loop.sock_accept(listening)
            with connection:
                connection.sendall(b"half")
            assert "closed before its end" in await asked

    asyncio.run(work())


def test_more_than_max_running_wait_for_a_place(tmp_path: Path) -> None:
    now = most = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await reader.read()
        await asyncio.sleep(0)
        writer.write(b"yes")
        now -= 1

    async def work() -> None:
        asked = source(tmp_path, max_running=2)
        async with unit(tmp_path / "coffee", serve):
            found = await asyncio.gather(*(asked.find("coffee") for _ in range(12)))
        assert all(isinstance(one, Text) for one in found)

    asyncio.run(work())
    assert 1 <= most <= 2


# --- old answers ---


def test_while_a_unit_fails_an_old_answer_stands_in_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0

    async def work() -> None:
        nonlocal now
        options = Options(PATIENCE, ttl=5, stale=86400)
        asked = UnitSource("unit", Place(str(tmp_path)), options, lambda: now)
        async with unit(tmp_path / "coffee", saying(b"2 cups")):
            await asked.find("coffee")
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(tmp_path / "coffee"))
        now += 7300
        found = await asked.find("coffee")
        assert isinstance(found, Text)
        assert found.text == "2 cups\n[This answer is 2 hours old: no newer one can be had now]\n"
        assert found.lifetime is not None
        assert found.lifetime <= 5
        assert "nobody listens" in found.origin
        now += 86400
        await failure(asked)

    asyncio.run(work())
    assert [getattr(record, "event", "") for record in caplog.records] == ["SOURCE_FAILED"]


@pytest.mark.parametrize("octets", [b"", None])
def test_what_was_absent_since_stands_in_no_more(tmp_path: Path, octets: bytes | None) -> None:
    async def work() -> None:
        asked = source(tmp_path)
        async with unit(tmp_path / "coffee", saying(b"2 cups")):
            await asked.find("coffee")
        if octets is not None:
            async with unit(tmp_path / "coffee", saying(octets)):
                await asked.find("coffee")
        else:
            await asked.find("coffee")
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(tmp_path / "coffee"))
        await failure(asked)

    asyncio.run(work())


def test_without_stale_nothing_stands_in(tmp_path: Path) -> None:
    async def work() -> None:
        asked = source(tmp_path, stale=0)
        async with unit(tmp_path / "coffee", saying(b"2 cups")):
            await asked.find("coffee")
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(tmp_path / "coffee"))
        await failure(asked)

    asyncio.run(work())


# --- lists ---


def test_who_names_the_sockets_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "coffee")

    async def work() -> None:
        async with unit(tmp_path / "weather", saying(b"")), unit(tmp_path / "coffee", saying(b"")):
            assert await source(tmp_path).who() == ["coffee", "weather"]
        place = Place(str(tmp_path), "item-", ".sock")
        async with unit(tmp_path / "item-tea.sock", saying(b"yes")):
            asked = UnitSource("unit", place)
            assert await asked.who() == ["tea"]
            assert isinstance(await asked.find("tea"), Text)
            assert place.users(0) == []

    asyncio.run(work())


# --- the configuration ---


@pytest.mark.parametrize(
    ("lines", "key", "words"),
    [
        ("", "path", "/run/finger/{user}"),
        ('path = "finger/{user}"', "path", "/run/finger/{user}"),
        ('path = "/run/finger/x"', "path", "once"),
        ('path = "/run/{user}/x"', "path", "last part"),
        ('path = "/run/{user}/{user}"', "path", "once"),
        (f'path = "/run/{"x" * 110}/{{user}}"', "path", "too long"),
        ('path = "/run/finger/{user}"\nmax_output = 0', "max_output", "1"),
        ('path = "/run/finger/{user}"\nttll = 1', "ttll", '"ttl"'),
    ],
)
def test_mistakes_are_named_by_key(tmp_path: Path, lines: str, key: str, words: str) -> None:
    file = tmp_path / "fingerd.toml"
    file.write_text(f'[[source]]\ntype = "unit"\n{lines}\n')
    with pytest.raises(ConfigError) as caught:
        settings.load(file, None)
    assert [mistake.key for mistake in caught.value.mistakes] == [f"source[1].{key}"]
    assert words in str(caught.value)


def test_a_name_that_leaves_is_nobody_through_the_whole_house(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "fingerd.toml"
    file.write_text(f'[[source]]\ntype = "unit"\npath = "{tmp_path}/{{user}}"\n')
    assert main(["ask", "--config", str(file), "../coffee"]) == 1
    assert capfdbinary.readouterr().out == b"No such user\r\n"
