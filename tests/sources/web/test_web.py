# SPDX-License-Identifier: MIT
"""The web source against a real server on loopback: pages, lies, and a site that goes away."""

from __future__ import annotations

import asyncio
import encodings
import gc
import logging
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.commands import settings
from fingerd_sd.commands.cli import main
from fingerd_sd.config.mistakes import ConfigError
from fingerd_sd.directory.cache import Cache
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.directory.source import Mounted, SourceError
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.rules import Policy
from fingerd_sd.protocol.entry import Absent, Text
from fingerd_sd.sources.web.failures import LONGEST, PageError
from fingerd_sd.sources.web.options import Credential, Options
from fingerd_sd.sources.web.source import WebSource
from fingerd_sd.sources.web.text import MAX_HTML, to_text

from ...helpers.houses import bare
from ...helpers.wire import run

aiohttp = pytest.importorskip("aiohttp", reason="it is missing: apt install python3-aiohttp")
web = pytest.importorskip("aiohttp.web")

from fingerd_sd.sources.web.client import redirected  # noqa: E402  # it imports aiohttp

# How long a server that stops waits for its clients; aiohttp 3.9 moved the setting.
AT_ONCE = {"shutdown_timeout": 0.1}
OLD = aiohttp.__version__.startswith("3.8.")
OF_SITE: Any = AT_ONCE if OLD else {}
OF_RUNNER: Any = {} if OLD else AT_ONCE

