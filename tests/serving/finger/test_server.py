# SPDX-License-Identifier: MIT
"""Sockets: deadlines, caps, pauses, clients that misbehave, drain, counts."""

from __future__ import annotations

import asyncio
import gc
import math
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from fingerd_sd.config.server import Limits
from fingerd_sd.directory.answer import RESULTS
from fingerd_sd.protocol.entry import Entry, Text
from fingerd_sd.serving.finger import ending, held, server
from fingerd_sd.serving.finger.server import Server
from fingerd_sd.serving.waiting import accept, deadlines

from ...helpers.houses import VILLAGE, Told, everyone, ruip, static, village
from ...helpers.wire import PATIENCE, Peer, Serving, descriptors_left, run, serving, turns, until
from ...helpers.wire_cases import ALICE, BROKEN, HAPPY, LIMITED, MALFORMED, NO_LIST, NOBODY

ROOT = Path(__file__).parents[3]
LARGE = Text("0123456789abcdef" * (1 << 15))  # 512 KiB: more than the buffers of these sockets


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines are looked at often: what takes long here is only waiting for them."""
    monkeypatch.setattr(deadlines, "SWEEP", 0.001)


# --- descriptors ---


def test_connections_leave_descriptors_to_look_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes when the others have all but those waits, until one of them goes."""
    monkeypatch.setattr(server, "for_connections", lambda: 2)

    async def scenario() -> None:
        async with serving(village()) as house:
            first, _ = house.connect(), house.connect()
            await until(lambda: house.server.open == 2)
            with house.connect() as third:
                await third.send(b"moshez\r\n")
                await turns(20)
                assert (house.server.taken, house.server.open) == (2, 2)
                assert house.server.paused == "all 2 connections are taken"
                await first.send(b"alice\r\n")
                assert await first.receive() == ALICE
                assert await third.receive() == HAPPY
            assert house.server.paused == ""

    run(scenario())


# --- deadlines ---


@pytest.mark.parametrize("first", [b"", b"alice", b"alice\r"])
def test_a_client_that_falls_silent_is_closed_without_an_answer(first: bytes) -> None:
    async def scenario() -> None:
        async with serving(village(), Limits(query_timeout=0.1)) as house:
            with house.connect() as peer:
                await peer.send(first)
                assert await peer.receive() == b""
            assert house.server.counts["timeout"] == 1
            [logged] = house.log
            assert (logged.answer.result, logged.sent) == ("timeout", 0)
            assert logged.answer.query.startswith(first.decode().strip())

    run(scenario())


def test_a_client_that_sends_an_octet_now_and_then_is_closed_all_the_same() -> None:
    async def scenario() -> None:
        async with serving(village(), Limits(query_timeout=0.1, max_query=1 << 20)) as house:
            with house.connect() as peer:

                async def trickle() -> None:
                    while True:
                        await peer.send(b"a")
                        await asyncio.sleep(0.001)

                trickling = asyncio.create_task(trickle())
                try:
                    got = await peer.receive()
                except ConnectionResetError:
                    got = b""  # an octet was on its way
                trickling.cancel()
                await asyncio.wait([trickling])
                assert got == b""
                await house.settled()
            assert house.server.counts["timeout"] == 1

    run(scenario())


def test_each_client_has_a_deadline_of_its_own() -> None:
    async def scenario() -> None:
        async with serving(village()) as house:
            peers = []
            for number, timeout in enumerate((0.05, 3600, 0.1, 3600, 0.05), 1):
                house.server.limits = Limits(query_timeout=timeout)
                peers.append(house.connect())
                await until(lambda: house.server.taken == number)  # noqa: B023
            for number in (0, 2, 4):
                assert await peers[number].receive() == b""
            assert (house.server.counts["timeout"], house.server.open) == (3, 2)
            for number in (1, 3):
                await peers[number].send(b"alice\r\n")
                assert await peers[number].receive() == ALICE

    run(scenario())


def test_a_shorter_deadline_holds_for_those_who_come_after_it_was_set() -> None:
    """A reload shortens query_timeout; who came before keeps what it had."""

    async def scenario() -> None:
        async with serving(village(), Limits(query_timeout=3600)) as house:
            with house.connect() as patient:
                await until(lambda: house.server.open == 1)
                house.server.limits = Limits(query_timeout=0.1)
                with house.connect() as silent:
                    assert await silent.receive() == b""
                assert house.server.open == 1
                await patient.send(b"moshez\r\n")
                assert await patient.receive() == HAPPY

    run(scenario())


