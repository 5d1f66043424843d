# SPDX-License-Identifier: MIT
"""Whatever comes instead of a request: it is bounded, and answered with the status of its RFC.

Where aiohttp's versions differ, and the RFC allows both, both are in the table.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from fingerd_sd.config.server import Limits
from fingerd_sd.protocol.entry import Text

from ...helpers import needs
from ...helpers.clock import put_forward
from ...helpers.houses import VILLAGE, Told, static

needs.modules("aiohttp", "jinja2")
from fingerd_sd.serving.web.http import connections  # noqa: E402  # where these are there
from fingerd_sd.serving.web.http.connection import LINGER, State  # noqa: E402
from fingerd_sd.serving.web.http.heads import MAX_HEAD  # noqa: E402
from fingerd_sd.serving.web.http.pieces import PIECE  # noqa: E402

from ...helpers.visits import PATIENCE, Visited, visiting  # noqa: E402

HAPPY = b"Happy and well\n"
LAST = b"Host: example.org\r\nConnection: close\r\n\r\n"
SECOND = b"GET /~alice.txt HTTP/1.1\r\n" + LAST


def request(head: bytes, line: bytes = b"GET /~moshez.txt HTTP/1.1") -> bytes:
    return line + b"\r\nHost: example.org\r\n" + head


MANY = b"".join(b"A%d: b\r\n" % number for number in range(10_000))
# What is sent, and the statuses that may come back, in order; "|" between alternatives.
SHAPES: dict[str, tuple[bytes, str]] = {
    "HTTP/1.0": (b"GET /~moshez.txt HTTP/1.0\r\n\r\n", "200"),
    "HTTP/1.0 with a host": (b"GET /~moshez.txt HTTP/1.0\r\nHost: x\r\n\r\n", "200"),
    "HTTP/0.9": (b"GET /~moshez.txt\r\n\r\n", "400"),
    "HTTP/2": (request(b"\r\n", b"GET /~moshez.txt HTTP/2.0"), "505"),
    "HTTP/3": (request(b"\r\n", b"GET /~moshez.txt HTTP/3.0"), "505"),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 50, "400"),
    "finger": (b"moshez\r\n", "400"),
    "no host": (b"GET /~moshez.txt HTTP/1.1\r\n\r\n", "400"),
    "two hosts": (request(b"Host: example.net\r\n\r\n"), "400"),
    "two framings": (
        request(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n") + SECOND,
        "400",
    ),
    "two framings of a POST": (
        request(
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"POST / HTTP/1.1"
        )
        + SECOND,
        "400",
    ),
    "two lengths": (request(b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), "400"),
    "a list of lengths": (request(b"Content-Length: 5, 5\r\n\r\nhello"), "400"),
    "a length with a sign": (request(b"Content-Length: +5\r\n\r\nhello"), "400"),
    "a negative length": (request(b"Content-Length: -5\r\n\r\nhello"), "400"),
    "a framing that is not known": (
        request(b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        "400",
    ),
    "a blank before the colon": (request(b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), "400"),
    "a broken chunk": (request(b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n"), "400|200"),
    "a folded header": (request(b"A: b\r\n c\r\nConnection: close\r\n\r\n"), "400"),
    "a header that begins folded": (b"GET /~moshez.txt HTTP/1.1\r\n Host: x\r\n\r\n", "400"),
    "bare line feeds": (b"GET /~moshez.txt HTTP/1.1\nHost: x\nConnection: close\n\n", "400"),
    "bare carriage returns": (b"GET /~moshez.txt HTTP/1.1\rHost: x\r\r", "400"),
    "a NUL in a header": (request(b"A: b\0c\r\n\r\n"), "400"),
    "a NUL in the target": (request(b"\r\n", b"GET /~mos\0hez.txt HTTP/1.1"), "400"),
    "a blank in the target": (request(b"\r\n", b"GET /~alice liddell HTTP/1.1"), "400"),
    "a target that is no UTF-8": (b"GET /~\xff\xfe.txt HTTP/1.1\r\n" + LAST, "400"),
    "a target in UTF-8": ("GET /~Żółw.txt HTTP/1.1\r\n".encode() + LAST, "200|400"),
    "a target that is no address": (b"GET http://[::1/~moshez.txt HTTP/1.1\r\n" + LAST, "400"),
    "a target with a fragment": (b"GET /~moshez.txt#x HTTP/1.1\r\n" + LAST, "400"),
    "the target of a tunnel": (request(b"\r\n", b"CONNECT example.org:80 HTTP/1.1"), "405"),
    "the target of a whole server": (b"OPTIONS * HTTP/1.1\r\n" + LAST, "405"),
    "a method in lower case": (request(b"\r\n", b"get /~moshez.txt HTTP/1.1"), "400"),
    "a method that is not known": (request(b"\r\n", b"FROB / HTTP/1.1"), "400|405"),
    "a header without a colon": (request(b"broken\r\n\r\n"), "400"),
    "a header that is no ASCII": (request(b"Accept: \xff\r\nConnection: close\r\n\r\n"), "200|400"),
    "an expectation": (request(b"Expect: 100-continue\r\nConnection: close\r\n\r\n"), "200"),
    "empty lines before": (b"\r\n\r\nGET /~moshez.txt HTTP/1.1\r\n" + LAST, "200"),
    "rubbish behind": (request(b"\r\n\x00\x01rubbish\r\n\r\n"), "200 400"),
    "another request behind": (request(b"\r\n") + SECOND, "200 200"),
    "an upgrade": (
        request(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n") + SECOND,
        "200",
    ),
    "a body, and another request": (request(b"Content-Length: 5\r\n\r\nhello") + SECOND, "200"),
    "a body of a POST": (request(b"Content-Length: 5\r\n\r\nhello", b"POST / HTTP/1.1"), "405"),
    "too many headers": (request(MANY[: MANY.index(b"A200:")] + b"\r\n"), "431"),
    "10,000 headers": (request(MANY + b"\r\n"), "431"),
    "10,000 headers without an end": (request(MANY), "431"),
    "a long header": (request(b"A: " + b"a" * 100_000 + b"\r\n\r\n"), "431"),
    "a header without an end": (request(b"A: " + b"a" * 100_000), "431"),
    "a long address": (request(b"\r\n", b"GET /" + b"a" * 9000 + b" HTTP/1.1"), "414"),
    "a longer address": (request(b"\r\n", b"GET /" + b"a" * 100_000 + b" HTTP/1.1"), "414"),
    "an address without an end": (b"GET /" + b"a" * 100_000, "414"),
}


def statuses(octets: bytes) -> str:
    """Return the statuses of all responses in `octets`."""
    return " ".join(status.decode() for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", octets))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_gets_the_status_of_its_rfc_and_the_connection_ends(shape: str) -> None:
    octets, expected = SHAPES[shape]

    async def scenario() -> bytes:
        async with visiting(static(VILLAGE)) as it:
            got = await it.raw(octets)
            assert sum(sent for _, _, sent in it.logged) == len(got)
            assert all(answer.query for answer, *_ in it.logged)
            return got

    got = asyncio.run(scenario())
    assert statuses(got) in expected.split("|"), got
    assert b"Traceback" not in got
    assert b"aiohttp" not in got
    if statuses(got) == "200":
        assert got.endswith(HAPPY) or "Żółw".encode() in octets


def visits(scenario: Any, **settings: Any) -> None:
    """Run `scenario(visited)` on a village."""

    async def run() -> None:
        async with visiting(static(VILLAGE), **settings) as it:
            await scenario(it)

    asyncio.run(run())


def test_a_head_that_comes_in_pieces_is_bounded_like_one_that_comes_at_once() -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            await visitor.send(b"GET /~moshez.txt HTTP/1.1\r\nHost: x\r\n")
            sent = 0
            while sent <= 2 * MAX_HEAD and not visitor.reader.at_eof():
                await visitor.send(b"A: " + b"a" * 1000 + b"\r\n")
                sent += 1005
                await asyncio.sleep(0)
            assert (await visitor.response()).status == 431
            assert await visitor.rest() == b""

    visits(scenario)


def test_many_requests_on_one_connection_are_no_large_head() -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            for _ in range(8):
                said = await visitor.ask("/~moshez.txt", f"A: {'a' * (MAX_HEAD // 4)}")
                assert (said.status, said.body) == (200, HAPPY)

    visits(scenario)


def test_a_line_break_that_falls_between_two_pieces_does_no_harm() -> None:
    async def scenario(it: Visited) -> None:
        octets = request(b"\r\n")
        for cut in range(1, len(octets)):
            async with await it.connect() as visitor:
                for part in (octets[:cut], octets[cut:]):
                    await visitor.send(part)
                    await asyncio.sleep(0)
                assert (await visitor.response()).body == HAPPY

    visits(scenario)


@pytest.mark.parametrize(
    "octets", [b"GET /~mos", b"GET /~moshez.txt HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\nHost: x\r\n"]
)
def test_half_a_request_is_told_that_it_took_too_long(octets: bytes) -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            await visitor.send(octets)
            while not it.web.open:
                await asyncio.sleep(0)
            for _ in range(20):  # until the octets have been read
                await asyncio.sleep(0.001)
            put_forward(it.web._setup.limits.query_timeout + 1)
            said = await visitor.response()
            assert (said.status, said.headers["Connection"]) == (408, "close")
            assert await visitor.rest() == b""
        assert [answer.result for answer, *_ in it.logged] == ["timeout"]

    visits(scenario)


def test_who_says_nothing_is_hung_up_on() -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            while not it.web.open:
                await asyncio.sleep(0)
            put_forward(it.web._setup.limits.query_timeout + 1)
            assert await visitor.rest() == b""
        assert it.logged == []

    visits(scenario)


def test_who_sends_octets_one_by_one_gets_no_more_time_for_that() -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            for octet in b"GET /":
                await visitor.send(bytes([octet]))
                await asyncio.sleep(0.001)
                put_forward(it.web._setup.limits.query_timeout / 4)
            assert (await visitor.response()).status == 408

    visits(scenario)


def test_a_body_that_never_comes_is_not_waited_for() -> None:
    async def scenario(it: Visited) -> None:
        for method, status in (("POST", 405), ("GET", 200)):
            async with await it.connect() as visitor:
                line = f"{method} /~moshez.txt HTTP/1.1".encode()
                await visitor.send(request(b"Content-Length: 5000\r\n\r\nhello", line))
                said = await visitor.response()
                assert (said.status, said.headers["Connection"]) == (status, "close")
                put_forward(LINGER + 1)
                assert await visitor.rest() == b""

    visits(scenario)


def test_a_body_that_never_ends_is_not_kept() -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            await visitor.send(request(b"Content-Length: 99999999\r\n\r\n", b"POST / HTTP/1.1"))
            assert (await visitor.response()).status == 405
            try:
                for _ in range(1000):
                    await visitor.send(b"x" * 65536)
            except OSError:
                return
            raise AssertionError("64 MB were taken")

    visits(scenario)


def test_requests_that_come_at_once_are_answered_one_by_one_in_their_order() -> None:
    async def scenario(it: Visited) -> None:
        targets = [f"/~{'moshez' if number % 3 else 'nobody'}.txt" for number in range(300)]
        lines = [request(b"\r\n", f"GET {target} HTTP/1.1".encode()) for target in targets]
        async with await it.connect() as visitor:
            await visitor.send(b"".join(lines))
            for target in targets:
                assert (await visitor.response()).status == (200 if "moshez" in target else 404)

    visits(scenario)


def test_far_too_many_requests_at_once_are_not_kept() -> None:
    """What is not answered yet would fill the memory at the speed of the network."""
    waits = asyncio.Event()
    source = Told(Text("hello"), waits=waits)

    async def scenario() -> None:
        async with visiting(source) as it, await it.connect() as visitor:
            await visitor.send(request(b"\r\n") * (2 * MAX_HEAD // len(request(b"\r\n"))))
            while not source.asked:
                await asyncio.sleep(0)
            waits.set()
            assert statuses(await visitor.rest()) == "200"
            assert source.asked == ["moshez"]

    asyncio.run(scenario())


def test_an_answer_that_the_client_does_not_take_is_given_up() -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            transport: Any = visitor.writer.transport
            transport.pause_reading()
            while not it.web.open:
                await asyncio.sleep(0)
            for _ in range(400):
                visitor.writer.write(request(b"\r\n", b"GET /~longtext.txt HTTP/1.1"))
            while not [1 for answer, *_ in it.logged if answer.result == "found"]:
                await asyncio.sleep(0.001)
            for _ in range(20):
                await asyncio.sleep(0.001)
            put_forward(it.web._setup.limits.answer_timeout + 5)
            async with asyncio.timeout(PATIENCE):
                while it.web.open:
                    await asyncio.sleep(0.001)

    visits(scenario, limits=Limits(answer_timeout=1000))


@pytest.mark.parametrize("target", ["/~longtext", "/~longtext.txt"])
def test_a_large_body_comes_whole(target: str) -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            for _ in range(2):
                whole = await visitor.ask(target)
                assert (whole.status, len(whole.body) > 8 * PIECE) == (200, True)
                head = await visitor.ask(target, method="HEAD")
                assert head.headers["Content-Length"] == str(len(whole.body))
                tag = f"If-None-Match: {whole.headers['ETag']}"
                assert (await visitor.ask(target, tag)).status == 304
            assert it.logged[0][2] == len(whole.octets)

    visits(scenario)


def test_of_a_large_body_that_nobody_takes_little_is_kept() -> None:
    async def scenario() -> None:
        async with visiting(static(VILLAGE), unix=True) as it, await it.connect() as visitor:
            visitor.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it can
            visitor.writer.write(request(b"\r\n", b"GET /~longtext HTTP/1.1") * 40)
            (connection,) = await taken(it)
            for _ in range(200):
                await asyncio.sleep(0)
                if connection.transport is not None:
                    assert connection.transport.get_write_buffer_size() <= 2 * PIECE
            assert connection.state is State.ANSWER

    asyncio.run(scenario())


async def taken(it: Visited) -> list[Any]:
    """Return the connections that are open, when there are some."""
    while not it.web.open:
        await asyncio.sleep(0)
    return list(it.web._connections._all)


# --- connections that are kept ---


def test_a_connection_is_kept_for_the_next_request_and_not_counted_meanwhile() -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            for _ in range(3):
                assert (await visitor.ask("/~moshez.txt")).body == HAPPY
                while it.web.open:
                    await asyncio.sleep(0)
                assert "1 kept alive" in it.web.counts
        while "kept alive" in it.web.counts:
            await asyncio.sleep(0)

    visits(scenario)


@pytest.mark.parametrize("count", [1, 3])
def test_who_ends_its_output_still_gets_the_answers(count: int) -> None:
    """As `nc -N` does."""

    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            visitor.writer.write(request(b"\r\n") * count)
            visitor.writer.write_eof()
            assert statuses(await visitor.rest()) == " ".join(["200"] * count)

    visits(scenario)


@pytest.mark.parametrize("octets", [b"", b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_who_ends_its_output_too_early_is_hung_up_on(octets: bytes) -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            visitor.writer.write(octets)
            visitor.writer.write_eof()
            assert await visitor.rest() == b""

    visits(scenario)


def test_a_connection_of_http_1_0_is_kept_where_that_is_asked_for() -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            for _ in range(2):
                await visitor.send(b"GET /~moshez.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                assert (await visitor.response()).body == HAPPY

    visits(scenario)


def test_a_connection_that_waits_is_closed_in_time() -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            await visitor.ask("/~moshez.txt")
            while it.web.open:
                await asyncio.sleep(0)
            put_forward(connections.KEPT_ALIVE + 1)
            assert await visitor.rest() == b""

    visits(scenario)


def test_a_drain_closes_what_waits_and_finishes_what_is_under_way() -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as idle, await it.connect() as busy:
            assert (await idle.ask("/~moshez.txt")).status == 200
            assert (await busy.ask("/~moshez.txt")).status == 200
            await busy.send(request(b""))  # its head has no end yet
            while not it.web.open:
                await asyncio.sleep(0)
            it.web.stop_accepting()
            draining = asyncio.create_task(it.web.drain())
            assert await idle.rest() == b""
            assert not draining.done()
            await busy.send(b"\r\n")
            said = await busy.response()
            assert (said.body, said.headers["Connection"]) == (HAPPY, "close")
            assert await busy.rest() == b""
            async with asyncio.timeout(PATIENCE):
                await draining

    visits(scenario)


def test_a_request_that_has_come_before_a_drain_is_answered() -> None:
    """Its octets lie in the socket, though nobody has read them."""

    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            await visitor.ask("/~moshez.txt")
            while it.web.open:
                await asyncio.sleep(0)
            visitor.writer.write(request(b"\r\n"))  # at once, without a turn of the loop
            draining = asyncio.create_task(it.web.drain())
            assert (await visitor.response()).body == HAPPY
            await draining

    visits(scenario)


def test_a_drain_does_not_wait_long_for_half_a_request() -> None:
    async def scenario(it: Visited) -> None:
        async with await it.connect() as visitor:
            await visitor.send(b"GET /")
            while not it.web.open:
                await asyncio.sleep(0)
            draining = asyncio.create_task(it.web.drain())
            await asyncio.sleep(0.01)
            put_forward(connections.DRAIN_READING + 1)
            assert (await visitor.response()).status == 408
            await visitor.rest()
        async with asyncio.timeout(PATIENCE):
            await draining

    visits(scenario, limits=Limits(query_timeout=1000))
