# SPDX-License-Identifier: MIT
"""The PROXY protocol, versions 1 and 2: how a balancer says whose connection it relays.

Sans-I/O. The specification is HAProxy's proxy-protocol.txt, which this reads as follows::

    header  ::= v1 | v2
    v1      ::= "PROXY " ( "TCP4 " | "TCP6 " ) source " " destination " " port " " port CR LF
              | "PROXY UNKNOWN" anything CR LF                        at most 107 octets
    v2      ::= signature, %x20 | %x21, family, length, addresses, TLVs

LOCAL, UNKNOWN, and families that have no address of TCP leave the connection's own ends in place:
the balancer itself asks, to see whether the server is well. TLVs are checked for their lengths and
say nothing here; the specification leaves it to the receiver whether it knows of a checksum.
"""

from __future__ import annotations

import _socket  # not socket: see serving/finger/first.py
import struct
from functools import lru_cache
from typing import NamedTuple

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2
MAX_V1 = 107  # octets, line end included: §2.1
MAX_V2 = 4096  # octets, of the 65,551 that there could be: TLVs of TLS are the longest in use
_FIXED = 16  # octets of a version 2 header before its addresses
# Octets of the addresses by family (§2.2). TCP's are the only ones that name a client to us; over a
# UNIX socket the client is on the balancer's machine.
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESSES = {0x00: 0, _TCP4: 12, 0x12: 12, _TCP6: 36, 0x22: 36, 0x31: 216, 0x32: 216}
_TLV = 3  # octets before a TLV's value: its type, its length
_BEGIN = b"PROXY "
_V2 = struct.Struct(">BBH")  # version and command, family, length
_LOCAL, _PROXY = 0x20, 0x21  # version 2 and the command
_IPV4, _IPV6 = int(_socket.AF_INET), int(_socket.AF_INET6)
_FAMILIES = {b"TCP4": _IPV4, b"TCP6": _IPV6}
_NAMED = 4  # fields of a version 1 header that names a client, before its ports
_MAX_PORT = b"65535"


class ProxyError(Exception):
    """The octets are no header; the text says why, and has nothing of the sender's in it."""


class Header(NamedTuple):
    """What a header says. `size`: its octets. `client`: who is relayed, an address as text; "": the
    balancer's own connection is meant. `to`: where that client has connected to.
    """

    size: int
    client: str = ""
    to: bytes = b""

    def server(self) -> str:
        """Return the address that the client has connected to, as text; "" if there is none."""
        if len(self.to) in (4, 16):
            return _socket.inet_ntop(_IPV4 if len(self.to) == 4 else _IPV6, self.to)
        return ""


def parse(octets: bytes) -> Header | None:
    """Return the header that `octets` begin with; None: it is not whole yet. Raises ProxyError."""
    if octets[: len(_BEGIN)] == _BEGIN:  # startswith takes twice as long
        return _version_1(octets)
    if octets.startswith(SIGNATURE):
        return _version_2(octets)
    if _BEGIN.startswith(octets) or SIGNATURE.startswith(octets):
        return None
    raise ProxyError("it begins with no header: have the balancer send one (send-proxy)")


def forget() -> None:
    """Drop what is remembered of clients: memory is short."""
    _named.cache_clear()


def _version_1(octets: bytes) -> Header | None:
    line, end, _ = octets.partition(b"\r\n")
    size = len(line) + len(end)
    if end and size <= MAX_V1:
        fields = line.rsplit(b" ", 2)
        header = _named(fields[0], size)
        if header is not None:
            if _is_port(fields[1]) and _is_port(fields[2]):
                return header
        elif line.split(b" ")[1] == b"UNKNOWN" and b"\n" not in line:
            return Header(size)
    elif not end and len(octets) < MAX_V1 and b"\n" not in octets:
        return None
    raise ProxyError(f"a header of version 1 is malformed, or has more than {MAX_V1} octets")


def _is_port(text: bytes) -> bool:
    size = len(text)  # to compare numbers as texts takes less than to make numbers of them
    return text.isdigit() and (
        size < len(_MAX_PORT) or (size == len(_MAX_PORT) and text <= _MAX_PORT)
    )


@lru_cache(1024)  # of some 300 octets each: a client's port changes, and its address does not
def _named(ends: bytes, size: int) -> Header | None:
    """Return the header of version 1 that is `ends` without its ports; None if it names no client.
    Raises ProxyError.
    """
    fields = ends.split(b" ")
    kind = _FAMILIES.get(fields[1]) if len(fields) == _NAMED else None
    if kind is None:
        return None
    try:
        client = fields[2].decode()
        _socket.inet_pton(kind, client)
        return Header(size, client, _socket.inet_pton(kind, fields[3].decode()))
    except (OSError, ValueError):
        raise ProxyError("a header of version 1 has an address that is none") from None


def _version_2(octets: bytes) -> Header | None:
    if len(octets) < _FIXED:
        return None
    command, family, length = _V2.unpack_from(octets, len(SIGNATURE))
    size = _FIXED + length
    if command not in (_LOCAL, _PROXY):
        raise ProxyError("a header of version 2 has a version or a command that is not known")
    if size > MAX_V2:
        raise ProxyError(f"a header of version 2 has more than {MAX_V2} octets")
    if len(octets) < size:
        return None
    if command == _LOCAL:  # whatever else it says is discarded
        return Header(size)
    addresses = _ADDRESSES.get(family)
    if addresses is None or addresses > length or not _are_tlvs(octets, _FIXED + addresses, size):
        raise ProxyError("a header of version 2 is malformed")
    if family == _TCP4:
        return Header(size, _socket.inet_ntop(_IPV4, octets[16:20]), octets[20:24])
    if family == _TCP6:
        return Header(size, _socket.inet_ntop(_IPV6, octets[16:32]), octets[32:48])
    return Header(size)


def _are_tlvs(octets: bytes, at: int, end: int) -> bool:
    """Whether there are whole TLVs from `at` to `end`, one behind the other: §2.2."""
    while at + _TLV <= end:
        at += _TLV + int.from_bytes(octets[at + 1 : at + _TLV], "big")
    return at == end