def test_a_deadline_that_is_over_does_not_hold_up_later_ones() -> None:
    async def scenario() -> None:
        async with serving(village(), Limits(query_timeout=3600)) as house:
            assert await house.ask(b"moshez\r\n") == HAPPY
            await house.settled()
            house.server.limits = Limits(query_timeout=0.1)
            with house.connect() as silent:
                assert await silent.receive() == b""

    run(scenario())


def test_many_deadlines_that_are_over_at_once_do_not_hold_up_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deadlines, "SWEEP", 0.1)  # all of them are over when it looks
    monkeypatch.setattr(deadlines, "EXPIRED", 2)

    async def scenario() -> None:
        async with serving(village(), Limits(query_timeout=0.05)) as house:
            peers = [house.connect() for _ in range(7)]
            seen = [0]
            async with asyncio.timeout(PATIENCE):
                while seen[-1] < len(peers):
                    await asyncio.sleep(0)
                    seen.append(house.server.counts["timeout"])
            assert max(after - before for before, after in pairwise(seen)) == 2
            assert house.server.open == 0
            for peer in peers:
                assert await peer.receive() == b""

    run(scenario())


@pytest.mark.parametrize("line", [b"slow\r\n", b"slow\r\nmore", b"large\r\n", b"large\r\nmore"])
def test_the_deadline_of_the_line_is_not_that_of_the_answer(line: bytes) -> None:
    """A silent client's deadline, which began later, is over: those who asked are not touched."""

    async def scenario() -> None:
        slow = Told(Text("slow"), waits=asyncio.Event())
        house_of = ruip(static({"large": LARGE}), slow)
        async with serving(house_of, Limits(query_timeout=0.05), send_buffer=4096) as house:
            assert await house.ask(b"large\r\n")  # it is ready now
            await house.settled()
            with house.connect(receive_buffer=4096) as peer, house.connect() as silent:
                await peer.send(line)
                assert await silent.receive() == b""
                assert slow.waits is not None
                slow.waits.set()
                answer = (LARGE.text if line.startswith(b"large") else "slow").encode() + b"\r\n"
                assert await peer.receive() == answer
            assert house.server.counts["timeout"] == 1

    run(scenario())


def test_a_source_that_takes_too_long_for_the_client_is_an_internal_error() -> None:
    async def scenario() -> None:
        source = Told(Text("too late"), waits=asyncio.Event())
        async with serving(ruip(source), Limits(answer_timeout=0.1)) as house:
            assert await house.ask(b"alice\r\n") == BROKEN
            await house.settled()
            assert house.server.counts["failed"] == 1
            assert source.waits is not None
            source.waits.set()

    run(scenario())


# --- how long a line may be ---


def test_a_line_may_be_as_long_as_max_query_says() -> None:
    async def scenario() -> None:
        async with serving(village(), Limits(max_query=16)) as house:
            assert await house.ask(b"a" * 14 + b"\r\n") == NOBODY
            assert await house.ask(b"a" * 15 + b"\n") == NOBODY
            for line in (b"a" * 15 + b"\r\n", b"a" * 17, b" " * 16 + b"\n", b"a" * 5000 + b"\r\n"):
                assert await house.ask(line) == MALFORMED

    run(scenario())


def test_a_line_without_an_end_is_answered_before_it_ends() -> None:
    """Nobody waits for the end of a mebioctet; what still comes is read and dropped."""

    async def scenario() -> None:
        async with serving(village()) as house:
            with house.connect() as peer:
                await peer.send(b"a" * 1025)
                assert await peer.receive() == MALFORMED
                for _ in range(16):
                    await peer.send(b"a" * (1 << 16))
                assert peer.was_closed_by_fin()

    run(scenario())


def test_what_is_read_and_dropped_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "LINGER_OCTETS", 1 << 18)
    monkeypatch.setattr(ending, "LINGER", 3600)

    async def scenario() -> None:
        async with serving(village()) as house:
            with house.connect() as peer:

                async def talk() -> None:
                    for _ in range(1024):
                        await peer.send(b"a" * (1 << 16))

                with pytest.raises(OSError, match=r"reset|pipe"):
                    await talk()
                await house.settled()

    run(scenario())


