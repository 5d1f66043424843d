# SPDX-License-Identifier: MIT
"""Where a head ends, and what is none: however it comes in pieces."""

from __future__ import annotations

import pytest

from fingerd_sd.serving.web.http.heads import (
    BAD,
    LARGE,
    LONG_LINE,
    MAX_HEAD,
    MAX_HEADERS,
    MAX_LINE,
    OTHER_VERSION,
    Heads,
    Refusal,
)

HEAD = b"GET / HTTP/1.1\r\nHost: example.org\r\nA: b\tc d\r\n\r\n"


def taken(octets: bytes, piece: int = 0) -> list[bytes | Refusal]:
    """Return what is taken of `octets` that come in pieces of this length; 0: at once."""
    heads, found = Heads(), []
    piece = piece or max(len(octets), 1)
    for start in range(0, len(octets), piece):
        heads.feed(octets[start : start + piece])
        while (head := heads.next()) is not None:
            found.append(head)
            if isinstance(head, Refusal):
                return found
    return found


@pytest.mark.parametrize("piece", [0, 1, 2, 3, 7, 40])
@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", []),
        (HEAD, [HEAD]),
        (HEAD * 3, [HEAD] * 3),
        (HEAD[:-1], []),
        (b"\r\n\r\n" + HEAD, [HEAD]),
        (b"GET / HTTP/1.0\r\n\r\n", [b"GET / HTTP/1.0\r\n\r\n"]),
        (b"M-SEARCH * HTTP/1.9\r\n\r\n", [b"M-SEARCH * HTTP/1.9\r\n\r\n"]),
        (b"GET /\xc5\xbb HTTP/1.1\r\n\r\n", [b"GET /\xc5\xbb HTTP/1.1\r\n\r\n"]),
        (b"GET / HTTP/2.0\r\n", [OTHER_VERSION]),
        (b"GET / HTTP/0.9\r\n", [OTHER_VERSION]),
        (b"GET /\r\n", [BAD]),
        (b"moshez\r\n", [BAD]),
        (b"\n\n\x16\x03\x01", [BAD]),
        (b" GET", [BAD]),
        (b"get / HTTP/1.1\r\n", [BAD]),
        (b"G\xc5\xbb", [BAD]),
        (b"G" * 40, [BAD]),
        (b"G" * 40 + b" / HTTP/1.1\r\n", [BAD]),
        (b"GET  / HTTP/1.1\r\n", [BAD]),
        (b"GET / HTTP/1.1 \r\n", [BAD]),
        (b"GET / x HTTP/1.1\r\n", [BAD]),
        (b"GET / HTTP/1.1\n", [BAD]),
        (b"GET / HTTP/11\r\n", [BAD]),
        (b"GET / http/1.1\r\n", [BAD]),
        (b"GET /\x00 HTTP/1.1\r\n", [BAD]),
        (b"GET / HTTP/1.1\r\nA: b\n", [BAD]),
        (b"GET / HTTP/1.1\r\nA: b\rc", [BAD]),
        (b"GET / HTTP/1.1\r\nA: b\x00", [BAD]),
        (b"GET / HTTP/1.1\r\nA: b\r\n c", [BAD]),
        (b"GET / HTTP/1.1\r\n\tA: b", [BAD]),
        (HEAD + b"rubbish\r\n", [HEAD, BAD]),
    ],
)
def test_however_it_comes_the_same_is_taken(
    octets: bytes, expected: list[bytes | Refusal], piece: int
) -> None:
    assert taken(octets, piece) == expected


@pytest.mark.parametrize("piece", [0, 1000, 4096])
def test_what_is_too_large_is_refused_and_what_is_not_is_taken(piece: int) -> None:
    start, end = b"GET / HTTP/1.1\r\nA: ", b"\r\n\r\n"
    largest = start + b"a" * (MAX_HEAD - len(start + end)) + end
    assert taken(largest, piece) == [largest]
    assert taken(largest.replace(b"aa", b"aaa", 1), piece) == [LARGE]
    assert taken(start + b"a" * MAX_HEAD, piece) == [LARGE]
    line = b"GET /" + b"a" * (MAX_LINE - 16) + b" HTTP/1.1"
    assert taken(line + end, piece) == [line + end]
    assert taken(line.replace(b"aa", b"aaa", 1) + end, piece) == [LONG_LINE]
    assert taken(b"GET /" + b"a" * MAX_LINE, piece) == [LONG_LINE]


def test_too_many_headers_are_refused_as_soon_as_they_are_too_many() -> None:
    many = b"".join(b"A%d: b\r\n" % number for number in range(MAX_HEADERS))
    assert taken(b"GET / HTTP/1.1\r\n" + many + b"\r\n") != [LARGE]
    assert taken(b"GET / HTTP/1.1\r\n" + many + b"B: c\r\n\r\n") == [LARGE]
    assert taken(b"GET / HTTP/1.1\r\n" + many * 2) == [LARGE]


def test_what_is_left_is_returned_once() -> None:
    heads = Heads()
    heads.feed(HEAD + b"hello")
    assert heads.next() == HEAD
    assert (len(heads), heads.rest(), len(heads)) == (5, b"hello", 0)
    heads.feed(HEAD)
    assert heads.next() == HEAD
