# SPDX-License-Identifier: MIT
"""One page from one site, over aiohttp: bounded, verified, and never from anywhere else.

This is the only module that imports aiohttp (3.8, Debian 12's, or newer). That takes a quarter of a
second, so web/source.py imports this module at its first question. It knows no users and keeps
nothing.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict
from yarl import URL

from fingerd_sd import __version__
from fingerd_sd.process.resolve import MAX_THREADS, resolve
from fingerd_sd.process.threads import Pool
from fingerd_sd.sources.web.failures import PageError, SiteError

MAX_REDIRECTS = 5  # a page that moved twice, twice over
MAX_VALIDATOR = 1024  # characters of an ETag: they are a hash, or a size and a time
CHUNK = 16384  # octets read at once
CONNECT = 0.8  # of the deadline: beyond it the site is down, not just this page slow
PORTS = {"http": 80, "https": 443}
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What a site, or a proxy before it, says while all of it is unwell: RFC 9110 §15.6, RFC 6585.
UNWELL = frozenset({429, 502, 503, 504})
WELL = frozenset({200, 304, 404, 410})

HEADERS = {
    "Accept": "text/plain, text/html;q=0.8, text/*;q=0.5",
    # Compression saves little here, and a few octets could unpack to many.
    "Accept-Encoding": "identity",
    "User-Agent": f"fingerd-sd/{__version__}",
}


class Page(NamedTuple):
    """What a site said. `status`: 200, 304, 404 or 410. Only a 200 has `body` and what follows it;
    "" for a header that is missing.
    """

    status: int
    body: bytes = b""
    content_type: str = ""
    etag: str = ""
    modified: str = ""


class Client:
    """Fetches pages. `headers`: sent with each. `max_running`: connections at once; more wait.
    `timeout`: seconds until the caller's deadline. `context`: for https. Make and close it in a
    running loop.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        max_running: int,
        max_body: int,
        timeout: float,
        context: ssl.SSLContext,
    ) -> None:
        self._max_body = max_body
        all_headers = CIMultiDict(HEADERS)
        all_headers.update(headers)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Resolver(),
                ssl=context,
                limit=max_running,
            ),
            headers=all_headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT * timeout),
            auto_decompress=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, url: str, conditions: Mapping[str, str]) -> Page:
        """Return the page at `url`, following redirects within its site. `conditions`: headers
        such as If-None-Match, with which a 304 may come. RFC 9110, RFC 9111 §4.3.

        Raises SiteError if the site cannot be reached or is unwell, and PageError if only this page
        cannot be used. The caller sets the deadline.
        """
        try:
            for _ in range(MAX_REDIRECTS + 1):
                try:
                    page = await self._get(url, conditions)
                except aiohttp.ClientConnectorError:
                    raise
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                    # The site may have closed a kept connection just as it was used.
                    page = await self._get(url, conditions)
                if isinstance(page, Page):
                    return page
                url = redirected(url, page)
        except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError) as error:
            raise SiteError(_summary(error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PageError(_summary(error)) from None
        raise PageError(f"more than {MAX_REDIRECTS} redirects")

    async def _get(self, url: str, conditions: Mapping[str, str]) -> Page | str:
        """Return the page at `url`, or where it redirects to."""
        async with self._session.get(
            URL(url, encoded=True), headers=conditions, allow_redirects=False
        ) as response:
            status, headers = response.status, response.headers
            if status in REDIRECTS:
                response.close()
                return str(headers.get("Location", ""))
            if status in UNWELL:
                raise SiteError(f"HTTP status {status}")
            if status not in WELL or (status == 304 and not conditions):
                raise PageError(f"HTTP status {status}")
            if status != 200:
                return Page(status)
            if headers.get("Content-Encoding", "identity").lower() != "identity":
                raise PageError("packed, though unpacked was asked for")
            body = await self._body(response)
            return Page(
                status,
                body,
                headers.get("Content-Type", ""),
                _validator(headers.get("ETag", "")),
                _validator(headers.get("Last-Modified", "")),
            )

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        while octets := await response.content.read(CHUNK):
            body += octets
            if len(body) > self._max_body:
                response.close()  # never for another page: the rest is on its way
                raise PageError(f"longer than max_body, {self._max_body} octets")
        return bytes(body)


def redirected(url: str, location: str) -> str:
    """Return the address that `location`, a Location header of `url`'s, leads to.

    Raises PageError if that is another site: another scheme, host or port. A step from http to
    https at the same host's usual ports is allowed.
    """
    try:
        there = urlsplit(urljoin(url, location))
        old, new = _site(urlsplit(url)), _site(there)
    except ValueError:  # a port that is no number, a bracket too many
        raise PageError("redirects to what is no address") from None
    upgrade = (old[0], old[2], new[0], new[2]) == ("http", 80, "https", 443) and old[1] == new[1]
    if not location or not (old == new or upgrade):
        raise PageError(f"redirects to another site, {there.scheme}://{there.hostname}")
    if there.username or there.password:
        raise PageError("redirects to an address with a password")
    # Mend what a browser would mend: blanks, characters that are not ASCII.
    return quote(there._replace(fragment="").geturl(), safe="/%:?#[]@!$&'()*+,;=~")


def _validator(value: str) -> str:
    """Return `value` if it can be sent back as it came, else ""."""
    return value if value.isascii() and value.isprintable() and len(value) < MAX_VALIDATOR else ""


def _site(url: SplitResult) -> tuple[str, str, int]:
    return url.scheme, url.hostname or "", url.port or PORTS.get(url.scheme, 0)


def _summary(error: Exception) -> str:
    """Return what went wrong, without anything that was sent: headers may contain a password."""
    if isinstance(error, aiohttp.ServerTimeoutError):
        return "no connection in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate is not valid: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.os_error.strerror or error.os_error}"
    return f"broken answer: {type(error).__name__}"


class _Resolver(AbstractResolver):
    """Resolves names. aiohttp's resolver uses the loop's threads, which the exit waits for."""

    def __init__(self) -> None:
        self._pool = Pool(MAX_THREADS, "dns")

    async def resolve(
        self, host: str, port: int = 0, family: int = socket.AF_INET
    ) -> list[Any]:  # dicts; the newer aiohttp has a class of its own for them
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": kind,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for kind, (address, _) in await resolve(self._pool, host, port, family)
        ]

    async def close(self) -> None:
        pass