def test_the_time_to_read_and_drop_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "LINGER", 0.1)

    async def scenario() -> None:
        async with serving(village()) as house:
            with house.connect() as peer:
                await peer.send(b"alice\r\nbehind")
                assert await peer.receive() == ALICE
                await house.settled()  # the client keeps its side open, and says no more
                assert peer.was_closed_by_fin()

    run(scenario())


# --- caps ---


@pytest.mark.parametrize("line", [b"moshez\r\n", b"bob\r\n"])
def test_who_is_one_too_many_waits_in_the_backlog_and_is_answered(line: bytes) -> None:
    async def scenario() -> None:
        async with serving(village(), Limits(max_connections=2)) as house:
            first, second = house.connect(), house.connect("unix")
            await until(lambda: house.server.open == 2)
            with house.connect() as third:
                await third.send(line)
                await turns(20)
                assert house.server.taken == 2
                first.sock.close()
                assert await third.receive() == (HAPPY if line == b"moshez\r\n" else NOBODY)
            assert house.server.taken == 3
            second.sock.close()

    run(scenario())


def test_the_caps_hold_for_many_at_once() -> None:
    async def scenario() -> None:
        async with serving(village(), Limits(max_connections=3, max_per_client=1000)) as house:
            most = 0

            async def ask() -> bytes:
                nonlocal most
                with house.connect() as peer:
                    await peer.send(b"mos")
                    await turns()
                    most = max(most, house.server.open)
                    await peer.send(b"hez\r\n")
                    return await peer.receive()

            answers = await asyncio.gather(*(ask() for _ in range(100)))
            assert answers == [HAPPY] * 100
            assert most == 3
            assert house.server.taken == 100

    run(scenario())


def test_a_client_with_too_many_connections_is_told_so() -> None:
    async def scenario() -> None:
        async with serving(village(), Limits(max_per_client=2)) as house:
            peers = [house.connect() for _ in range(2)]
            await until(lambda: house.server.open == 2)
            assert await house.ask(b"alice\r\n") == LIMITED
            assert await house.ask(b"") == LIMITED
            assert await house.ask(b"moshez\r\n", source="127.0.0.2") == HAPPY
            assert house.server.counts["limited"] == 2
            await peers[0].send(b"moshez\r\n")
            assert await peers[0].receive() == HAPPY
            await until(lambda: house.server.open == 1)
            assert await house.ask(b"alice\r\n") == ALICE
            for peer in peers:
                peer.sock.close()

    run(scenario())


def test_what_is_limited_is_counted_and_told_of_apart_from_queries() -> None:
    async def scenario() -> None:
        limited: list[str] = []
        rules = ruip(static(VILLAGE), audiences=[everyone(rate=8)])
        async with serving(rules, Limits(max_per_client=1)) as house:
            house.server.on_limited = lambda client: limited.append(client.key)
            with house.connect():
                await until(lambda: house.server.open == 1)
                assert await house.ask(b"moshez\r\n") == LIMITED
            await house.settled()
            assert await house.ask(b"nobody\r\n") == NOBODY
            assert await house.ask(b"n" * 5000) == MALFORMED  # none is left now
            assert await house.ask(b"moshez\r\n") == LIMITED
            assert await house.ask(b"m" * 5000) == LIMITED
            assert await house.ask(b"nobody\r\n") == LIMITED  # on the fast path
            assert await house.ask(b"moshez\r\n", source="127.0.0.2") == HAPPY
        assert limited == ["127.0.0.1"] * 4
        assert house.server.counts["limited"] == 4
        assert [told.answer.result for told in house.log] == ["absent", "malformed", "found"]

    run(scenario())


@pytest.mark.parametrize(
    "sends",
    [
        [b"alice\r\n"],
        [b"", b"alice\r\n"],
        [b"ali", b"ce\r\n"],
        [b"alice\r\n" + b"junk" * 4096],
        [b"a" * 4096, b"a" * 4096],
    ],
)
def test_who_is_told_so_is_never_reset(sends: list[bytes]) -> None:
    async def scenario() -> None:
        async with serving(village(), Limits(max_per_client=1)) as house:
            with house.connect():
                await until(lambda: house.server.open == 1)
                with house.connect() as peer:
                    for octets in sends:
                        await peer.send(octets)
                        await turns()
                    assert await peer.receive() == LIMITED
                    assert peer.was_closed_by_fin()

    run(scenario())


