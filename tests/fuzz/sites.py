# SPDX-License-Identifier: MIT
"""What others send (pages, HTTP, another host's finger, logind), and how any entry goes out."""

from __future__ import annotations

import asyncio
import encodings
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from encodings.aliases import aliases
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from fingerd_sd.directory.relay import ForwardError
from fingerd_sd.directory.source import SourceError
from fingerd_sd.protocol.entry import ATOMS, Login, Mail, Person, Session, Status, Text
from fingerd_sd.protocol.layout.long import long_form
from fingerd_sd.protocol.layout.short import short_form
from fingerd_sd.protocol.query import Query
from fingerd_sd.protocol.reply import encode
from fingerd_sd.serving.finger.forward import MAX_OCTETS, Forwarder
from fingerd_sd.sources.accounts.sessions import logind
from fingerd_sd.sources.accounts.sessions.listing import complete
from fingerd_sd.sources.accounts.sessions.moment import moment
from fingerd_sd.sources.web.failures import PageError
from fingerd_sd.sources.web.text import to_text

from .target import SEPARATOR, Target, any_text, assert_sendable, folder, parts, quiet

NOW = 1_800_000_000  # seconds since the epoch
PATIENCE = 60.0  # seconds: what takes longer hangs
MAX_BODY = 2048  # octets: so that an engine meets its end
GROWTH = 6  # characters of text for each octet of HTML, at most: `<hr>` is a line and a blank one


def reply(octets: bytes) -> None:
    """Any entry goes out printable and bounded; of what is not shown, nothing does."""
    numbers, *texts = parts(octets, 2 + len(TEXTS))
    shown = {atom for n, atom in enumerate(ATOMS) if int.from_bytes(numbers[:2], "big") >> n & 1}
    found: dict[str, Any] = {key: any_text(text) for key, text in zip(TEXTS, texts, strict=False)}
    times = [int.from_bytes(numbers[n : n + 5], "big", signed=True) for n in range(2, 22, 5)]
    moments = [moment(seconds) for seconds in times]
    sessions = tuple(
        Session(at, found["name"], found["office"], abs(float(seconds)), bool(seconds & 1))
        for at, seconds in zip(moments, times, strict=True)
        if at is not None
    )
    last = Login(moments[0], found["plan"], found["key"]) if moments[0] else None
    person = Person(
        any_text(texts[-1]),
        sessions=sessions,
        last_login=last,
        mail=Mail(moments[1], moments[2]),
        status=Status(found["name"], moments[3]),
        **found,
    )
    sent = _sent(person, shown)
    assert len(sent) < 4 * sum(map(len, texts)) + 8000 * (1 + len(sessions))
    lined: dict[str, Any] = {
        key: " ".join(text.split()) for key, text in found.items() if key in ONE_LINE
    }
    assert _sent(person._replace(**lined), shown) == sent, "a line of somebody's own"
    hidden: dict[str, Any] = {atom: None for atom in ATOMS if atom not in shown}
    if "sessions" not in shown:
        hidden["last_login"] = None
    assert _sent(person._replace(**hidden), shown) == sent
    assert_sendable(encode(long_form([person, Text(found["plan"])], shown, NOW)))


def _sent(person: Person, shown: set[str]) -> bytes:
    octets = encode(long_form([person], shown, NOW))
    assert_sendable(octets)
    rows = encode(short_form([(person.login, person)], shown, NOW))
    assert_sendable(rows)
    return octets + rows


TEXTS = (
    "name", "directory", "shell", "office", "phone", "home_phone", "forward", "key", "project",
    "plan",
)  # fmt: skip


ONE_LINE = {*TEXTS} - {"forward", "key", "project", "plan"}


def html(octets: bytes) -> None:
    """A page of HTML, in any charset or none, becomes text that is bounded by its size."""
    charset, body = parts(octets, 2)
    kind = "text/html" + (f"; charset={charset.decode('latin-1')}" if charset else "")
    _page(body, kind)


def page(octets: bytes) -> None:
    """A page of any Content-Type becomes text, or is told to be none."""
    kind, body = parts(octets, 2)
    with suppress(PageError):
        _page(body, kind.decode("utf-8", "surrogateescape"))


def _page(body: bytes, kind: str) -> None:
    before = _charsets()
    text = to_text(body, kind)
    assert len(text) <= GROWTH * len(body) + 100
    assert_sendable(encode(text))
    # A site that names ever new charsets fills no memory: Python remembers each that it looks up.
    for name in _charsets() - before:
        assert name in aliases or (name.isidentifier() and find_spec(f"encodings.{name}"))


def _charsets() -> set[str]:
    return set(getattr(encodings, "_cache", ()))


def http(octets: bytes) -> None:
    """Whatever a web server answers is a page or the failure of one, within the bound. The parts
    of a case are what it says to one connection after the other.
    """
    quiet(_fetch(octets.split(SEPARATOR)))


