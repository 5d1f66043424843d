# SPDX-License-Identifier: MIT
"""Who may ask what: audiences by network, refusals, rates.

Sans-I/O: the client's address and the time come in as arguments. RFC 1288 §3.2 wants each of these
to be the administrator's choice; without one, nothing is listed, relayed or shown beyond a user's
name, project and plan.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from fingerd_sd.config import Table
from fingerd_sd.entry import ATOMS
from fingerd_sd.hosts import check_patterns, denied, same_name
from fingerd_sd.query import Query
from fingerd_sd.reply import FORWARDING_DENIED, LIST_DENIED
from fingerd_sd.text import is_printable

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

EVERYONE = "everyone"  # the audience of those whom no other holds
DEFAULT_SHOW = ("name", "project", "plan")
EVERYWHERE = ("0.0.0.0/0", "::/0")
LOCAL = "127.0.0.1"  # what a client on an AF_UNIX socket counts as: it is on this machine
MAX_RATE = 1_000_000  # queries a minute: beyond what one machine answers
MAX_CLIENTS = 4096  # clients whose audience is remembered, about 300 octets each
MAX_BUCKETS = 65536  # clients whose rate is remembered, about 260 octets each
MISS_COST = 4  # queries that one counts as whose answer tells nothing about a person
IPV6_CLIENT = 64  # bits: one subscriber has at least a /64 (RFC 6177), so one /64 is one client


class Audience(NamedTuple):
    """Those who are treated alike. `rate`: queries a minute from one client, 0 for no limit.
    `forward_hosts`: which hosts `forward` may relay to, in lower case, "*" for any characters.
    """

    name: str = EVERYONE
    networks: tuple[Network, ...] = tuple(map(ipaddress.ip_network, EVERYWHERE))
    show: frozenset[str] = frozenset(DEFAULT_SHOW)
    list: bool = False
    forward: bool = False
    match_names: bool = False
    rate: int = 0
    forward_hosts: tuple[str, ...] = ()

    def holds(self, address: Address) -> bool:
        """Whether a client at `address` belongs to this audience."""
        return any(address.version == net.version and address in net for net in self.networks)

    def holds_all(self, other: Audience) -> bool:
        """Whether every network of `other` lies in one of this audience's."""
        return all(any(_lies_in(net, mine) for mine in self.networks) for net in other.networks)


