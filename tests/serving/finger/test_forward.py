# SPDX-License-Identifier: MIT
"""Forwarding, {Q2}: what is relayed, where to, and all that must not be. RFC 1288 §2.4, §3.2.1."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fingerd_sd.commands import settings
from fingerd_sd.commands.cli import main
from fingerd_sd.config.mistakes import ConfigError
from fingerd_sd.config.server import Limits
from fingerd_sd.directory.answer import FAILED, FOUND, REFUSED, Answer
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.relay import relayed
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.rules import Policy
from fingerd_sd.protocol.hosts import MAX_HOSTS
from fingerd_sd.protocol.query import parse
from fingerd_sd.serving.finger.forward import Forwarder, is_elsewhere
from fingerd_sd.serving.finger.server import Server

from ...helpers.clock import put_forward
from ...helpers.wire import run, turns

PATIENCE = 30.0  # seconds; reached only by a failure
LATE = 10  # seconds that a relayed query may take, where a test puts the clock forward by them
DENIED = b"Finger forwarding service denied\r\n"
LOCAL = ("127.0.0.1", "localhost")

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Stub:
    """Another host's finger. `lines`: what it was asked; `port`: where it listens."""

    def __init__(self, talk: Talk | None) -> None:
        self.lines: list[bytes] = []
        self.port = 0
        self._talk = talk

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.lines.append(await reader.readline())
            if self._talk is None:
                writer.write(b"told " + self.lines[-1])
                await writer.drain()
            else:
                await self._talk(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def stub(talk: Talk | None = None, host: str = "127.0.0.1") -> AsyncIterator[Stub]:
    answering = Stub(talk)
    server = await asyncio.start_server(answering.serve, host, 0)
    answering.port = server.sockets[0].getsockname()[1]
    try:
        yield answering
    finally:
        server.close()
        await server.wait_closed()


async def ask(
    line: bytes, port: int, *hosts: str, timeout: float = PATIENCE, forward: bool = True
) -> Answer:
    """Return the answer to `line` of a server that relays to `hosts`, at `port`."""
    audience = Audience(forward=forward, forward_hosts=hosts)
    rules = Ruip(
        Policy([audience]),
        Directory([]),
        asyncio.get_running_loop().time,
        Forwarder(timeout, port),
    )
    answer = await rules.answer(line, rules.policy.client("192.0.2.1"))
    await rules.close()
    return answer


# --- what is relayed ---


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        (b"foo@h1@127.0.0.1\r\n", b"foo@h1\r\n"),
        (b"foo@127.0.0.1\r\n", b"foo\r\n"),
        (b"@127.0.0.1\r\n", b"\r\n"),
        (b"@h1@127.0.0.1\r\n", b"@h1\r\n"),
        (b"/W foo@h1@127.0.0.1\r\n", b"/W foo@h1\r\n"),
        (b"/W @127.0.0.1\r\n", b"/W\r\n"),
        (b"/w foo@LOCALHOST\n", b"/W foo\r\n"),
        (b"foo@h1@h2@h3@localhost\r\n", b"foo@h1@h2@h3\r\n"),
        ("józef@127.0.0.1\r\n".encode(), "józef\r\n".encode()),
    ],
)
def test_the_right_most_host_is_peeled_and_the_rest_relayed(line: bytes, sent: bytes) -> None:
    async def work() -> None:
        async with stub() as other:
            answer = await ask(line, other.port, *LOCAL)
            assert other.lines == [sent]
            assert answer.octets == b"told " + sent
            assert (answer.result, answer.source) == (FOUND, "forward")

    run(work())


def test_ipv6_hosts_are_relayed_to() -> None:
    async def work() -> None:
        async with stub(host="::1") as other:
            assert (await ask(b"foo@0:0::1\r\n", other.port, "::1")).result == FOUND

    run(work())


def test_the_relay_stays_open_while_the_other_host_pauses_and_closes_when_it_does() -> None:
    async def work() -> None:
        begun, go = asyncio.Event(), asyncio.Event()

        async def pause(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"one\n")
            await writer.drain()
            begun.set()
            await go.wait()
            writer.write(b"two\n")

        async with stub(pause) as other:
            loop = asyncio.get_running_loop()
            audience = Audience(forward=True, forward_hosts=LOCAL)
            rules = Ruip(
                Policy([audience]), Directory([]), loop.time, Forwarder(PATIENCE, other.port)
            )
            listener = socket.create_server(("127.0.0.1", 0))
            server = Server(loop, rules, Limits(), None)
            server.start([listener])
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"foo@h1@localhost\r\n")
            await begun.wait()
            assert server.open == 1
            reading = asyncio.create_task(reader.read())
            await asyncio.sleep(0)
            assert not reading.done()
            go.set()
            assert await reading == b"one\r\ntwo\r\n"
            assert other.lines == [b"foo@h1\r\n"]
            writer.close()
            await server.drain()
            listener.close()

    run(work())