PATIENCE = 30.0  # seconds; reached only by a failure
SECRET = "open-sesame"


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Site:
    """A web server on loopback. `pages`: what is said to whom; `seen`: the requests so far."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.pages: dict[str, Callable[[Any], Awaitable[Any]]] = {}
        self.seen: list[Any] = []
        self._context = context
        self._runner: Any = None
        self.port = 0

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, **OF_RUNNER)
        await self._runner.setup()
        await web.TCPSite(
            self._runner, "127.0.0.1", port, ssl_context=self._context, **OF_SITE
        ).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: Any) -> Any:
        self.seen.append(request)
        page = self.pages.get(request.raw_path)
        if page is None:
            return web.Response(status=404, text="nobody of that name")
        return await page(request)

    def text(self, path: str, text: str, **rest: Any) -> None:
        async def page(_: Any) -> Any:
            return web.Response(text=text, **rest)

        self.pages[path] = page

    def status(self, path: str, status: int, **headers: str) -> None:
        async def page(_: Any) -> Any:
            return web.Response(status=status, text="as told", headers=headers)

        self.pages[path] = page

    def octets(self, path: str, body: bytes, content_type: str) -> None:
        async def page(_: Any) -> Any:
            headers = {"Content-Type": content_type} if content_type else {}
            return web.Response(body=body, headers=headers)

        self.pages[path] = page


@asynccontextmanager
async def serving(
    clock: Callable[[], float] | None = None, **options: Any
) -> AsyncIterator[tuple[Site, WebSource]]:
    """A site, and a source that asks it for /~{user}."""
    site = Site()
    await site.start()
    url = options.pop("url", "http://127.0.0.1:{port}/~{{user}}").format(port=site.port)
    options = {"timeout": PATIENCE, **options}
    source = WebSource("web", Options(url, **options), clock=clock or time.monotonic)
    try:
        yield site, source
    finally:
        await source.close()
        await site.stop()


@asynccontextmanager
async def raw(answer: bytes, then_hang: bool = False) -> AsyncIterator[str]:
    """A server that says `answer` whatever it is asked, and closes or hangs; yield its address."""
    hung = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            if then_hang:
                await hung.wait()
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/~{{user}}"
    finally:
        hung.set()
        server.close()
        await server.wait_closed()


async def said(source: WebSource, user: str = "alice") -> str:
    found = await source.find(user)
    assert isinstance(found, Text), found
    return found.text


async def failure(source: WebSource, user: str = "alice") -> str:
    with pytest.raises(SourceError) as caught:
        await source.find(user)
    return str(caught.value)


# --- pages ---


def test_a_page_is_the_answer() -> None:
    async def work() -> None:
        async with serving() as (site, source):
            site.text("/~alice", "Plan: rest\n")
            found = await source.find("alice")
            assert bare(found) == Text("Plan: rest\n")
            assert isinstance(found, Text)
            assert f"http://127.0.0.1:{site.port}/~alice" in found.origin
            assert site.seen[0].headers["User-Agent"].startswith("fingerd-sd/")

    run(work())


@pytest.mark.parametrize("status", [404, 410])
def test_not_found_and_gone_mean_absent(status: int) -> None:
    async def work() -> None:
        async with serving() as (site, source):
            site.status("/~alice", status)
            assert isinstance(await source.find("alice"), Absent)

    run(work())


@pytest.mark.parametrize("status", [204, 206, 400, 401, 403, 405, 418, 429, 500, 502, 503, 504])
def test_another_status_is_a_failure(status: int) -> None:
    async def work() -> None:
        async with serving() as (site, source):
            site.status("/~alice", status)
            assert f"HTTP status {status}" in await failure(source)

    run(work())


@pytest.mark.parametrize(
    ("user", "path"),
    [
        ("a b", "/~a%20b"),
        ("a?b#c", "/~a%3Fb%23c"),
        ("%2e%2e%2fetc", "/~%252e%252e%252fetc"),
        ("..", "/~.."),
        ("é;x=1&y", "/~%C3%A9%3Bx%3D1%26y"),
        (":@!$'()*+,", "/~%3A%40%21%24%27%28%29%2A%2B%2C"),
        ("$(id)|`id`", "/~%24%28id%29%7C%60id%60"),
        ("-s", "/~-s"),
    ],
)
def test_the_name_is_one_encoded_segment(user: str, path: str) -> None:
    async def work() -> None:
        async with serving() as (site, source):
            site.text(path, "found")
            assert await said(source, user) == "found"
            assert site.seen[0].raw_path == path

    run(work())


@pytest.mark.parametrize("user", ["../x", "a/b", "/etc/passwd", "a\\b", "/", ""])
def test_a_name_with_a_slash_is_asked_of_nobody(user: str) -> None:
    async def work() -> None:
        async with serving() as (site, source):
            assert isinstance(await source.find(user), Absent)
            assert not site.seen

    run(work())


@pytest.mark.parametrize("user", [".", ".."])
def test_a_segment_of_dots_is_asked_of_nobody(user: str) -> None:
    options = Options("https://example.org/finger/{user}")
    assert options.address(user) is None
    assert options.address("...") == "https://example.org/finger/..."
    assert Options("https://example.org/{user}.").address(".") is None
    assert Options("https://example.org/f?u={user}").address("a&b=c") == (
        "https://example.org/f?u=a%26b%3Dc"
    )


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("café".encode(), "text/plain; charset=utf-8", "café"),
        ("café".encode("latin-1"), "text/plain; charset=ISO-8859-1", "café"),
        ("Привет".encode("koi8-r"), 'text/plain; charset="koi8-r"', "Привет"),
        ("日本".encode("shift_jis"), "text/plain;charset=Shift_JIS", "日本"),
        ("café".encode("utf-16"), "text/plain; charset=utf-16", "café"),
        ("café".encode(), "text/plain", "café"),
        ("café".encode("latin-1"), "text/plain", "café"),
        ("café".encode("latin-1"), "text/plain; charset=nonsense", "café"),
        (b"caf\xe9", "text/plain; charset=us-ascii", "caf\ufffd"),
        (b"+AGE-", "text/plain; charset=utf-7", "+AGE-"),
        (b"nopr", "text/plain; charset=rot13", "nopr"),
        (b"78da", "text/plain; charset=hex", "78da"),
        (b"xn--caf", "text/plain; charset=punycode", "xn--caf"),
        (b"plain", "", "plain"),
        ("é".encode(), "text/html; charset=utf-8", "é\n"),
        (b'<meta charset="koi8-r">\xf0', "text/html", "П\n"),
        (b"\xe9", "text/html", "é\n"),
    ],
)
def test_the_charset_is_honoured(body: bytes, content_type: str, text: str) -> None:
    assert to_text(body, content_type) == text


def test_html_is_bounded_since_a_tag_costs_the_square_of_its_attributes() -> None:
    start = "<p>"
    assert to_text((start + "x" * (MAX_HTML - len(start))).encode(), "text/html")
    for long in ("x" * MAX_HTML, "é" * (MAX_HTML // 2)):  # as UTF-8, whatever it came in
        with pytest.raises(PageError, match="longer than 131072 octets of HTML"):
            to_text((start + long).encode("latin-1"), "text/html; charset=latin-1")
    assert to_text(b"x" * (MAX_HTML + 1), "text/plain")


def test_charsets_that_a_site_thinks_of_are_not_remembered() -> None:
    remembered = encodings._cache
    before = {*remembered}
    for number in range(100):
        for spelled in (f"x-{number}", f"cp{number}00000", f"utf{'!' * number}-8{'?' * number}"):
            assert to_text("é".encode(), f"text/plain; charset={spelled}") == "é"
    assert {*remembered} - before <= {"utf_8"}


def test_what_is_no_text_is_a_failure() -> None:
    with pytest.raises(PageError, match="image/png"):
        to_text(b"\x89PNG", "image/png")


HTML = """<!doctype html><html><head><title>T</title><style>p { color: red }</style></head><body>
<h1>Alice &amp; friends</h1><script>alert(1)</script><!-- hidden -->
<p>Some   <b>bold</b> text,<br>a second line, <a href="https://example.org/">a link</a>.</p>
<ul><li>one<li>two<ul><li>deeper</ul></ul><pre>  kept
    as is</pre><p hidden>not seen</p><?php echo 1 ?>
