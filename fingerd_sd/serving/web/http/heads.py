# SPDX-License-Identifier: MIT
"""The heads of requests, before aiohttp parses them: where each ends, and what is none.

Sans-I/O. The grammar (RFC 9112 §2.1, §3)::

    head         ::= *CRLF request-line *( field-line CRLF ) CRLF
    request-line ::= method SP target SP "HTTP/" DIGIT "." DIGIT CRLF

Two parsers that read one head differently can be played off against each other, and aiohttp's
versions differ. So what the RFC lets a server refuse is refused: a CR or an LF without the other, a
field that goes on in the next line, and NUL. Heads are handed over one by one, since aiohttp 3.8
parses all that have come, and keeps them.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple

MAX_HEAD = 32768  # octets of a head: other sites' cookies may come too
MAX_LINE = 8192  # octets of the request-line: RFC 9112 §3 wants 8,000
MAX_HEADERS = 128  # of one head

NO_REQUEST = "This is no request of HTTP/1.1"
_END = b"\r\n\r\n"
_METHOD = re.compile(rb"[A-Z-]{1,32}+(?: |\Z)")  # methods are case-sensitive: RFC 9110 §9.1
_LINE = re.compile(rb"[A-Z-]{1,32}+ [!-~\x80-\xff]++ HTTP/([0-9])\.[0-9]\r\n")


class Refusal(NamedTuple):
    """What is answered where there is no request: a status, and a sentence."""

    status: int
    why: str


BAD = Refusal(HTTPStatus.BAD_REQUEST, NO_REQUEST)
OTHER_VERSION = Refusal(  # RFC 9110 §15.6.6
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "This site speaks HTTP/1.1"
)
LONG_LINE = Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "The address is too long")  # RFC 9110 §15.5.15
LARGE = Refusal(  # RFC 6585 §5
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request has too many headers, or too long ones"
)


class Heads:
    """What a client has sent, but for the heads that were taken of it."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._seen = 0  # octets of them in which no head ends
        self._line = False  # whether they begin with a whole request-line

    def __len__(self) -> int:
        return len(self._octets)

    def feed(self, octets: bytes) -> None:
        """Take more of what the client sends."""
        self._octets += octets

    def begun(self, most: int) -> bytes:
        """Return the first octets of what is left, at most so many."""
        return bytes(self._octets[:most])

    def rest(self) -> bytes:
        """Return all that is left, and forget it."""
        rest, self._octets = bytes(self._octets), bytearray()
        self._seen, self._line = 0, False
        return rest

    def next(self) -> bytes | Refusal | None:
        """Return the next head with its empty line; None: it has not come whole. After a Refusal
        nothing more may be asked for.
        """
        octets = self._octets
        if not self._seen and octets.startswith((b"\r", b"\n")):
            octets[:] = octets.lstrip(b"\r\n")  # RFC 9112 §2.2: a robust server skips these
        if not octets:
            return None
        end = octets.find(_END, max(0, self._seen - 3))
        size = end + len(_END) if end >= 0 else len(octets)
        if not self._line:
            line = octets.find(b"\n", 0, size) + 1
            if (line or size) > MAX_LINE:
                return LONG_LINE
            whole = _LINE.fullmatch(octets, 0, line) if line else None
            if whole is None and (line or not _METHOD.match(octets, 0, size)):
                return BAD
            if whole is not None and whole[1] != b"1":
                return OTHER_VERSION
            self._line = line > 0
        if size > MAX_HEAD or octets.count(b"\n", 0, size) > MAX_HEADERS + 2:
            return LARGE
        if _is_foul(octets, size):
            return BAD
        if end < 0:
            self._seen = len(octets)
            return None
        head = bytes(octets[:size])
        del octets[:size]
        self._seen, self._line = 0, False
        return head


def _is_foul(octets: bytearray, size: int) -> bool:
    """Whether the first `size` octets are no part of a head, whatever follows."""
    pairs = octets.count(b"\r\n", 0, size)
    open_end = octets[size - 1] == 0x0D  # its LF may still be on the way
    return (
        octets.count(b"\n", 0, size) != pairs
        or octets.count(b"\r", 0, size) != pairs + open_end
        or octets.find(b"\n ", 0, size) >= 0
        or octets.find(b"\n\t", 0, size) >= 0
        or octets.find(b"\0", 0, size) >= 0
    )