def test_telling_with_care_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_LIMITED", 2)

    async def scenario() -> None:
        async with serving(village(), Limits(max_per_client=1)) as house:
            with house.connect():
                await until(lambda: house.server.open == 1)
                silent = [house.connect() for _ in range(5)]
                for peer in silent:
                    assert await peer.receive() == LIMITED
                assert house.server.open <= 3
                assert house.server.counts["limited"] == 5
                for peer in silent:
                    peer.sock.close()
                await until(lambda: house.server.open == 1)
                assert await house.ask(b"") == LIMITED

    run(scenario())


# --- out of descriptors ---


def _pauses(caplog: pytest.LogCaptureFixture) -> int:
    return sum(record.__dict__.get("event") == "ACCEPT_PAUSED" for record in caplog.records)


def test_without_descriptors_it_pauses_and_does_not_spin(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "PAUSE", 3600)

    async def scenario() -> None:
        async with serving(village()) as house:
            with house.connect() as peer:
                await peer.send(b"moshez\r\n")
                with descriptors_left():
                    await until(lambda: _pauses(caplog) > 0)
                    await turns(200)
                assert (_pauses(caplog), house.server.taken) == (1, 0)

    run(scenario())


def test_it_goes_on_when_there_are_descriptors_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "PAUSE", 0.01)
    monkeypatch.setattr(accept, "PAUSE_TOLD", 0)

    async def scenario() -> None:
        async with serving(village()) as house:
            with house.connect() as early, house.connect() as peer:
                await peer.send(b"moshez\r\n")
                with descriptors_left():
                    await until(lambda: _pauses(caplog) > 1)
                    assert house.server.paused == "accepting is paused: Too many open files"
                assert await peer.receive() == HAPPY
                assert house.server.paused == ""
                await early.send(b"alice\r\n")
                assert await early.receive() == ALICE

    run(scenario())
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_a_long_pause_is_told_to_the_log_once_and_to_the_status(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "PAUSE", 0.001)
    changes: list[str] = []

    async def scenario() -> None:
        async with serving(village()) as house:

            def change() -> None:
                changes.append(house.server.paused)
                house.server.on_change = change

            house.server.on_change = change
            with house.connect() as peer:
                await peer.send(b"moshez\r\n")
                with descriptors_left():
                    await until(lambda: len(changes) > 5)
                assert await peer.receive() == HAPPY

    run(scenario())
    assert set(changes[:5]) == {"accepting is paused: Too many open files"}
    assert changes[-1] == ""
    assert _pauses(caplog) == 1


def test_those_who_were_taken_are_served_during_the_pause(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "PAUSE", 3600)

    async def scenario() -> None:
        async with serving(village()) as house:
            with house.connect() as taken:
                await until(lambda: house.server.open == 1)
                with house.connect() as waiting:
                    with descriptors_left():
                        await until(lambda: _pauses(caplog) == 1)
                        await taken.send(b"moshez\r\n")
                        assert await taken.receive() == HAPPY
                    assert house.server.taken == 1
                    waiting.sock.close()

    run(scenario())


# --- clients that do not read, or go away ---


async def _fill(house: Serving, line: bytes) -> Peer:
    """Return a client that asked for a large answer and has begun to read it."""
    peer = house.connect(receive_buffer=4096)
    await peer.send(line)
    await peer.receive(16)
    return peer


def test_a_client_that_never_reads_holds_nobody_up() -> None:
    async def scenario() -> None:
        users: dict[str, Entry] = {"large": LARGE, "moshez": Text("Happy and well")}
        async with serving(
            ruip(static(users)), Limits(answer_timeout=0.3), send_buffer=4096
        ) as house:
            peer = await _fill(house, b"large\r\n")
            assert await house.ask(b"moshez\r\n") == HAPPY
            await house.settled()
            peer.sock.close()
            assert house.server.counts["timeout"] == 1
            [late] = [logged for logged in house.log if logged.answer.result == "timeout"]
            assert late.sent < len(LARGE.text)

    run(scenario())