<table><tr><th>a<th>b<tr><td>1<td>2</table><blockquote>said</blockquote></body></html>"""

READABLE = """Alice & friends

Some bold text,
a second line, a link <https://example.org/>.

* one
* two
  * deeper

  kept
    as is

a | b
1 | 2

  said
"""


def test_html_becomes_readable_text() -> None:
    assert to_text(HTML.encode(), "text/html; charset=utf-8") == READABLE


def test_a_long_paragraph_is_wrapped_for_a_terminal() -> None:
    lines = to_text(b"<p>" + b"word " * 100, "text/html").splitlines()
    assert max(map(len, lines)) <= 78
    assert len(lines) == 7


@pytest.mark.parametrize(
    "piece",
    ["<div>", "<p>x", "<ul><li>", "<table>", "<a href='", "<", "&", "<!", "</p>", "<pre>\n", "\0"],
)
def test_hostile_html_is_only_text(piece: str) -> None:
    text = to_text((piece * 20000)[:65536].encode(), "text/html")
    assert "\0" not in text


def test_escape_sequences_from_the_web_are_never_raw() -> None:
    async def work() -> None:
        async with serving() as (site, source):
            site.text("/~alice", "a\x1b[31mb\x9bc\u202ed\x00")
            rules = Ruip(Policy([]), Directory([Mounted(source)]), asyncio.get_running_loop().time)
            answer = await rules.answer(b"alice\r\n", rules.policy.client("192.0.2.1"))
            assert answer.octets == "a^[[31mb\ufffdc\ufffdd^@\r\n".encode()

    run(work())


def test_without_lxml_html_is_a_failure_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lxml", None)
    with pytest.raises(PageError, match="python3-lxml"):
        to_text(b"<p>x", "text/html")


# --- redirects ---


def test_a_redirect_within_the_site_is_followed() -> None:
    async def work() -> None:
        async with serving() as (site, source):
            site.status("/~alice", 301, Location="/users/alice plan")
            site.status("/users/alice%20plan", 302, Location="?done#top")
            site.text("/users/alice%20plan?done", "here")
            assert await said(source) == "here"

    run(work())


def test_a_redirect_to_another_site_is_a_failure_and_nothing_is_sent_there() -> None:
    async def work() -> None:
        async with serving() as (other, _), serving() as (site, source):
            site.status("/~alice", 302, Location=f"http://127.0.0.1:{other.port}/~alice")
            assert "another site" in await failure(source)
            assert not other.seen

    run(work())


def test_redirects_that_go_round_are_a_failure() -> None:
    async def work() -> None:
        async with serving() as (site, source):
            site.status("/~alice", 302, Location="/~alice")
            assert "more than 5 redirects" in await failure(source)
            assert len(site.seen) == 6

    run(work())


@pytest.mark.parametrize(
    ("url", "location", "leads"),
    [
        ("http://h/a", "b", "http://h/b"),
        ("http://h/a", "//h:80/b", "http://h:80/b"),
        ("http://h/a", "https://h/b", "https://h/b"),
        ("https://H/a", "https://h:443/b", "https://h:443/b"),
        ("http://h/a", "é x", "http://h/%C3%A9%20x"),
        ("https://h/a", "http://h/b", None),
        ("http://h/a", "https://h:8443/b", None),
        ("http://h:8080/a", "https://h/b", None),
        ("http://h/a", "http://h.evil/b", None),
        ("http://h/a", "http://h@evil/b", None),
        ("http://h/a", "http://me:pw@h/b", None),
        ("http://h/a", "file:///etc/passwd", None),
        ("http://h/a", "http://h:x/", None),
        ("http://h/a", "", None),
    ],
)
def test_where_redirects_may_lead(url: str, location: str, leads: str | None) -> None:
    if leads is None:
        with pytest.raises(PageError):
            redirected(url, location)
    else:
        assert redirected(url, location) == leads


# --- broken and hostile servers ---

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
BROKEN = {
    "nothing": b"",
    "no HTTP": b"220 mail.example.org ESMTP\r\n",
    "half a header": b"HTTP/1.1 200 O",
    "ends early": HEAD + b"Content-Length: 100\r\n\r\nshort",
    "bad chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nxx\r\n",
    "a long header": HEAD + b"X: " + b"x" * 100000 + b"\r\n\r\n",
    "a bomb": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
    "304 unasked": b"HTTP/1.1 304 Not Modified\r\n\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_a_failure(answer: bytes) -> None:
    async def work() -> None:
        async with raw(answer) as url:
            source = WebSource("web", Options(url, timeout=PATIENCE))
            await failure(source)
            await source.close()

    run(work())


@pytest.mark.parametrize("chunked", [True, False])
def test_an_endless_body_is_a_failure_at_max_body(chunked: bool) -> None:
    async def work() -> None:
        async with serving(max_body=10000) as (site, source):

            async def endless(request: Any) -> Any:
                response = web.StreamResponse(headers={"Content-Type": "text/plain"})
                if chunked:
                    response.enable_chunked_encoding()
                else:
                    response.content_length = 1 << 40
                await response.prepare(request)
                while True:
                    await response.write(b"x" * 4096)

            site.pages["/~alice"] = endless
            assert "longer than max_body" in await failure(source)

    run(work())


def test_a_body_of_just_max_body_is_whole() -> None:
    async def work() -> None:
        async with serving(max_body=10) as (site, source):
            site.text("/~alice", "x" * 10)
            assert await said(source) == "x" * 10

    run(work())


@pytest.mark.parametrize("answer", [b"", HEAD, HEAD + b"Content-Length: 9\r\n\r\nhalf"])
def test_a_server_that_hangs_is_a_failure_at_the_deadline(answer: bytes) -> None:
    async def work() -> None:
        async with raw(answer, then_hang=True) as url:
            source = WebSource("web", Options(url, timeout=0.5))
            assert "no answer in 0.5 s" in await failure(source)
            await source.close()

    run(work())


def test_a_closed_port_is_a_failure() -> None:
    async def work() -> None:
        async with serving() as (site, source):
            await site.stop()
            assert "cannot connect" in await failure(source)

    run(work())


def test_a_connection_kept_from_before_that_the_server_closed_is_made_anew() -> None:
    async def work() -> None:
        async with serving(ttl=0) as (site, source):
            site.text("/~alice", "here")
            assert await said(source) == "here"
            await site.stop()
            await site.start(site.port)
            assert await said(source) == "here"

    run(work())


# --- TLS ---


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority, and certificates of it: good for 127.0.0.1, and for another name."""
    folder = tmp_path_factory.mktemp("ca")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    usage = "keyUsage=critical,keyCertSign"
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
            "-subj", "/CN=test CA", "-addext", usage)  # fmt: skip
    for name, alternative in (("good", "IP:127.0.0.1"), ("other", "DNS:other.example")):
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days",
                "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={alternative}",
                "-addext", "basicConstraints=critical,CA:FALSE",
                "-CA", "ca.pem", "-CAkey", "ca.key")  # fmt: skip
    return folder


