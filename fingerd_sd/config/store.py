# SPDX-License-Identifier: MIT
"""`[store]`: the directory that several hosts share, in a server that speaks Redis' protocol.

The address in `url` is taken apart here, so that each mistake in it has a file and a key.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from fingerd_sd.config.table import Table, quoted

SCHEMES = (
    "redis", "rediss", "unix",
    "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster",
)  # fmt: skip
PORT, SENTINEL_PORT = 6379, 26379
TIMEOUT = 2.0  # seconds: a store on the same campus answers within a few milliseconds
TTL = 2.0  # seconds: as of accounts, since one may be removed at any time
STALE = 86400.0  # seconds: a day, as of a web site
MAX_REPLICAS = 16

_NAMESPACE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_CREDENTIAL = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_HOST = re.compile(r"[0-9A-Za-z_](?:[0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?")
_EXPECTED = (
    'expected an address such as "redis://store.example.org", "rediss://store.example.org:6380",'
    ' "unix:///run/redis/redis-server.sock", "redis+sentinel://s1,s2,s3/MASTER" or'
    ' "redis+cluster://c1,c2,c3"'
)


class Place(NamedTuple):
    """Where the store is. `kind`: "redis", "unix", "sentinel" or "cluster". `hosts`: names or
    addresses with ports; those of Sentinels or of some of the cluster. `path`: of a Unix socket.
    `master`: what the Sentinels call it. `user`: "" for the default one. `tls`: whether what is
    said there is encrypted.
    """

    kind: str
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    tls: bool = False
    database: int = 0
    master: str = ""
    user: str = ""


class StoreKeys(NamedTuple):
    """All of `[store]`. `place`: what `url` says. `credential`: a name in $CREDENTIALS_DIRECTORY,
    of a file with a password or `user:password`. `ca`: a file with the certificates to trust; "":
    those of the system. `hosts`: whose sessions `@host` shows. `host`: what this one is called;
    "": its own name, up to the first dot. `timeout`: seconds for one command. `ttl`, `stale`:
    seconds, as of sources of type web. `replicas`: how many must have a publish before it is
    acknowledged.
    """

    url: str
    place: Place
    namespace: str = "fingerd-sd"
    credential: str = ""
    ca: str = ""
    hosts: tuple[str, ...] = ()
    host: str = ""
    timeout: float = TIMEOUT
    ttl: float = TTL
    stale: float = STALE
    replicas: int = 0


def read_store(table: Table) -> StoreKeys | None:
    """Return what `[store]` says; None: there is none, as no `url` is set or it cannot be used.
    Mistakes go to the table.
    """
    url = table.text("url", "")
    place = _read_url(table, url) if url else None
    if table.value("url") == "":
        table.wrong("url", f"{_EXPECTED}; remove the key to keep what is published on this host")
    sentinel = place is not None and place.kind == "sentinel"
    keys = StoreKeys(
        url,
        place or Place("redis"),
        namespace=_matching(
            table, "namespace", StoreKeys._field_defaults["namespace"], _NAMESPACE,
            "1 to 64 letters, digits, dots, colons, hyphens and underscores",
        ),
        credential=_matching(
            table, "credential", "", _CREDENTIAL, "a name as in LoadCredential=, not a path"
        ),
        ca=_read_ca(table),
        hosts=tuple(name for name in table.strings("hosts", ()) if _is_host(table, "hosts", name)),
        host=_read_host(table),
        timeout=table.seconds("timeout", TIMEOUT, 0.05, 30),
        ttl=table.seconds("ttl", TTL, 0, 86400),
        stale=table.seconds("stale", STALE, 0, 31_536_000),
        replicas=table.integer("replicas", int(sentinel), 0, MAX_REPLICAS, "replicas"),
    )  # fmt: skip
    set_keys = sorted(key for key in table.known - {"url"} if table.value(key) is not None)
    if not url and table.value("url") is None and set_keys:
        table.unwise(set_keys[0], "has no effect: [store] has no url")
    table.close()
    return keys if place is not None else None


def _read_url(table: Table, url: str) -> Place | None:
    """Return the place at `url`; None: a mistake has been reported."""
    if not url.isprintable() or " " in url:
        table.wrong("url", f"{_EXPECTED}, without spaces")
        return None
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that is not closed
        table.wrong("url", _EXPECTED)
        return None
    if parts.scheme not in SCHEMES:
        table.wrong("url", f"{_EXPECTED}, not {quoted(_hidden(parts))}")
        return None
    user, colon, _ = parts.netloc.rpartition("@")[0].partition(":")
    if colon:
        table.wrong(
            "url",
            "has a password, which everybody can read here; take it out, put it into a file of its"
            ' own, and name that by credential = "NAME" and LoadCredential=NAME:FILE',
        )
        return None
    try:
        return _place(parts, unquote(user))
    except ValueError as error:
        table.wrong("url", f"{error}; {_EXPECTED}")
        return None


def _place(parts: SplitResult, user: str) -> Place:
    """Return the place. Raises ValueError, which says what is wrong."""
    scheme, _, many = parts.scheme.partition("+")
    if parts.query or parts.fragment:
        raise ValueError("has something after a ? or a #, which is not known here")
    hosts = parts.netloc.rpartition("@")[2]
    if scheme == "unix":
        if hosts or not parts.path.startswith("/"):
            raise ValueError("has no absolute path: three slashes after unix:")
        return Place("unix", path=unquote(parts.path), user=user)
    segments = parts.path.strip("/").split("/") if parts.path.strip("/") else []
    master = ""
    if many == "sentinel":
        if not segments:
            raise ValueError("does not name the master: what the Sentinels call it, behind a slash")
        master = unquote(segments.pop(0))
    if segments and many == "cluster":
        raise ValueError("has a database, but a cluster has only one")
    if len(segments) > 1 or (segments and not re.fullmatch(r"[0-9]{1,4}", segments[0])):
        raise ValueError("has a path that is no number of a database")
    port = SENTINEL_PORT if many == "sentinel" else PORT
    found = tuple(_host_and_port(host, port) for host in hosts.split(","))
    if len(found) > 1 and not many:
        raise ValueError("names several hosts, which only redis+sentinel and redis+cluster do")
    return Place(
        many or "redis",
        found,
        tls=scheme == "rediss",
        database=int(segments[0]) if segments else 0,
        master=master,
        user=user,
    )


def _host_and_port(text: str, port: int) -> tuple[str, int]:
    """Return host and port in `text`: "host", "host:port", "[address]:port"."""
    parts = urlsplit(f"//{text}")
    try:
        found = parts.port
    except ValueError:
        raise ValueError(f"has no port from 1 to 65535 in {quoted(text)}") from None
    if not parts.hostname or found == 0:
        raise ValueError(f"has no host in {quoted(text)}")
    return parts.hostname, found or port


def _hidden(parts: SplitResult) -> str:
    """Return the address without a password."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _matching(table: Table, key: str, default: str, pattern: re.Pattern[str], expected: str) -> str:
    value = table.text(key, default)
    if value != default and not pattern.fullmatch(value):
        table.wrong(key, f"expected {expected}, not {quoted(value)}")
    return value


def _read_ca(table: Table) -> str:
    ca = table.text("ca", "")
    return table.beside(ca) if ca else ""


def _read_host(table: Table) -> str:
    host = table.text("host", "")
    return host if not host or _is_host(table, "host", host) else ""


def _is_host(table: Table, key: str, name: str) -> bool:
    if _HOST.fullmatch(name):
        return True
    table.wrong(
        key,
        f'expected what hosts are called, without a domain: such as "login3", not {quoted(name)}',
    )
    return False
