# SPDX-License-Identifier: MIT
"""Replies: status, headers and octets of what is sent for one request; whether the client has it.

Sans-I/O: the time comes in as an argument. RFC 9110 for the statuses, §13 for what is conditional.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from multidict import CIMultiDict

from fingerd_sd.directory.answer import ABSENT, BAD, FAILED, FOUND, LIMIT, REFUSED

MAX_AGE = 60  # seconds for which a browser may show a reply without asking whether it is still good
RETRY_AFTER = 60  # seconds: a client that asks too often has then paid for most of what it owes
STATUS = {FOUND: 200, BAD: 400, REFUSED: 403, ABSENT: 404, LIMIT: 429, FAILED: 503}

# Nothing on a page may come from another host, run, be framed, or tell where its reader comes from.
SAFE = {
    "Server": "fingerd-sd",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# A cache between may not keep an answer: it depends on the client's audience.
NOT_KEPT = {"Cache-Control": "no-store"}
_NONE: Mapping[str, str] = MappingProxyType({})


class Reply(NamedTuple):
    """What is sent for one request. `headers`: copied before anything is added. `result`, `source`:
    for the log. `etag`: "" where it has none. `until`: when the client is to ask again, in the
    loop's seconds; math.inf: its Cache-Control says that.
    """

    status: int
    headers: CIMultiDict[str]
    body: bytes
    result: str
    source: str = ""
    etag: str = ""
    until: float = math.inf


def made(body: bytes, kind: str, source: str, more: Mapping[str, str]) -> Reply:
    """Return the reply 200. `kind`: its media type. `more`: headers."""
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = CIMultiDict({**SAFE, "Content-Type": kind, "ETag": etag})
    headers.update({"Cache-Control": f"private, max-age={MAX_AGE}", **more})
    return Reply(200, headers, body, FOUND, source, etag)


def refused(
    status: int,
    body: bytes,
    kind: str,
    result: str,
    source: str = "",
    more: Mapping[str, str] = _NONE,
) -> Reply:
    """Return a reply that is none of 200 or 304; arguments as for `made`."""
    headers = CIMultiDict({**SAFE, "Content-Type": kind, **NOT_KEPT})
    if status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER)
    headers.update(more)
    return Reply(status, headers, body, result, source)


def for_client(reply: Reply, if_none_match: str | None, now: float) -> tuple[int, CIMultiDict[str]]:
    """Return status and headers of `reply` to a client that sent If-None-Match or did not, at
    `now`, in the loop's seconds: 304 if it has the same already. RFC 9110 §13.1.2, §15.4.5.
    """
    headers = reply.headers.copy()
    if reply.until != math.inf:
        age = max(0, min(MAX_AGE, int(reply.until - now)))
        headers["Cache-Control"] = f"private, max-age={age}" if age else "private, no-cache"
    if if_none_match and reply.etag and _has(if_none_match, reply.etag):
        del headers["Content-Type"]
        return 304, headers
    return reply.status, headers


def _has(if_none_match: str, etag: str) -> bool:
    """Whether a client that sends `if_none_match` has what has the tag `etag`; weak comparison."""
    tags = (tag.strip(" \t").removeprefix("W/") for tag in if_none_match.split(","))
    return if_none_match.strip(" \t") == "*" or etag in tags