def over_tls(folder: Path, name: str, trusted: bool) -> str:
    """Return what a source hears of a site with the certificate `name`."""

    async def work() -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        site = Site(context)
        await site.start()
        site.text("/~alice", "over TLS")
        client = ssl.create_default_context(cafile=str(folder / "ca.pem")) if trusted else None
        options = Options(f"https://127.0.0.1:{site.port}/~{{user}}", timeout=PATIENCE)
        source = WebSource("web", options, client)
        try:
            return await said(source)
        except SourceError as error:
            assert source.trouble
            return str(error)
        finally:
            await source.close()
            await site.stop()

    return run(work())


def test_https_is_served_with_a_certificate_of_a_known_authority(authority: Path) -> None:
    assert over_tls(authority, "good", trusted=True) == "over TLS"


def test_a_certificate_for_another_name_is_a_failure(authority: Path) -> None:
    assert "certificate is not valid" in over_tls(authority, "other", trusted=True)


def test_a_certificate_of_an_unknown_authority_is_a_failure(authority: Path) -> None:
    assert "certificate is not valid" in over_tls(authority, "good", trusted=False)


# --- what is kept, shared and left alone ---


def test_an_answer_is_reused_for_ttl_and_tells_how_long_it_still_may_be() -> None:
    async def work() -> None:
        clock = Clock()
        async with serving(clock, ttl=60) as (site, source):
            site.text("/~alice", "one")
            await said(source)
            site.text("/~alice", "two")
            clock.now += 59
            found = await source.find("alice")
            assert bare(found) == Text("one")
            assert isinstance(found, Text)
            assert found.lifetime == pytest.approx(1)
            clock.now += 2
            assert await said(source) == "two"
            assert len(site.seen) == 2

    run(work())