@pytest.mark.parametrize("over", ["tcp", "unix"])
@pytest.mark.parametrize("lifetime", [0, math.inf], ids=["never ready", "ready"])
def test_a_large_answer_arrives_whole(lifetime: float, over: str) -> None:
    """The second time, a ready one begins on the spot and does not fit the socket's buffer."""

    async def scenario() -> None:
        source = Told(LARGE, lifetime=lifetime)
        async with serving(ruip(source), send_buffer=4096) as house:
            for _ in range(2):
                answer = await house.ask(b"large\r\n", over)
                assert answer == LARGE.text.encode() + b"\r\n"
                await house.settled()
            assert house.server.counts["found"] == 2
            assert [logged.sent for logged in house.log] == [len(answer)] * 2
            assert len(source.asked) == (1 if lifetime else 2)

    run(scenario())


@pytest.mark.parametrize("lifetime", [0, math.inf], ids=["never ready", "ready"])
def test_a_large_answer_arrives_whole_with_octets_behind_the_line(lifetime: float) -> None:
    async def scenario() -> None:
        async with serving(ruip(Told(LARGE, lifetime=lifetime)), send_buffer=4096) as house:
            for _ in range(2):
                with house.connect() as peer:
                    await peer.send(b"large\r\n" + b"junk" * 4096)
                    assert await peer.receive() == LARGE.text.encode() + b"\r\n"
                    assert peer.was_closed_by_fin()

    run(scenario())


@pytest.mark.parametrize(
    ("sent", "is_held"),
    [
        pytest.param(b"", False, id="before it is taken"),
        pytest.param(b"moshez\r\n", False, id="before it is taken, its line sent"),
        pytest.param(b"", True, id="before its line"),
        pytest.param(b"mos", True, id="within its line"),
        pytest.param(b"slow\r\n", True, id="while its source is asked"),
        pytest.param(b"slow\r\nmore", True, id="while its source is asked, more sent"),
        pytest.param(b"moshez\r\nmore", True, id="while octets behind the line are dropped"),
    ],
)
def test_a_client_that_goes_away_harms_nobody(
    sent: bytes, is_held: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        slow = Told(Text("slow"), waits=asyncio.Event())
        known = static({"moshez": Text("Happy and well")})
        async with serving(ruip(known, slow)) as house:
            peer = house.connect()
            await peer.send(sent)
            if is_held:
                await until(lambda: house.server.open == 1)
                await turns()
            peer.reset()
            assert slow.waits is not None
            slow.waits.set()
            await house.settled()
            assert await house.ask(b"moshez\r\n") == HAPPY
            await house.settled()

    run(scenario())
    assert caplog.records == []


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_client_that_goes_away_within_a_large_answer_harms_nobody(
    asked_before: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with serving(ruip(static({"large": LARGE})), send_buffer=4096) as house:
            if asked_before:
                assert await house.ask(b"large\r\n")
                await house.settled()
            peer = await _fill(house, b"large\r\n")
            peer.reset()
            await house.settled()
            assert len(await house.ask(b"large\r\n")) == len(LARGE.text) + 2

    run(scenario())
    assert caplog.records == []


def test_a_client_that_goes_away_within_an_answer_leaves_nothing_of_it_in_memory() -> None:
    """Not even until Python collects its garbage: many such clients come before that."""

    def views() -> int:
        return sum(isinstance(kept, memoryview) for kept in gc.get_objects())

    async def scenario() -> None:
        async with serving(ruip(static({"large": LARGE})), send_buffer=4096) as house:
            before = views()
            for _ in range(3):
                peer = await _fill(house, b"large\r\n")
                peer.reset()
                await house.settled()
            await turns()
            assert views() == before

    gc.collect()
    gc.disable()
    try:
        run(scenario())
    finally:
        gc.enable()


def test_who_leaves_does_not_take_the_answer_from_who_asked_the_same() -> None:
    async def scenario() -> None:
        slow = Told(Text("Happy and well"), waits=asyncio.Event())
        async with serving(ruip(slow)) as house:
            leaver, stayer = house.connect(), house.connect()
            for peer in (leaver, stayer):
                await peer.send(b"moshez\r\n")
            await until(lambda: bool(slow.asked) and house.server.open == 2)
            leaver.reset()
            assert slow.waits is not None
            slow.waits.set()
            assert await stayer.receive() == HAPPY
            stayer.sock.close()

    run(scenario())


def test_a_client_that_leaves_without_a_line_is_no_query() -> None:
    async def scenario() -> None:
        async with serving(village()) as house:
            for over in ("tcp", "unix"):
                house.connect(over).sock.close()
            await until(lambda: house.server.taken == 2)
            await house.settled()
            assert house.log == []
            assert sum(house.server.counts.values()) == 0

    run(scenario())


# --- the end ---


def test_draining_finishes_what_was_taken_and_takes_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "DRAIN_READING", 3600)

    async def scenario() -> None:
        slow = Told(Text("slow"), waits=asyncio.Event())
        async with serving(ruip(static({"moshez": Text("Happy and well")}), slow)) as house:
            reading, waiting = house.connect(), house.connect()
            await reading.send(b"mos")
            await waiting.send(b"slow\r\n")
            await until(lambda: house.server.open == 2 and bool(slow.asked))
            draining = asyncio.create_task(house.server.drain())
            await turns()
            with house.connect() as late:
                await late.send(b"moshez\r\n")
                await reading.send(b"hez\r\n")
                assert await reading.receive() == HAPPY
                assert not draining.done()
                assert slow.waits is not None
                slow.waits.set()
                assert await waiting.receive() == b"slow\r\n"
                await draining
                await turns(20)
                assert (house.server.taken, house.server.open) == (2, 0)
            for peer in (reading, waiting):
                peer.sock.close()

    run(scenario())


def test_draining_waits_only_so_long_for_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "DRAIN_READING", 0.05)

    async def scenario() -> None:
        async with serving(village(), Limits(query_timeout=3600)) as house:
            with house.connect() as silent, house.connect() as slow:
                await slow.send(b"mos")
                await until(lambda: house.server.open == 2)
                await house.server.drain()
                assert await silent.receive() == b""
                assert await slow.receive() == b""
            assert house.server.counts["timeout"] == 2

    run(scenario())