async def _fetch(answers: list[bytes]) -> None:
    from fingerd_sd.sources.web.client import WELL, Client

    async with _saying(answers) as port, asyncio.timeout(PATIENCE):
        client = Client({}, 2, MAX_BODY, PATIENCE, CONTEXT)
        try:
            for conditions in ({}, {"If-None-Match": '"x"'}):
                with suppress(SourceError):
                    got = await client.get(f"http://127.0.0.1:{port}/~alice", conditions)
                    assert got.status in WELL
                    assert len(got.body) <= MAX_BODY
                    assert (got.etag + got.modified).isascii()
                    with suppress(PageError):
                        assert_sendable(encode(to_text(got.body, got.content_type)))
        finally:
            await client.close()


CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def forward(octets: bytes) -> None:
    """Whatever another host answers, in whichever pieces, is what goes out, but for what may not be
    shown.
    """
    pieces = octets.split(SEPARATOR)
    quiet(_relay(pieces))


async def _relay(pieces: list[bytes]) -> None:
    async with _saying([b"".join(pieces)], until=b"\r\n") as port, asyncio.timeout(PATIENCE):
        relay = Forwarder(PATIENCE, port)
        try:
            text = await relay.forward(Query("alice", ("127.0.0.1",)), ("127.0.0.1",))
        except ForwardError:
            assert not b"".join(pieces)
            return
    assert len(text) <= MAX_OCTETS + 100
    assert_sendable(encode(text))


@asynccontextmanager
async def _saying(answers: list[bytes], until: bytes = b"\r\n\r\n") -> AsyncIterator[int]:
    """Serve on loopback; yield the port. Each connection gets the next answer, then the last."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(until)
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def sessions(octets: bytes) -> None:
    """Whatever logind says of a session, as JSON here, is a session, none, or a failure that is
    told of; what is shown of it is printable.
    """
    try:
        values = json.loads(octets)
    except (ValueError, RecursionError):
        return
    if isinstance(values, dict):
        quiet(_session(values))


async def _session(values: dict[str, Any]) -> None:
    body = [{name: SimpleNamespace(value=value) for name, value in values.items()}]

    async def call(*_: object) -> list[Any]:
        return body

    with patch.object(logind, "_call", call):
        try:
            one = await logind._session(None, 1000, "alice", "/", asyncio.Semaphore())  # type: ignore[arg-type]
        except (ValueError, TypeError, OverflowError):  # told of as "it is not what logind says"
            return
    with folder() as here:
        found = complete([one] if one is not None else [], NOW, here)
    shown = _sent(Person("alice", sessions=tuple(found)), set(ATOMS))
    assert shown.count(b"\n") < 9, "a line of somebody's own"


TAGS = tuple(
    f"<{tag}>".encode()
    for name in (
        *("p", "h1", "ul", "ol", "li", "dl", "dt", "dd", "blockquote", "pre", "table", "tr", "td"),
        *("th", "hr", "br", "div", "a", "script", "style", "form", "textarea", "select", "option"),
        *("noscript", "template", "svg", "math", "title", "body", "head", "html", "frameset"),
    )
    for tag in (name, f"/{name}")
)
MARKUP = (
    *TAGS, b'<a href="http://x/">', b'<img alt="x">', b" hidden", b"<!--", b"-->", b"<![CDATA[",
    b"]]>", b"<!DOCTYPE html>", b"&amp;", b"&#0;", b"&#x1b;", b"&#xd800;", b"&nbsp;", b"\0",
    b'<meta charset="utf-16">', b"utf-7", b"utf-16", b"utf-32", b"iso-2022-jp", b"shift_jis",
    b'<?xml version="1.0" encoding="utf-16"?>', SEPARATOR,
)  # fmt: skip
HTTP = (
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 304 X\r\n", b"HTTP/1.1 301 X\r\nLocation: ", b"HTTP/1.0 404",
    b"HTTP/1.1 100 Continue\r\n\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n",
    b"Content-Type: text/html; charset=", b"Content-Encoding: gzip\r\n", b"Set-Cookie: a=b\r\n",
    b"ETag: ", b"Connection: keep-alive\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"ffffffff\r\n",
    b"/x", b"//", b"http://127.0.0.1/", b"http://[", b"https://127.0.0.1:443/", SEPARATOR,
    b"Upgrade: websocket\r\n", b"Trailer: x\r\n", b"\n ", b":", b"-1",
)  # fmt: skip
LOGIND = tuple(
    json.dumps(word).encode()
    for word in (
        "Class", "user", "State", "closing", "Timestamp", "TTY", "Display", "RemoteHost", "Type",
        "x11", "IdleHint", "IdleSinceHint", "pts/0", ":0", "../x", "\x1b", 1 << 63, True, None,
    )
)  # fmt: skip
TARGETS = (
    Target("reply", reply, (SEPARATOR, b"\xe2\x80\xae", b"\x1b[", b"\r", b"5551234"), 4000),
    Target("html", html, MARKUP, 2000, 65536),
    Target("page", page, (*MARKUP, b"text/plain; charset=", b"application/json"), 10000, 1024),
    Target("http", http, HTTP, 700, 4096),
    Target("forward", forward, (SEPARATOR, b"\r\n", b"\xef\xbb\xbf", b"\x1b"), 1500, 1024),
    Target("sessions", sessions, (*LOGIND, b"{", b"}", b":", b","), 5000, 512),
)