def test_what_another_host_says_is_filtered_like_any_answer() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"a\x1b[31mb\xc2\x9bc\r\nd\re\xff")

    async def work() -> None:
        async with stub(talk) as other:
            answer = await ask(b"foo@localhost\r\n", other.port, *LOCAL)
            assert answer.octets == "a^[[31mb\u00c2\ufffdc\r\nd\r\neÿ\r\n".encode()

    run(work())


def test_nothing_is_kept() -> None:
    async def work() -> None:
        async with stub() as other:
            audience = Audience(forward=True, forward_hosts=LOCAL)
            rules = Ruip(
                Policy([audience]),
                Directory([]),
                asyncio.get_running_loop().time,
                Forwarder(PATIENCE, other.port),
            )
            client = rules.policy.client("192.0.2.1")
            for number in range(3):
                await rules.answer(b"foo@localhost\r\n", client)
                assert len(other.lines) == number + 1
                assert rules.ready(b"foo@localhost\r\n", client, 0.0) is None

    run(work())


# --- bounds and failures ---


def test_an_answer_without_an_end_is_cut_with_a_mark() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write("é".encode() * 4096)
            await writer.drain()

    async def work() -> None:
        async with stub(talk) as other:
            answer = await ask(b"foo@localhost\r\n", other.port, *LOCAL)
            assert answer.octets == "é".encode() * 32768 + b"\r\n[the rest was cut off]\r\n"

    run(work())


def test_an_answer_that_stops_is_given_at_the_deadline_with_a_mark() -> None:
    async def work() -> None:
        hung = asyncio.Event()

        async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"half")
            await turns()  # it is read
            put_forward(LATE)
            await hung.wait()

        async with stub(talk) as other:
            answer = await ask(b"foo@localhost\r\n", other.port, *LOCAL, timeout=LATE)
            hung.set()
            assert answer.octets == b"half\r\n[the rest did not come in time]\r\n"

    run(work())


def test_a_host_that_says_nothing_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        hung = asyncio.Event()

        async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            put_forward(LATE)
            await hung.wait()

        async def leave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            pass

        for talk, why in ((hang, f"no answer in {LATE} s"), (leave, "closed without an answer")):
            async with stub(talk) as other:
                answer = await ask(b"foo@localhost\r\n", other.port, *LOCAL, timeout=LATE)
                hung.set()
                assert answer.octets == b"Internal error in server\r\n"
                assert (answer.result, answer.source) == (FAILED, "forward")
                assert why in answer.steps[0]
        answer = await ask(b"foo@localhost\r\n", other.port, *LOCAL)  # nobody listens there now
        assert answer.result == FAILED

    run(work())
    assert [record.fields for record in caplog.records] == [{"FINGER_SOURCE": "forward"}] * 3  # type: ignore[attr-defined]


def test_a_name_that_has_no_address_is_a_failure() -> None:
    async def work() -> None:
        answer = await ask(b"foo@nowhere.invalid\r\n", 1, "*.invalid")
        assert answer.result == FAILED
        long_label = b"foo@" + b"x" * 70 + b".invalid\r\n"
        assert (await ask(long_label, 1, "*.invalid")).result == FAILED

    run(work())


# --- what must not be relayed ---


@pytest.mark.parametrize(
    "line",
    [
        b"foo@other.example\r\n",
        b"foo@example.org\r\n",
        b"foo@a.example.org.evil.example\r\n",
        b"foo@evil.example@\xc3\xa9.example.org\r\n",
        b"foo@a b.example.org\r\n",
        b"foo@-a.example.org\r\n",
        b"foo@a.example.org%eth0\r\n",
        b"foo@h/W@a.example.org\r\n",
        b"foo@127.0.0.1\r\n",
        b"a" + b"@a.example.org" * (MAX_HOSTS + 1) + b"\r\n",
        b"a" + b"@localhost" * 500 + b"\r\n",
    ],
)
def test_other_hosts_and_long_chains_are_refused_without_a_look_up(
    line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: pytest.fail("a host was looked up"))
    answer = run(ask(line, 1, "*.example.org"))
    if b" " in line:
        assert answer.octets == b"Malformed query\r\n"
    else:
        assert (answer.octets, answer.result) == (DENIED, REFUSED)