def test_an_absence_is_reused_for_ttl() -> None:
    async def work() -> None:
        clock = Clock()
        async with serving(clock, ttl=60) as (site, source):
            for _ in range(3):
                assert isinstance(await source.find("bob"), Absent)
                clock.now += 20
            assert len(site.seen) == 1
            clock.now += 1
            site.text("/~bob", "back")
            assert await said(source, "bob") == "back"

    run(work())


def test_with_a_ttl_of_0_everybody_is_asked_for_each_time() -> None:
    async def work() -> None:
        async with serving(ttl=0) as (site, source):
            site.text("/~alice", "one")
            for number in range(3):
                assert await said(source) == "one"
                assert len(site.seen) == number + 1

    run(work())


@pytest.mark.parametrize(
    ("header", "condition", "value"),
    [
        ("ETag", "If-None-Match", '"v1"'),
        ("Last-Modified", "If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 GMT"),
    ],
)
def test_an_old_answer_is_asked_about_not_asked_for(
    header: str, condition: str, value: str
) -> None:
    async def work() -> None:
        clock = Clock()
        async with serving(clock, ttl=60) as (site, source):

            async def page(request: Any) -> Any:
                if request.headers.get(condition) == value:
                    return web.Response(status=304)
                return web.Response(text="kept", headers={header: value})

            site.pages["/~alice"] = page
            for _ in range(3):
                assert await said(source) == "kept"
                clock.now += 61
            assert [condition in request.headers for request in site.seen] == [False, True, True]

    run(work())


def test_who_asks_at_the_same_time_shares_one_request_across_audiences() -> None:
    async def work() -> None:
        async with serving(ttl=0) as (site, source):
            asked, go = asyncio.Event(), asyncio.Event()

            async def slow(_: Any) -> Any:
                asked.set()
                await go.wait()
                return web.Response(text="shared")

            site.pages["/~alice"] = slow
            audiences = [Audience("near", show=frozenset()), Audience()]
            rules = Ruip(Policy([]), Directory([Mounted(source)]), asyncio.get_running_loop().time)
            clients = [Policy([audience]).client("192.0.2.1") for audience in audiences]
            tasks = [
                asyncio.create_task(rules.answer(line, client))
                for client in clients
                for line in (b"alice\r\n", b"/W alice\r\n", b"alice\n")
            ]
            await asked.wait()
            await asyncio.sleep(0)
            tasks[0].cancel()  # one of them leaves; the others are answered
            go.set()
            answers = await asyncio.gather(*tasks[1:])
            assert {answer.octets for answer in answers} == {b"shared\r\n"}
            assert len(site.seen) == 1

    run(work())


def test_no_more_than_max_running_requests_are_made_at_once() -> None:
    async def work() -> None:
        async with serving(max_running=2) as (site, source):
            now, most = 0, 0

            async def page(_: Any) -> Any:
                nonlocal now, most
                now += 1
                most = max(most, now)
                await asyncio.sleep(0.01)
                now -= 1
                return web.Response(text="x")

            for number in range(20):
                site.pages[f"/~u{number}"] = page
            await asyncio.gather(*(source.find(f"u{number}") for number in range(20)))
            assert 1 <= most <= 2

    run(work())


