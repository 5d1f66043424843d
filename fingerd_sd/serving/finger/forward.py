# SPDX-License-Identifier: MIT
"""Forwarding, {Q2} of RFC 1288 §2.4: ask another host's finger, and return its answer.

policy/ and protocol/hosts.py say which hosts, for whom, and how long a chain may be. This module
turns the host into addresses and examines each before it connects, so that no name can lead back to
this machine or into its network. It keeps nothing: the lifetime of another host's answer is
unknown.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket

from fingerd_sd.directory.relay import ForwardDenied, ForwardError, relayed
from fingerd_sd.policy.audience import Address
from fingerd_sd.process.resolve import MAX_THREADS, Endpoint, resolve
from fingerd_sd.process.threads import Pool
from fingerd_sd.protocol.hosts import names_literally
from fingerd_sd.protocol.query import Query
from fingerd_sd.protocol.text import CUT_MARK, decode_cut

log = logging.getLogger(__name__)
PORT = 79  # RFC 1288 §2.1
MAX_OCTETS = 65536  # of another host's answer
MAX_RUNNING = 64  # relays at once; more wait within their deadline
CHUNK = 16384  # octets read at once
CONNECT = 5.0  # seconds for one of several addresses
LATE_MARK = "[the rest did not come in time]"
BROKEN_MARK = "[the connection broke off here]"

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052 §2.1


class Forwarder:
    """Relays queries. `timeout`: seconds for all of one. `port`: of the other hosts."""

    def __init__(self, timeout: float, port: int = PORT) -> None:
        self._timeout = timeout
        self._port = port
        self._pool = Pool(MAX_THREADS, "dns")
        self._places = asyncio.Semaphore(MAX_RUNNING)

    async def forward(self, query: Query, patterns: tuple[str, ...]) -> str:
        """Return what the right-most host of `query` answers to the rest of it. `patterns`: the
        audience's, one of which the host matches.

        RFC 1288 §2.4: the answer ends when that host closes. If the deadline or MAX_OCTETS comes
        first, it is cut, with a mark. Raises ForwardError if there is no answer, and ForwardDenied
        if the host's addresses are this machine's or private, and no pattern names it literally.
        """
        host = query.hosts[-1]
        answer = bytearray()
        mark = ""
        try:
            async with asyncio.timeout(self._timeout), self._places:
                endpoints = await self._endpoints(host, names_literally(patterns, host))
                reader, writer = await _connect(host, endpoints)
                try:
                    writer.write(relayed(query).encode("utf-8") + b"\r\n")
                    while len(answer) <= MAX_OCTETS and (octets := await reader.read(CHUNK)):
                        answer += octets
                finally:
                    writer.transport.abort()
        except TimeoutError:
            why, mark = f"no answer in {self._timeout:g} s", LATE_MARK
        except OSError as error:
            why, mark = error.strerror or str(error), BROKEN_MARK
        else:
            why = "closed without an answer"
        if not answer:
            raise ForwardError(f"{host}: {why}")
        text, cut = decode_cut(bytes(answer), MAX_OCTETS)
        mark = CUT_MARK if cut else mark
        return text.removesuffix("\n") + f"\n{mark}\n" if mark else text

    async def _endpoints(self, host: str, literal: bool) -> list[Endpoint]:
        """Return where to connect to for `host`; see forward for what it raises."""
        found = await resolve(self._pool, host, self._port)
        allowed = [end for end in found if literal or is_elsewhere(end[1][0])]
        if not allowed:
            raise ForwardDenied(
                f"{host} is at {', '.join(sorted({end[1][0] for end in found}))}: this machine,"
                " or a private network, and forward_hosts does not name it without *"
            )
        return allowed


async def _connect(
    host: str, endpoints: list[Endpoint]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection to the first of `endpoints` that takes one; OSError if none does."""
    refused: OSError = OSError(f"{host} has no address")
    for _, (address, port) in endpoints:
        try:
            async with asyncio.timeout(CONNECT):
                return await asyncio.open_connection(address, port, limit=CHUNK)
        except TimeoutError:
            refused = OSError("no connection in time")
        except OSError as error:
            refused = error
    raise refused


def is_elsewhere(text: str) -> bool:
    """Whether the address `text` belongs to another machine on the public network: not to loopback,
    link-local, private, multicast or reserved space (RFC 6890), nor to this machine.
    """
    address = _unwrapped(ipaddress.ip_address(text.partition("%")[0]))
    return address.is_global and not address.is_multicast and not _is_own(address)


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address within an IPv6 one that leads to it, else the address itself."""
    if address.version == 4:
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_own(address: Address) -> bool:
    """Whether `address` is this machine's: then the kernel would use it as its own address. Nothing
    is sent: connecting a datagram socket only chooses the route, connect(2).
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), PORT))
            return ipaddress.ip_address(probe.getsockname()[0].partition("%")[0]) == address
    except OSError:  # no route there: connecting will say so
        return False