def test_draining_an_empty_house_is_done_at_once() -> None:
    async def scenario() -> None:
        async with serving(village()) as house:
            await house.server.drain()
            await house.server.drain()
            assert house.server.open == 0

    run(scenario())


def test_who_waits_while_one_process_ends_is_answered_by_the_next() -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            loop = asyncio.get_running_loop()
            first = Server(loop, village(), Limits(), None)
            first.start([listener])
            await first.drain()
            with Peer(listener) as peer:
                await peer.send(b"moshez\r\n")
                await turns(20)
                assert first.taken == 0
                second = Server(loop, village(), Limits(), None)
                second.start([listener])
                assert await peer.receive() == HAPPY
                await second.drain()

    run(scenario())


# --- what is told ---


def test_every_result_is_counted_and_logged_once() -> None:
    async def scenario() -> None:
        bad = Told(ValueError())
        house_of = ruip(static({"moshez": Text("Happy and well")}), bad)
        async with serving(house_of, Limits(max_query=64)) as house:
            lines = {
                b"moshez\r\n": HAPPY,
                b"\r\n": NO_LIST,
                b"\0\r\n": MALFORMED,
                b"x" * 65: MALFORMED,
                b"bob\r\n": BROKEN,
            }
            for line, answer in lines.items():
                for _ in range(2):
                    assert await house.ask(line) == answer
            bad.says = None
            assert await house.ask(b"bob\r\n") == NOBODY
            await house.settled()
            expected = dict.fromkeys(RESULTS, 0)
            expected |= {"found": 2, "refused": 2, "malformed": 4, "failed": 2, "absent": 1}
            assert house.server.counts == expected
            assert len(house.log) == 11
            for logged in house.log:
                assert logged.sent == len(logged.answer.octets)
                assert logged.usec >= 0
                assert logged.client.address == "127.0.0.1"

    run(scenario())


def test_a_local_client_is_logged_as_local() -> None:
    async def scenario() -> None:
        async with serving(village()) as house:
            for _ in range(2):
                assert await house.ask(b"moshez\r\n", "unix") == HAPPY
            assert [logged.client.logged for logged in house.log] == ["local", "local"]

    run(scenario())


def test_who_comes_over_ipv6_is_served() -> None:
    async def scenario() -> list[str]:
        clients: list[str] = []
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
            server = Server(
                asyncio.get_running_loop(),
                village(),
                Limits(),
                lambda answer, client, sent, usec: clients.append(client.address),
            )
            server.start([listener])
            for _ in range(2):
                with Peer(listener) as peer:
                    await peer.send(b"moshez\r\n")
                    assert await peer.receive() == HAPPY
            await server.drain()
        return clients

    assert run(scenario()) == ["::1", "::1"]


