# SPDX-License-Identifier: MIT
"""What `[[source]]` of type "web" may say, checked; fingerd.toml(5) describes each key.

A secret (a header's value that is a credential) is read at its first use and shown nowhere: not by
`check`, not by `ask --explain`, not in the log.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias
from urllib.parse import quote, urlsplit

from fingerd_sd.config.table import Table
from fingerd_sd.directory.source import SourceError
from fingerd_sd.sources.web.text import LXML

USER = "{user}"
AIOHTTP = "aiohttp: install python3-aiohttp (Debian, Fedora), python-aiohttp (Arch), aiohttp (PyPI)"
MAX_TIMEOUT = 3600.0  # seconds
YEAR = 365 * 86400.0  # seconds
MAX_BODY = 1 << 20  # octets; HTML has a bound of its own in web/text.py
MAX_RUNNING = 256  # connections
MAX_SECRET = 8192  # octets: what servers take as one header

_TOKEN = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a header's name: RFC 9110 §5.6.2
_VALUE = re.compile("[\t\x20-\x7e]*")  # a header's value, without obsolete forms: §5.5
_URL = re.compile("[0-9A-Za-z:/?#\\[\\]@!$&'()*+,;=%._~-]+")  # RFC 3986 §2
_CREDENTIAL = re.compile("[0-9A-Za-z_.@-]+")


class Credential(NamedTuple):
    """The name of a secret that systemd passes: systemd.exec(5), LoadCredential=."""

    name: str

    def read(self) -> str:
        """Return the secret. Raises SourceError, whose text is free of it, if it cannot be used."""
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise SourceError(self.missing)
        try:
            with Path(folder, self.name).open("rb") as stream:
                octets = stream.read(MAX_SECRET + 1)
        except OSError:
            raise SourceError(self.missing) from None
        secret = octets.decode("latin-1").removesuffix("\n").removesuffix("\r")
        if len(octets) > MAX_SECRET or not _VALUE.fullmatch(secret):
            raise SourceError(f'the credential "{self.name}" is no header: one line of ASCII')
        return secret

    @property
    def missing(self) -> str:
        """What to do if it was not passed."""
        return (
            f'the credential "{self.name}" was not passed to this process: finger.service needs'
            f" LoadCredential={self.name}:/its/file"
        )


Headers: TypeAlias = Mapping[str, str | Credential]


class Options(NamedTuple):
    """`url`: with {user} in its path or query. `timeout`: seconds for one query, waiting included.
    `max_body`: octets. `ttl`: seconds for which an answer, an absence too, may be reused. `stale`:
    seconds past `ttl` for which an old answer may stand in while the site fails. `max_running`:
    connections at once.
    """

    url: str
    headers: Headers = MappingProxyType({})
    timeout: float = 5
    max_body: int = 65536
    ttl: float = 60
    stale: float = 86400
    max_running: int = 16

    @property
    def site(self) -> str:
        """The site's address, for people."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def address(self, user: str) -> str | None:
        """Return the address of the page of `user`, percent-encoded as one segment. None if that
        could lead elsewhere: the name has a slash (servers decode %2F before they look), or the
        segment would be "." or ".." (RFC 3986 §3.3).
        """
        if not user or "/" in user or "\\" in user:
            return None
        url = self.url.replace(USER, quote(user, safe="", errors="replace"))
        if any(segment in (".", "..") for segment in urlsplit(url).path.split("/")):
            return None
        return url


def read_options(table: Table) -> Options:
    """Return the options of a `[[source]]` table; mistakes go to the table."""
    if importlib.util.find_spec("aiohttp") is None:
        table.wrong("type", f'"web" needs the Python module {AIOHTTP}')
    elif importlib.util.find_spec("lxml") is None:
        table.unwise("type", f"pages of HTML cannot be shown without the Python module {LXML}")
    options = Options(
        url=_read_url(table),
        headers=_read_headers(table),
        timeout=table.seconds("timeout", 5, 0.1, MAX_TIMEOUT),
        max_body=table.integer("max_body", 65536, 1, MAX_BODY, "octets"),
        ttl=table.seconds("ttl", 60, 0, YEAR),
        stale=table.seconds("stale", 86400, 0, YEAR),
        max_running=table.integer("max_running", 16, 1, MAX_RUNNING, "connections"),
    )
    table.close()
    return options


def _read_url(table: Table) -> str:
    url = table.text("url", "")
    expected = f'expected an address such as "https://example.org/~{USER}"'
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, a bracket too many
        valid = False
    if not valid or not _URL.fullmatch(url.replace(USER, "")):
        table.wrong("url", expected + (f', not "{url}"' if url else ""))
    elif parts.username is not None or parts.password is not None:
        table.wrong(
            "url",
            'expected no password in it: write headers = { Authorization = { credential = "…" } }',
        )
    elif USER not in parts.path + parts.query or USER in parts.netloc:
        table.wrong("url", f"{expected}, with {USER} in its path or query")
    elif parts.fragment or "#" in url:
        table.wrong("url", f"{expected}; what follows # is never sent")
    elif any(segment in (".", "..") for segment in parts.path.split("/")):
        table.wrong("url", f'{expected}, without "." and ".."')
    return url


def _read_headers(table: Table) -> Headers:
    headers: dict[str, str | Credential] = {}
    for name, value in table.table("headers").items():
        if not _TOKEN.fullmatch(name):
            table.wrong("headers", f'"{name}" is no name of a header')
        elif isinstance(value, str) and _VALUE.fullmatch(value):
            headers[name] = value
        elif isinstance(value, dict) and set(value) == {"credential"}:
            credential = value["credential"]
            if not isinstance(credential, str) or not _CREDENTIAL.fullmatch(credential):
                table.wrong("headers", f"{name}: expected the name of a credential")
                continue
            headers[name] = Credential(credential)
            _look_for(Credential(credential), table)
        else:
            table.wrong(
                "headers",
                f'{name}: expected a string of one line, or {{ credential = "name" }}',
            )
    return MappingProxyType(headers)


def _look_for(credential: Credential, table: Table) -> None:
    """Warn of a credential that was not passed; `check` runs without the unit's credentials."""
    try:
        credential.read()
    except SourceError as error:
        table.unwise("headers", str(error))
