# SPDX-License-Identifier: MIT
"""Headers of the PROXY protocol: what they say, whole and in part, and what is none."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.serving.finger.proxied.header import (
    MAX_V1,
    MAX_V2,
    SIGNATURE,
    Header,
    ProxyError,
    parse,
)

IP4 = "192.0.2.7", "198.51.100.1"
IP6 = "2001:db8::7", "2001:db8:1::1"
LINE = b"alice\r\n"


def version_2(command: int, family: int, addresses: bytes = b"", tlvs: bytes = b"") -> bytes:
    body = addresses + tlvs
    return SIGNATURE + bytes([command, family]) + len(body).to_bytes(2, "big") + body


def ends(kind: int, source: str, to: str) -> bytes:
    return socket.inet_pton(kind, source) + socket.inet_pton(kind, to) + b"\xc8\x22\x00\x4f"


TCP4, TCP6 = ends(socket.AF_INET, *IP4), ends(socket.AF_INET6, *IP6)
UNIX = b"/run/here".ljust(108, b"\0") * 2
TLVS = b"\x01\x00\x02h2" + b"\x04\x00\x00" + b"\x20\x00\x08" + b"\x01" * 8  # ALPN, NOOP, TLS

WELL = {
    b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 79\r\n": IP4,
    b"PROXY TCP4 192.0.2.7 198.51.100.1 0 65535\r\n": IP4,
    b"PROXY TCP6 2001:db8::7 2001:db8:1::1 51234 79\r\n": IP6,
    b"PROXY UNKNOWN\r\n": ("", ""),
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n": ("", ""),
    b"PROXY UNKNOWN ".ljust(MAX_V1 - 2, b"x") + b"\r\n": ("", ""),
    version_2(0x21, 0x11, TCP4): IP4,
    version_2(0x21, 0x21, TCP6): IP6,
    version_2(0x21, 0x11, TCP4, TLVS): IP4,
    version_2(0x21, 0x21, TCP6, TLVS): IP6,
    version_2(0x21, 0x11, TCP4, b"\x30\x0f\x00" + b"x" * 0xF00): IP4,
    version_2(0x20, 0x00): ("", ""),  # LOCAL: a look at the server's health
    version_2(0x20, 0x11, TCP4, b"\x04"): ("", ""),  # whatever it says
    version_2(0x20, 0xFF, b"x" * 7): ("", ""),
    version_2(0x21, 0x00): ("", ""),  # UNSPEC
    version_2(0x21, 0x00, b"", TLVS): ("", ""),
    version_2(0x21, 0x31, UNIX): ("", ""),
    version_2(0x21, 0x32, UNIX): ("", ""),
    version_2(0x21, 0x12, TCP4): ("", ""),  # UDP
    version_2(0x21, 0x22, TCP6): ("", ""),
}
ILL = [
    LINE,
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01\x02",
    b"PROXYTCP4",
    b"proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n",
    b"PROXY  TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7  198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 99999 2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n",
    b"PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8:1::1 1 2\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP6 2001:db8::7%eth0 2001:db8:1::1 1 2\r\n",
    b"PROXY TCP6 2001:db8::g 2001:db8:1::1 1 2\r\n",
    b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY UNKNOWNX\r\n",
    b"PROXY UNKNOWN\n",
    b"PROXY UNKNOWN ".ljust(MAX_V1 - 1, b"x") + b"\r\n",
    b"PROXY TCP4 " + b"1" * MAX_V1,
    SIGNATURE[:-1] + b"x",
    version_2(0x11, 0x11, TCP4),  # version 1
    version_2(0x22, 0x11, TCP4),  # a command that is none
    version_2(0x21, 0x13, TCP4),
    version_2(0x21, 0x41, TCP4),
    version_2(0x21, 0x11, TCP4[:-1]),
    version_2(0x21, 0x21, TCP4),
    version_2(0x21, 0x31, UNIX[:-1]),
    version_2(0x21, 0x11, TCP4, b"\x04"),
    version_2(0x21, 0x11, TCP4, b"\x04\x00\x02x"),
    version_2(0x21, 0x11, TCP4, b"x" * MAX_V2),
]


@pytest.mark.parametrize(("octets", "said"), WELL.items())
def test_a_header_says_who_is_relayed_whatever_comes_behind_it(
    octets: bytes, said: tuple[str, str]
) -> None:
    for behind in (b"", LINE, b"\0" * 5000):
        header = parse(octets + behind)
        assert header is not None
        assert (header.size, header.client, header.server()) == (len(octets), *said)


@pytest.mark.parametrize("octets", WELL)
def test_a_part_of_a_header_is_none_yet(octets: bytes) -> None:
    for end in range(len(octets)):
        assert parse(octets[:end]) is None, end


@pytest.mark.parametrize("octets", ILL)
def test_what_is_no_header_is_refused(octets: bytes) -> None:
    with pytest.raises(ProxyError):
        parse(octets)
    with pytest.raises(ProxyError):
        parse(octets + LINE)


def test_what_never_ends_is_refused_within_bounds() -> None:
    for begin in (b"PROXY TCP4 ", b"PROXY UNKNOWN "):
        with pytest.raises(ProxyError, match="more than 107 octets"):
            parse(begin + b"1" * (MAX_V1 - len(begin)))
    with pytest.raises(ProxyError, match="more than 4096 octets"):
        parse(SIGNATURE + b"\x21\x11\xff\xff")  # before all that has come


_PIECES = st.sampled_from(
    [b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b" ", b"\r\n", b"1.2.3.4 ", b"::1 ", SIGNATURE]
)
_PARTS = _PIECES | st.sampled_from(sorted(WELL)) | st.binary(max_size=40)


@given(st.lists(_PARTS, max_size=8).map(b"".join))
def test_whatever_comes_is_a_header_part_of_one_or_refused(octets: bytes) -> None:
    try:
        header = parse(octets)
    except ProxyError:
        return
    if header is None:
        assert len(octets) < MAX_V2
        return
    assert 0 < header.size <= min(len(octets), MAX_V2)
    assert parse(octets[: header.size]) == header
    if header.client:
        kind = socket.AF_INET6 if ":" in header.client else socket.AF_INET
        socket.inet_pton(kind, header.client)
        socket.inet_pton(kind, header.server())


def test_a_header_without_ends_has_no_server() -> None:
    assert Header(9).server() == ""
