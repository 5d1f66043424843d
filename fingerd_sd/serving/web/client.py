# SPDX-License-Identifier: MIT
"""Who the client is: the peer of a connection, or whom a trusted proxy names in its place.

Sans-I/O: peer and headers come in as texts. The grammar of `Forwarded` (RFC 7239 §4, §6)::

    Forwarded ::= element *( "," element )      element ::= [pair] *( ";" [pair] )
    pair      ::= token "=" ( token | quoted-string )
    node      ::= nodename [ ":" ( 1*5DIGIT | obfuscated ) ]          ; the value of "for"
    nodename  ::= IPv4address | "[" IPv6address "]" | "unknown" | obfuscated
    obfuscated ::= "_" 1*( ALPHA | DIGIT | "." | "_" | "-" )

`X-Forwarded-For` is a list of nodes. It is read liberally, each time for a proxy that exists: an
IPv6 address without brackets (most), an address with its zone, `unix:` (nginx behind a socket).

What is not in the grammar is an `UnclearError`, never a guess: to take the proxy for the client
would give whoever sends rubbish the rights of this machine.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from fingerd_sd.policy.audience import Address, Network

# The client is hidden by a trusted proxy. No client has this address (RFC 1122 §3.2.1.3), so it is
# in no audience but those of everybody, and all who are hidden share one rate.
HIDDEN = "0.0.0.0"

MAX_TOLD = 4096  # characters of all values of a header: some thirty proxies

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # a token of RFC 9110 §5.6.2
_PAIR = re.compile(  # the value may hold ":" and brackets without quotes, as many proxies send it
    rf"[ \t]*+(?:({_WORD})=(?:((?:{_WORD}|[:\[\]])++)"
    r'|"((?:[\t !#-\[\]-~]|\\[\t -~])*+)")[ \t]*+)?([;,]|\Z)'
)
_NODE = re.compile(
    r"(?:\[([0-9A-Fa-f:.]{2,45}+)(?:%[0-9A-Za-z._~-]{1,32}+)?\]|([0-9.]{7,15}+)|(unknown|unix|_[0-9A-Za-z._-]++))"
    r"(?::(?:[0-9]{1,5}+|_[0-9A-Za-z._-]++)?)?",
    re.IGNORECASE,
)


class UnclearError(ValueError):
    """A trusted proxy's headers do not say who the client is; the text says why."""


class Proxies:
    """The peers whose word counts: those in `networks`, and all on AF_UNIX sockets."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)

    def trust(self, peer: str) -> bool:
        """Whether `peer`, an IP address as text, is one of them; "": it is on an AF_UNIX socket."""
        return not peer or bool(self._networks and self._holds(_address(peer.partition("%")[0])))

    def client(self, peer: str, forwarded: Sequence[str], others: Sequence[str]) -> str:
        """Return the client's address as text; "": a client on an AF_UNIX socket; HIDDEN: the proxy
        does not tell. `peer`: as of `trust`, which has said yes. `forwarded`: the values of
        `Forwarded`, in order; `others`: those of `X-Forwarded-For`.

        It is the right-most that is no trusted proxy: what is left of it anybody can have written.
        A proxy that names nobody is the client. Raises UnclearError.
        """
        said = set()
        if forwarded:
            said.add(self._client(list(_forwarded(_joined(forwarded)))))
        if others:
            said.add(self._client([node.strip(" \t") for node in _joined(others).split(",")]))
        if len(said) > 1:
            raise UnclearError("Forwarded and X-Forwarded-For name different clients")
        return said.pop() if said else peer

    def forget(self) -> None:
        """Drop what is remembered of addresses: memory is short."""
        _address.cache_clear()

    def _client(self, nodes: Sequence[str]) -> str:
        address: Address | None = None
        for node in reversed(nodes):
            if not node:  # an empty element of a list: RFC 9110 §5.6.1
                continue
            address = _named(node)
            if address is None or not self._holds(address):
                break
        else:
            if address is None:
                raise UnclearError("names nobody")
        return HIDDEN if address is None else str(address)

    def _holds(self, address: Address) -> bool:
        return any(address.version == net.version and address in net for net in self._networks)


def _joined(values: Sequence[str]) -> str:
    """Return the values of a header as one: RFC 9110 §5.3. Raises UnclearError."""
    value = ",".join(values)
    if len(value) > MAX_TOLD:
        raise UnclearError("names too many")
    return value


def _forwarded(value: str) -> Iterator[str]:
    """Yield the "for" of each element of a `Forwarded`; "_" where an element has none."""
    at, node = 0, ""
    any_pair = False
    while True:
        pair = _PAIR.match(value, at)
        if pair is None:
            raise UnclearError("Forwarded is not as in RFC 7239")
        name, token, quoted, end = pair.groups()
        if name is not None:
            any_pair = True
            if name.lower() == "for":
                if node:
                    raise UnclearError("Forwarded has two clients in one element")
                node = token or re.sub(r"\\(.)", r"\1", quoted)
                if not node:
                    raise UnclearError("Forwarded has an empty client")
        if end != ";":
            yield node or ("_hidden" if any_pair else "")
            node, any_pair = "", False
        if not end:
            return
        at = pair.end()


def _named(node: str) -> Address | None:
    """Return the address that a node has; None: it is hidden. Raises UnclearError."""
    match = _NODE.fullmatch(node)
    if match is None:
        return _address(node.partition("%")[0])
    if match[3]:
        return None
    return _address(match[1] or match[2])


@lru_cache(1024)
def _address(text: str) -> Address:
    """Return an IP address, IPv4 if it is IPv4-mapped. Raises UnclearError."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise UnclearError("a client that is no address") from None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return mapped or address