def _lies_in(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def read_audience(table: Table) -> Audience:
    """Return the audience that an `[[audience]]` table describes; mistakes go to the table."""
    networks = []
    for text in table.strings("networks", EVERYWHERE):
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError:
            table.wrong(
                "networks",
                f'expected networks such as "192.0.2.0/24" or "2001:db8::/32", not "{text}"'
                f"{_mended(text)}",
            )
    name = table.text("name", EVERYONE)
    if not name or not is_printable(name):
        table.wrong("name", "expected a name of printable characters: it goes into the journal")
    if name == EVERYONE and set(networks) != set(Audience().networks):
        # Two audiences of one name, this and the implied one, would share answers.
        table.wrong("networks", f'"{EVERYONE}" is everyone: give this audience a name of its own')
    audience = Audience(
        name=name,
        networks=tuple(networks),
        show=_read_show(table),
        list=table.boolean("list", False),
        forward=table.boolean("forward", False),
        match_names=table.boolean("match_names", False),
        rate=table.integer("rate", 0, 0, MAX_RATE, "queries a minute"),
        forward_hosts=tuple(map(same_name, table.strings("forward_hosts", ()))),
    )
    everybody = any(str(net) in EVERYWHERE for net in networks)
    check_patterns(table, audience.forward, audience.forward_hosts, everybody)
    if audience.match_names and not audience.list:
        table.wrong("match_names", "needs list = true: who may not list may not search (RFC 1288)")
    table.close()
    return audience


def _mended(text: str) -> str:
    """Return advice where `text` has host bits set, the most common mistake."""
    try:
        return f'; did you mean "{ipaddress.ip_network(text, strict=False)}"?'
    except ValueError:
        return ""


def _read_show(table: Table) -> frozenset[str]:
    if table.value("show") == "all":
        return frozenset(ATOMS)
    show = table.strings("show", DEFAULT_SHOW)
    for atom in show:
        if atom not in ATOMS:
            table.wrong("show", f'"{atom}" is no atom; known are: {", ".join(ATOMS)}; or "all"')
    return frozenset(show)


class Client(NamedTuple):
    """One who asks. `address`: as text, IPv4 where it is IPv4-mapped; "local" on AF_UNIX.
    `logged`: what the journal may have of it. `key`: what limits for one client count: the IPv4
    address, or the IPv6 /64.
    """

    address: str
    logged: str
    key: str
    audience: Audience


class Policy:
    """The administrator's rules. `audiences`: the first whose networks hold the client wins.
    `log_client`: what the journal gets of an address: full, prefix or none.
    """

    def __init__(self, audiences: Sequence[Audience], log_client: str = "full") -> None:
        self._audiences = (*audiences, Audience())
        self._log_client = log_client
        self._clients: dict[str, Client] = {}
        # A plain dict takes ever longer to find its first key where first keys are what is deleted.
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()

    def client(self, peer: str) -> Client:
        """Return the client at `peer`: an IP address as text, with a zone or not; "" is AF_UNIX.

        Raises ValueError where that is no address.
        """
        client = self._clients.get(peer)
        if client is None:
            if len(self._clients) >= MAX_CLIENTS:  # forget the one that came first
                del self._clients[next(iter(self._clients))]
            client = self._clients[peer] = self._identify(peer)
        return client

    def _identify(self, peer: str) -> Client:
        address: Address = ipaddress.ip_address(peer.partition("%")[0] or LOCAL)
        if address.version == 6 and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        key = str(address)
        if address.version == 6:
            key = str(ipaddress.ip_network((address, IPV6_CLIENT), strict=False))
        audience = next(a for a in self._audiences if a.holds(address))
        text = str(address) if peer else "local"
        return Client(text, _logged(text, self._log_client), key, audience)

    def refusal(self, query: Query, audience: Audience) -> str | None:
        """Return the refusal of `query`, or None where it may be answered. RFC 1288 §3.2.1 and
        §3.2.2: refusing is an answer of its own, and has a text.
        """
        if query.hosts and self.forwarding_denied(query, audience):
            return FORWARDING_DENIED
        if query.is_list and not audience.list:
            return LIST_DENIED
        return None

    def forwarding_denied(self, query: Query, audience: Audience) -> str:
        """Return why `query`, a {Q2}, is not relayed; "" where it is. For `ask --explain`."""
        if not audience.forward:
            return "forward = false"
        return denied(query.hosts, audience.forward_hosts)

    def admit(self, client: Client, now: float) -> bool:
        """Whether `client` may ask once more at `now`, in monotonic seconds, and count it.

        A token bucket holds a minute's queries and is refilled evenly. RFC 1288 §3.2 leaves limits
        to the administrator; memory is bounded, and who has been quiet longest is forgotten.
        """
        rate = client.audience.rate
        if not rate:
            return True
        key = (client.audience.name, client.key)
        bucket = self._buckets.get(key)
        if bucket is not None:
            self._buckets.move_to_end(key)  # the order is that of the last query
        else:
            if len(self._buckets) >= MAX_BUCKETS:
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = _Bucket(rate, now)
        return bucket.take(rate, now)

    def missed(self, client: Client) -> None:
        """Have the query that `client` was admitted for count MISS_COST times: its answer tells
        nothing about a person, and who guesses names gets many of those.

        No time comes in, so that a look-up that took longer costs no more and no less. The debt is
        bounded to that of a full bucket spent on misses at once; it is paid in three minutes.
        """
        rate = client.audience.rate
        bucket = self._buckets.get((client.audience.name, client.key)) if rate else None
        if bucket is not None:
            bucket.tokens = max(bucket.tokens - (MISS_COST - 1), -(MISS_COST - 1) * rate)


class _Bucket:
    __slots__ = ("at", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at  # monotonic seconds

    def take(self, rate: int, now: float) -> bool:
        self.tokens = min(rate, self.tokens + (now - self.at) * rate / 60)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def _logged(address: str, how: str) -> str:
    """Return what the journal gets of a client's address. `how`: full; prefix, its network of /24
    or /48; none, nothing. A client on an AF_UNIX socket is "local" in all but none.
    """
    if how == "none":
        return "-"
    if how == "full" or address == "local":
        return address
    bits = 48 if ":" in address else 24
    return str(ipaddress.ip_network(f"{address}/{bits}", strict=False))