def test_while_the_site_is_down_old_answers_stand_in_and_say_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        clock = Clock()
        async with serving(clock, ttl=60, stale=86400) as (site, source):
            site.text("/~alice", "old news")
            await said(source)
            assert source.trouble == ""
            await site.stop()
            clock.now += 7300
            found = await source.find("alice")
            assert isinstance(found, Text)
            assert found.text == (
                "old news\n[This answer is 2 hours old: no newer one can be had now]\n"
            )
            assert found.lifetime is not None
            assert found.lifetime <= 5
            assert "cannot connect" in found.origin
            assert "127.0.0.1" in source.trouble
            assert "asked again in" in source.trouble
            clock.now += 86400
            await failure(source)
            await site.start(site.port)
            clock.now += LONGEST
            assert await said(source) == "old news"
            assert source.trouble == ""

    with caplog.at_level(logging.INFO):
        run(work())
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events.count("SITE_FAILS") == 1
    assert events.count("SITE_BACK") == 1


def test_a_site_that_fails_is_left_alone_ever_longer() -> None:
    async def work() -> None:
        clock = Clock()
        async with serving(clock, ttl=0) as (site, source):
            site.status("/~alice", 503)
            waits, last = [], clock.now
            for number in range(2000):
                before = len(site.seen)
                await failure(source, f"u{number}" if before else "alice")
                if len(site.seen) > before:
                    waits.append(clock.now - last)
                    last = clock.now
                    site.status(f"/~u{number + 1}", 503)
                else:
                    site.pages = {f"/~u{number + 1}": site.pages[next(reversed(site.pages))]}
                clock.now += 1
            assert waits == sorted(waits)
            assert waits[:5] == [0, 1, 2, 4, 8]
            assert waits[-1] == LONGEST

    run(work())


def test_only_one_asks_whether_a_failing_site_is_back() -> None:
    async def work() -> None:
        clock = Clock()
        async with serving(clock, ttl=0) as (site, source):
            site.status("/~alice", 503)
            await failure(source)
            clock.now += LONGEST
            asked, go = asyncio.Event(), asyncio.Event()

            async def slow(_: Any) -> Any:
                asked.set()
                await go.wait()
                return web.Response(text="back")

            site.pages["/~alice"] = slow
            first = asyncio.create_task(source.find("alice"))
            await asked.wait()
            assert "fails" in await failure(source, "bob")
            go.set()
            await first
            assert isinstance(await source.find("bob"), Absent)
            assert len(site.seen) == 3

    run(work())


def test_one_users_broken_page_takes_nobody_elses_away() -> None:
    async def work() -> None:
        clock = Clock()
        async with serving(clock, ttl=0) as (site, source):
            site.status("/~mallory", 500)
            site.text("/~alice", "well")
            for _ in range(20):
                await failure(source, "mallory")
            assert len(site.seen) == 1  # a broken page is left alone as well
            assert await said(source) == "well"
            assert source.trouble == ""

    run(work())


def test_a_site_where_every_page_fails_is_a_failing_site() -> None:
    async def work() -> None:
        async with serving() as (site, source):
            for user in ("a", "b", "c", "d"):
                site.status(f"/~{user}", 403)
                await failure(source, user)
            assert len(site.seen) == 3
            assert "HTTP status 403" in source.trouble

    run(work())


def test_a_failure_in_a_row_of_the_site_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with serving() as (site, source):
            await site.stop()
            directory = Directory([Mounted(source)])
            for number in range(10):
                assert (await directory.find(f"u{number}", "everyone")).failed
            assert directory.trouble == source.trouble

    run(work())
    assert [getattr(record, "event", "") for record in caplog.records] == ["SITE_FAILS"]


def test_names_that_nobody_has_push_out_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with serving(ttl=3600) as (site, source):
            source._absent = Cache(20000)
            site.text("/~alice", "kept")
            await said(source)
            for number in range(200):
                await source.find(f"nobody{number}")
            assert source._absent.octets <= 20000
            before = len(site.seen)
            assert await said(source) == "kept"
            assert len(site.seen) == before

    run(work())


def test_close_ends_what_is_under_way_and_leaves_nothing_open() -> None:
    async def work() -> None:
        async with serving() as (site, source):
            asked = asyncio.Event()

            async def hang(_: Any) -> Any:
                asked.set()
                await asyncio.Event().wait()

            site.pages["/~alice"] = hang
            waiting = asyncio.create_task(source.find("alice"))
            await asked.wait()
            await source.close()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await source.close()

    run(work())
    gc.collect()  # an unclosed session would warn now, and a warning fails a test