def test_who_comes_over_ipv4_to_a_socket_for_both_is_known_as_such() -> None:
    async def scenario() -> list[str]:
        clients: list[str] = []
        with socket.create_server(
            ("::", 0), family=socket.AF_INET6, dualstack_ipv6=True
        ) as listener:
            server = Server(
                asyncio.get_running_loop(),
                village(),
                Limits(),
                lambda answer, client, sent, usec: clients.append(client.address),
            )
            server.start([listener])
            with socket.create_connection(("127.0.0.1", listener.getsockname()[1])) as sock:
                sock.sendall(b"moshez\r\n")
                await until(lambda: bool(clients))
                assert sock.recv(100) == HAPPY
            await server.drain()
        return clients

    assert run(scenario()) == ["127.0.0.1"]


def test_a_bug_in_one_connection_ends_that_one_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    took = held.Connection._took

    def explode(self: held.Connection, octets: bytes) -> None:
        if octets == b"explode\r\n":
            raise RuntimeError("a bug")
        took(self, octets)

    monkeypatch.setattr(held.Connection, "_took", explode)

    async def scenario() -> None:
        async with serving(village()) as house:
            with house.connect() as bad, house.connect() as good:
                await until(lambda: house.server.open == 2)
                await bad.send(b"explode\r\n")
                await good.send(b"moshez\r\n")
                assert await bad.receive() == b""
                assert await good.receive() == HAPPY

    run(scenario())
    assert [record.__dict__["event"] for record in caplog.records] == ["INTERNAL_ERROR"]


def test_what_waits_is_there_before_descriptors_run_short() -> None:
    """An import takes descriptors: by then it is too late for one."""
    program = f"""
import asyncio, socket, sys
sys.path.insert(0, {str(ROOT)!r})
from fingerd_sd.config.server import Limits
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.policy.rules import Policy
from fingerd_sd.serving.finger.server import Server
async def main():
    ruip = Ruip(Policy([]), Directory([]), lambda: 0)
    server = Server(asyncio.get_running_loop(), ruip, Limits(), None)
    server.start([socket.create_server(("127.0.0.1", 0))])
    print(*sys.modules)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert {
        "fingerd_sd.directory.waiting",
        "fingerd_sd.directory.lists",
        "fingerd_sd.protocol.layout.short",
        "logging",
    } <= set(done.stdout.split())


def test_a_change_is_told_once_until_it_is_asked_for_again() -> None:
    async def scenario() -> None:
        async with serving(village()) as house:
            told: list[int] = []
            house.server.on_change = lambda: told.append(house.server.taken)
            for _ in range(3):
                await house.ask(b"moshez\r\n")
            assert told == [1]
            house.server.on_change = lambda: told.append(house.server.taken)
            await house.ask(b"moshez\r\n")
            assert told == [1, 4]

    run(scenario())


def test_rules_can_be_exchanged_while_queries_are_under_way() -> None:
    async def scenario() -> None:
        old = Told(Text("old"), waits=asyncio.Event())
        async with serving(ruip(old)) as house:
            with house.connect() as early, house.connect() as between:
                await early.send(b"alice\r\n")
                await between.send(b"ali")
                await until(lambda: bool(old.asked) and house.server.open == 2)
                house.server.ruip = ruip(Told(Text("new")))
                assert await house.ask(b"alice\r\n") == b"new\r\n"
                await between.send(b"ce\r\n")
                assert await between.receive() == b"new\r\n"
                assert old.waits is not None
                old.waits.set()
                assert await early.receive() == b"old\r\n"

    run(scenario())


def test_a_batch_does_not_starve_those_who_were_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait, no more are taken in one turn of the loop than a batch."""
    monkeypatch.setattr(accept, "BATCH", 4)
    monkeypatch.setattr(accept, "PROBE", 1)

    async def scenario() -> None:
        async with serving(village()) as house:
            peers = [house.connect() for _ in range(10)]
            steps = []
            while house.server.taken < 10:
                before = house.server.taken
                await asyncio.sleep(0)
                steps.append(house.server.taken - before)
            assert max(steps) == 4
            for peer in peers:
                peer.sock.close()

    run(scenario())
