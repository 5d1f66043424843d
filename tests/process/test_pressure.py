# SPDX-License-Identifier: MIT
"""Memory pressure: a FIFO or a socket of the test's stands for what systemd would watch."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from fingerd_sd.process import pressure as module
from fingerd_sd.process.pressure import OFF, Pressure, opened

from ..helpers.wire import run, turns, until

THRESHOLD = b"some 200000 2000000\0"
SYSTEM = Path("/proc/pressure/memory")


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(path := tmp_path / "pressure")
    return path


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "pressure"))
        listener.listen()
        yield listener


def environment(path: object, first: bytes = b"") -> dict[str, str]:
    told = {"MEMORY_PRESSURE_WATCH": str(path)}
    return {**told, "MEMORY_PRESSURE_WRITE": b64encode(first).decode()} if first else told


def watched(path: object, first: bytes = b"") -> Pressure:
    pressure = opened(environment(path, first))
    assert pressure is not None
    return pressure


def tell(path: Path, octets: bytes = b"x") -> None:
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # fails where nobody reads
    os.write(fd, octets)
    os.close(fd)


async def end(pressure: Pressure) -> None:
    """Close what is watched, as the end of the process would."""
    if not pressure.closed:
        asyncio.get_running_loop().remove_reader(pressure._fd)
    pressure.close()


def test_a_fifo_tells_as_often_as_something_is_written_to_it(
    fifo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY", 0.0)

    async def scenario() -> None:
        pressure = watched(fifo)
        given: list[str] = []
        calls = [lambda: given.append("cache"), lambda: given.append("names")]
        pressure.watch(asyncio.get_running_loop(), *calls)
        await turns(5)
        assert given == []
        for times in (1, 2, 3):  # the writer leaves each time
            tell(fifo)
            await until(lambda times=times: pressure.times == times)  # type: ignore[misc]
        await turns(5)
        assert given == ["cache", "names"] * 3
        assert pressure.told == "memory given back 3 times"
        await end(pressure)

    run(scenario())


def test_what_is_told_soon_again_waits_and_is_then_told_once(
    fifo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        later: list[tuple[float, object, tuple[object, ...]]] = []
        pressure = watched(fifo)
        given: list[int] = []
        monkeypatch.setattr(
            loop, "call_later", lambda *how: later.append((how[0], how[1], how[2:]))
        )
        pressure.watch(loop, lambda: given.append(1))
        tell(fifo)
        while not given:
            await asyncio.sleep(0)
        for _ in range(3):
            tell(fifo)
            await turns(5)
        assert (pressure.told, len(given)) == ("memory given back 1 time", 1)
        [(seconds, call, arguments)] = later
        assert seconds == module.EVERY
        call(*arguments)  # type: ignore[operator]
        while len(given) < 2:
            await asyncio.sleep(0)
        await turns(5)
        assert len(given) == 2
        await end(pressure)

    run(scenario())


def test_what_is_to_be_written_to_a_fifo_is_and_tells_nothing(fifo: Path) -> None:
    """Its own octets are no pressure."""

    async def scenario() -> None:
        pressure = watched(fifo, THRESHOLD)
        given: list[int] = []
        pressure.watch(asyncio.get_running_loop(), lambda: given.append(1))
        await turns(10)
        assert given == []
        await end(pressure)

    run(scenario())


def test_a_socket_is_told_what_to_tell_of_and_then_tells(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY", 0.0)

    async def scenario() -> None:
        pressure = watched(listener.getsockname(), THRESHOLD)
        teller, _ = listener.accept()
        with teller:
            assert teller.recv(100) == THRESHOLD
            pressure.watch(asyncio.get_running_loop(), lambda: None)
            for times in (1, 2):
                teller.sendall(b"pressure" * 10)
                await until(lambda times=times: pressure.times == times)  # type: ignore[misc]
        await until(lambda: pressure.closed)  # who told has left: it is not a pressure
        assert pressure.times == 2
        await end(pressure)

    run(scenario())


@pytest.mark.parametrize("first", [THRESHOLD, b""])
def test_a_teller_that_resets_is_left_alone(listener: socket.socket, first: bytes) -> None:
    async def scenario() -> None:
        pressure = watched(listener.getsockname(), first)
        pressure.watch(asyncio.get_running_loop(), lambda: None)
        teller, _ = listener.accept()
        teller.close()  # with THRESHOLD unread, which makes it a reset: unix(7)
        await until(lambda: pressure.closed)
        assert pressure.times == 0

    run(scenario())


@pytest.mark.parametrize("path", ["", OFF, "/dev/zero", "/", "/nowhere/pressure", "/" + "x" * 300])
def test_what_cannot_tell_is_not_watched(path: str) -> None:
    assert opened(environment(path, THRESHOLD)) is None


def test_nothing_is_watched_where_nobody_says_what() -> None:
    assert opened({}) is None


def test_an_ordinary_file_is_not_watched_and_not_written_to(tmp_path: Path) -> None:
    (file := tmp_path / "file").write_text("mine")
    assert opened(environment(file, THRESHOLD)) is None
    assert file.read_text() == "mine"


def test_a_socket_where_nobody_listens_is_not_watched(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        assert opened(environment(tmp_path / "deaf")) is None


@pytest.mark.parametrize("first", ["?", "c29tZQ", "é"])
def test_what_is_no_base64_is_not_written(fifo: Path, first: str) -> None:
    told = {"MEMORY_PRESSURE_WATCH": str(fifo), "MEMORY_PRESSURE_WRITE": first}
    assert opened(told) is None


def test_no_descriptor_is_left_behind(fifo: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in (fifo, "/nowhere", "/dev/zero"):
        pressure = opened(environment(path))
        if pressure is not None:
            pressure.close()
            pressure.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(not SYSTEM.exists(), reason="this kernel has no PSI")
def test_the_kernels_own_file_takes_a_threshold() -> None:
    """Whether it ever tells lies with the machine; without a threshold it would tell for ever."""
    try:
        SYSTEM.open("r+").close()
    except OSError as error:
        pytest.skip(f"{SYSTEM}: {error}")
    pressure = watched(SYSTEM, b"some 2000000 2000000\0")
    assert pressure._poll.poll(0) == []
    pressure.close()

    async def scenario() -> None:
        pressure = watched(SYSTEM)
        [(_, events)] = pressure._poll.poll(0)
        assert events & select.POLLERR
        pressure.watch(asyncio.get_running_loop(), lambda: None)
        await until(lambda: pressure.closed)
        assert pressure.times == 0

    run(scenario())
