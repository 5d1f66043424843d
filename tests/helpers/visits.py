# SPDX-License-Identifier: MIT
"""The web side on a socket of this machine, and raw HTTP to it."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fingerd_sd.config.server import Limits
from fingerd_sd.config.web import LinkTemplate, Network
from fingerd_sd.directory.answer import Answer
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.source import Mounted, Source
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.rules import Client, Policy
from fingerd_sd.serving.web.client import Proxies
from fingerd_sd.serving.web.forms.values import Place
from fingerd_sd.serving.web.service import Setup, Web
from fingerd_sd.serving.web.site import Identity

PLACE = Place("example.org", "https://example.org")
PATIENCE = 30.0  # seconds until what does not come fails a test


@dataclass
class Answered:
    """A response as it came: `octets` are all of it."""

    octets: bytes
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Visited:
    """A web side that serves. `logged`: each request's answer, client and octets."""

    web: Web
    address: Any
    logged: list[tuple[Answer, Client, int]] = field(default_factory=list)

    async def connect(self, source: str | None = None) -> Visitor:
        """Return a new connection, from the address `source` of this machine."""
        if isinstance(self.address, str):
            return Visitor(*await asyncio.open_unix_connection(self.address))
        local = (source, 0) if source else None
        return Visitor(*await asyncio.open_connection(*self.address[:2], local_addr=local))

    async def raw(self, octets: bytes, source: str | None = None) -> bytes:
        """Return all that comes for `octets`, until the server closes."""
        visitor = await self.connect(source)
        async with visitor:
            await visitor.send(octets)
            return await visitor.rest()

    async def get(self, target: str, *headers: str, method: str = "GET") -> Answered:
        """Return the response to one request on a connection of its own."""
        visitor = await self.connect()
        async with visitor:
            return await visitor.ask(target, *headers, method=method)


class Visitor:
    """One client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def __aenter__(self) -> Visitor:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def send(self, octets: bytes) -> None:
        """Send `octets`."""
        self.writer.write(octets)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """Return what comes until the server closes."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    async def ask(self, target: str, *headers: str, method: str = "GET") -> Answered:
        """Return the response to one more request."""
        lines = [f"{method} {target} HTTP/1.1", "Host: example.org", *headers, "", ""]
        await self.send("\r\n".join(lines).encode())
        return await self.response(method)

    async def response(self, method: str = "GET") -> Answered:
        """Return the next response."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")[:-2]
            headers = dict(line.split(": ", 1) for line in lines)
            status = int(first.split(" ")[1])
            length = int(headers.get("Content-Length", 0))
            bodiless = method == "HEAD" or status == 304
            body = b"" if bodiless else await self.reader.readexactly(length)
        return Answered(head + body, status, headers, body)


def setup_of(
    *sources: Source,
    audiences: Sequence[Audience] = (),
    limits: Limits | None = None,
    trusted: Sequence[Network] = (),
    domains: tuple[str, ...] = ("example.org",),
    links: tuple[LinkTemplate, ...] = (),
    idle_exit: float = 0,
    visited: Visited | None = None,
) -> Setup:
    """Return a setup that asks `sources` in order."""

    def log(answer: Answer, client: Client, sent: int, usec: int) -> None:
        assert usec >= 0
        if visited is not None:
            visited.logged.append((answer, client, sent))

    return Setup(
        Policy(audiences),
        Directory([Mounted(source) for source in sources]),
        Identity(PLACE, domains, links),
        Proxies(trusted),
        limits or Limits(),
        log,
        idle_exit,
    )


@asynccontextmanager
async def visiting(
    *sources: Source, unix: bool = False, address: str = "127.0.0.1", **settings: Any
) -> AsyncIterator[Visited]:
    """Serve the web; end it afterwards, whatever happens."""
    loop = asyncio.get_running_loop()
    visited = Visited(None, None)  # type: ignore[arg-type]  # known in a moment
    setup = setup_of(*sources, visited=visited, **settings)
    with tempfile.TemporaryDirectory() as folder:
        if unix:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(str(Path(folder) / "web"))
            listener.listen()
        else:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.create_server((address, 0), family=family)
        with listener:
            visited.web, visited.address = Web(loop, setup), listener.getsockname()
            visited.web.start([listener])
            try:
                yield visited
            finally:
                visited.web.stop_accepting()
                await visited.web.close()
                async with asyncio.timeout(PATIENCE):
                    await visited.web.drain()