# --- secrets and the configuration ---


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "token").write_text(f"Bearer {SECRET}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def test_a_credential_is_sent_and_shown_nowhere(
    credentials: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "fingerd.toml"
    text = (
        '[[source]]\ntype = "web"\nurl = "http://127.0.0.1:{port}/~{{user}}"\n'
        'headers = {{ Authorization = {{ credential = "token" }}, accept = "text/x" }}\n'
    )

    async def work() -> None:
        site = Site()
        await site.start()
        site.text("/~alice", "for those who know")
        site.status("/~bob", 403)
        file.write_text(text.format(port=site.port))
        config = ["--config", str(file)]
        for arguments in (
            ["check", *config],
            ["ask", *config, "--explain", "alice"],
            ["ask", *config, "--explain", "bob"],
        ):
            await asyncio.to_thread(main, arguments)
        await site.stop()
        for request in site.seen:
            assert request.headers.getall("Authorization") == [f"Bearer {SECRET}"]
            assert request.headers.getall("Accept") == ["text/x"]
        assert len(site.seen) >= 2

    run(work())
    out, err = capfdbinary.readouterr()
    assert b"for those who know" in out
    assert SECRET.encode() not in out + err
    assert SECRET not in repr(settings.load(file, None))


@pytest.mark.parametrize("octets", [b"two\nlines", b"\xff", b"x" * 10000, None])
def test_a_credential_that_cannot_be_used_is_named_and_not_shown(
    credentials: Path, octets: bytes | None
) -> None:
    if octets is None:
        (credentials / "token").unlink()
    else:
        (credentials / "token").write_bytes(octets)
    with pytest.raises(SourceError, match='"token"') as caught:
        Credential("token").read()
    assert "two" not in str(caught.value)


def test_a_credential_that_was_not_passed_is_a_warning_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    file = tmp_path / "fingerd.toml"
    file.write_text(
        '[[source]]\ntype = "web"\nurl = "https://example.org/{user}"\n'
        'headers = { Authorization = { credential = "token" } }\n'
    )
    (warning,) = settings.load(file, None).warnings
    assert "LoadCredential=token:" in str(warning)


URL = 'url = "https://example.org/~{user}"\n'


@pytest.mark.parametrize(
    ("lines", "key", "words"),
    [
        ("", "url", "expected an address such as"),
        ('url = "ftp://example.org/{user}"', "url", "ftp"),
        ('url = "https://example.org/"', "url", "{user} in its path or query"),
        ('url = "https://{user}.example.org/{user}"', "url", "path or query"),
        ('url = "https://me:pw@example.org/{user}"', "url", "no password"),
        ('url = "https://example.org/{user}#x"', "url", "#"),
        ('url = "https://example.org/../{user}"', "url", ".."),
        ('url = "https://example.org:x/{user}"', "url", "expected an address"),
        ('url = "https://example.org/a b/{user}"', "url", "expected an address"),
        ('url = "https://example.org/{users}/{user}"', "url", "expected an address"),
        (URL + 'headers = { "a b" = "c" }', "headers", "no name of a header"),
        (URL + 'headers = { A = "b\\r\\nC: d" }', "headers", "string of one line"),
        (URL + 'headers = { A = { credential = "../x" } }', "headers", "name of a credential"),
        (URL + "headers = { A = 3 }", "headers", "string of one line"),
        (URL + "max_body = 0", "max_body", "1"),
        (URL + "stail = 5", "stail", '"stale"'),
    ],
)
def test_mistakes_are_named_by_key(tmp_path: Path, lines: str, key: str, words: str) -> None:
    file = tmp_path / "fingerd.toml"
    file.write_text(f'[[source]]\ntype = "web"\n{lines}\n')
    with pytest.raises(ConfigError) as caught:
        settings.load(file, None)
    assert [mistake.key for mistake in caught.value.mistakes] == [f"source[1].{key}"]
    assert words in str(caught.value)


def test_without_aiohttp_check_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "aiohttp" else object()
    )
    file = tmp_path / "fingerd.toml"
    file.write_text(f'[[source]]\ntype = "web"\n{URL}')
    with pytest.raises(ConfigError, match="python3-aiohttp"):
        settings.load(file, None)
