# SPDX-License-Identifier: MIT
"""How many connections are taken for one wake-up, and when others are waited for.

The clock of these tests stands still, and whoever comes comes while the acceptor waits.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from itertools import count
from types import SimpleNamespace

import pytest

from fingerd_sd.serving.waiting import accept
from fingerd_sd.serving.waiting.accept import LOOKS, Acceptor

PROBE = 3


class Hall:
    """An acceptor that accepts from a socket of its own. `comers`: how many come at each wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, now: Callable[[], float]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.served: list[socket.socket] = []
        self.said: list[str] = []  # "(" and ")" of each burst, "." for each connection, "z": a wait
        self.comers: list[int] = []
        self.full_at = 1000
        self._clients: list[socket.socket] = []
        clock = SimpleNamespace(monotonic=now, sleep=self._sleep)
        monkeypatch.setattr(accept, "time", clock)
        monkeypatch.setattr(accept, "PROBE", PROBE)
        self.acceptor = self.again([self.listener])

    def again(self, listeners: list[socket.socket]) -> Acceptor:
        """Return an acceptor that has begun to accept from `listeners`."""
        acceptor = Acceptor(
            asyncio.get_running_loop(),
            self._serve,
            self.served,
            lambda: len(self.served) >= self.full_at,
            lambda: None,
            lambda begins: self.said.append("(" if begins else ")"),
        )
        acceptor.start(listeners)
        return acceptor

    def come(self, many: int) -> None:
        """Let `many` clients come."""
        for _ in range(many):
            self._clients.append(socket.create_connection(self.listener.getsockname()))

    async def one_by_one(self, many: int) -> None:
        """Let `many` clients come, each when the one before it has been served."""
        for _ in range(many):
            self.come(1)
            await self.served_all()

    async def served_all(self) -> None:
        """Return when all who came are served."""
        while len(self.served) < len(self._clients):
            await asyncio.sleep(0)

    def told(self) -> str:
        """Return what happened since this was asked."""
        said, self.said = self.said, []
        return "".join(said)

    def close(self) -> None:
        """Close all sockets."""
        self.acceptor.stop()
        for sock in (self.listener, *self.served, *self._clients):
            sock.close()

    def _serve(self, sock: socket.socket, peer: str) -> None:
        assert peer == "127.0.0.1"
        self.served.append(sock)
        self.said.append(".")

    def _sleep(self, seconds: float) -> None:
        assert 0 < seconds < 0.001
        self.said.append("z")
        self.come(self.comers.pop(0) if self.comers else 0)


def _try(
    monkeypatch: pytest.MonkeyPatch,
    scenario: Callable[[Hall], Awaitable[None]],
    now: Callable[[], float] = lambda: 0.0,
) -> None:
    async def whole() -> None:
        hall = Hall(monkeypatch, now)
        try:
            await scenario(hall)
        finally:
            hall.close()

    asyncio.run(whole())


def test_one_is_taken_for_a_wake_up_and_only_now_and_then_others_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(hall: Hall) -> None:
        await hall.one_by_one(2 * PROBE)
        assert hall.told() == "..(.z)" * 2

    _try(monkeypatch, scenario)


def test_nobody_is_waited_for_where_wake_ups_are_further_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = count(1000)

    async def scenario(hall: Hall) -> None:
        await hall.one_by_one(2 * PROBE)
        assert hall.told() == "..(.)" * 2

    _try(monkeypatch, scenario, lambda: float(next(clock)))


def test_a_crowd_is_waited_for_at_each_wake_up_until_it_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(hall: Hall) -> None:
        hall.comers = [2] * (1 + LOOKS)
        await hall.one_by_one(PROBE)
        assert hall.told() == "..(.z..)"
        await hall.one_by_one(1)
        assert hall.told() == "(." + LOOKS * "z.." + ")"
        await hall.one_by_one(PROBE)
        assert hall.told() == "(." + LOOKS * "z" + ")..", "the first finds that it is over"

    _try(monkeypatch, scenario)


def test_one_who_comes_again_and_again_is_no_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(hall: Hall) -> None:
        hall.comers = [1]
        await hall.one_by_one(PROBE + 1)
        assert hall.told() == "..(.z.)."

    _try(monkeypatch, scenario)


def test_a_crowd_of_which_nobody_came_for_long_is_waited_for_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0

    async def scenario(hall: Hall) -> None:
        nonlocal now
        await hall.one_by_one(PROBE - 1)
        hall.come(5)
        await hall.served_all()
        assert hall.told() == "..(.....)"
        now += 60
        await hall.one_by_one(1)
        assert hall.told() == "(.)"

    _try(monkeypatch, scenario, lambda: now)


def test_each_socket_has_a_crowd_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(hall: Hall) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            hall.acceptor.stop()
            hall.acceptor = hall.again([hall.listener, other])
            hall.comers = [2]
            await hall.one_by_one(PROBE)
            assert hall.told() == "..(.z..)"
            hall.listener, first = other, hall.listener
            await hall.one_by_one(1)
            assert hall.told() == "."
            hall.listener = first

    _try(monkeypatch, scenario)


def test_where_many_wait_at_once_no_others_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accept, "ENOUGH", 4)
    monkeypatch.setattr(accept, "BATCH", 10)

    async def scenario(hall: Hall) -> None:
        await hall.one_by_one(PROBE - 1)
        hall.come(25)
        await hall.served_all()
        assert hall.told() == ".." + "(" + 10 * "." + ")" + "(" + 10 * "." + ")" + "(.....zzz)"

    _try(monkeypatch, scenario)


def test_who_is_full_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(hall: Hall) -> None:
        hall.full_at = PROBE + 1
        await hall.one_by_one(PROBE - 1)
        hall.come(5)
        for _ in range(20):
            await asyncio.sleep(0)
        assert hall.told() == "..(..)"
        hall.full_at = 1000
        hall.acceptor.resume()
        await hall.served_all()
        assert hall.told().count(".") == 3

    _try(monkeypatch, scenario)


def test_a_burst_is_over_even_if_serving_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(hall: Hall) -> None:
        errors: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: errors.append(context["exception"])
        )
        await hall.one_by_one(PROBE - 1)

        def fails() -> bool:
            raise RuntimeError("a bug")

        hall.full_at = 0
        monkeypatch.setattr(hall.acceptor, "_is_full", fails)
        hall.come(1)
        while not errors:
            await asyncio.sleep(0)
        monkeypatch.setattr(hall.acceptor, "_is_full", lambda: False)
        assert hall.told().startswith("..()")
        assert str(errors[0]) == "a bug"

    _try(monkeypatch, scenario)