def test_forwarding_is_off_by_default() -> None:
    assert run(ask(b"foo@localhost\r\n", 1, *LOCAL, forward=False)).octets == DENIED
    rules = Ruip(Policy([Audience(forward=True, forward_hosts=LOCAL)]), Directory([]), lambda: 0.0)
    answer = run(rules.answer(b"a@localhost\r\n", rules.policy.client("192.0.2.1")))
    assert answer.octets == DENIED


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.1", "0x7f.1", "2130706433", "0", "::1", "0.0.0.0"]
)
def test_a_name_that_leads_back_here_is_refused_unless_it_is_named(host: str) -> None:
    async def work() -> None:
        async with stub() as other:
            answer = await ask(f"foo@{host}\r\n".encode(), other.port, "*")
            assert answer.octets == DENIED
            assert answer.result == REFUSED
            assert not other.lines

    run(work())


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "169.254.169.254"),
        *("0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1%lo", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "2001:db8::1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "2002:a00:1::", "::ffff:127.0.0.1"),
    ],
)
def test_addresses_that_are_not_elsewhere(address: str) -> None:
    assert not is_elsewhere(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_addresses_that_are_elsewhere(address: str) -> None:
    assert is_elsewhere(address)


def test_an_own_address_is_not_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if loopback were public space: then this machine's own address must still be known.
    monkeypatch.setattr("ipaddress.IPv4Address.is_global", True)
    assert not is_elsewhere("127.0.0.1")


def test_a_line_that_is_relayed_is_a_query_again() -> None:
    for line in (b"/W a b@h1@h2\r\n", b"@h\r\n", b"x@h\n"):
        query = parse(line)
        again = parse(relayed(query).encode())
        assert (again.user, again.hosts, again.whois) == (
            query.user,
            query.hosts[:-1],
            query.whois,
        )


# --- the configuration ---


def configured(tmp_path: Path, lines: str) -> settings.Settings:
    file = tmp_path / "fingerd.toml"
    file.write_text(f'[[audience]]\nname = "staff"\n{lines}\n')
    return settings.load(file, None)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("forward = true", "is missing, and forward = true needs it"),
        ("forward = true\nforward_hosts = []", "is missing"),
        ('forward = true\nforward_hosts = ["*"]', "everybody relay to everywhere"),
        ('forward = true\nforward_hosts = ["*.*"]', "everybody relay to everywhere"),
        ('forward = true\nforward_hosts = ["a b"]', "expected host names"),
        ('forward = true\nforward_hosts = ["[ab].example.org"]', "expected host names"),
        ('forward = true\nforward_hosts = "example.org"', "array"),
    ],
)
def test_an_open_relay_is_a_mistake(tmp_path: Path, lines: str, words: str) -> None:
    with pytest.raises(ConfigError, match="forward_hosts") as caught:
        configured(tmp_path, lines)
    assert words in str(caught.value)


def test_a_network_of_ones_own_may_relay_everywhere(tmp_path: Path) -> None:
    lines = 'networks = ["192.0.2.0/24"]\nforward = true\nforward_hosts = ["*"]'
    (audience,) = configured(tmp_path, lines).audiences
    assert audience.forward_hosts == ("*",)


def test_hosts_without_forward_are_a_warning(tmp_path: Path) -> None:
    (warning,) = configured(tmp_path, 'forward_hosts = ["finger.example.org"]').warnings
    assert "forward = false" in str(warning)


def test_explain_tells_what_is_relayed_or_why_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configured(tmp_path, 'forward = true\nforward_hosts = ["*.example.invalid", "x.invalid"]')
    config = ["ask", "--config", str(tmp_path / "fingerd.toml"), "--explain"]
    assert main([*config, "alice@h@a.example.invalid"]) == 69
    assert "forward: to a.example.invalid" in capfd.readouterr().err
    assert main([*config, "alice@b.invalid"]) == 2
    assert "forward_hosts without b.invalid" in capfd.readouterr().err
    assert main([*config, "a@b@b@b@b@x.invalid"]) == 2
    assert "more than 4 hosts" in capfd.readouterr().err


def test_names_are_compared_as_names() -> None:
    policy = Policy([])
    audience = Audience(forward=True, forward_hosts=("*.example.org", "2001:db8::1"))
    for host in ("a.example.org", "A.b.EXAMPLE.org.", "2001:DB8:0::1"):
        assert not policy.forwarding_denied(parse(f"x@{host}".encode()), audience)
    for host in ("aexample.org", ".example.org", "example.org", "2001:db8::2"):
        assert policy.forwarding_denied(parse(f"x@{host}".encode()), audience)
