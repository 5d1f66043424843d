# SPDX-License-Identifier: MIT
"""The policy: which audience a client is in, what it is refused, and whether it asks too often.

Sans-I/O: the client's address and the time come in as arguments.
"""

import ipaddress
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from fingerd_sd.policy.audience import SESSIONS, Address, Audience
from fingerd_sd.policy.rates import Buckets
from fingerd_sd.protocol.hosts import MAX_HOSTS, denied, literal, same_name
from fingerd_sd.protocol.query import Query
from fingerd_sd.protocol.reply import FORWARDING_DENIED, LIST_DENIED

LOCAL = "127.0.0.1"  # what a client on an AF_UNIX socket counts as: it is on this machine
MAX_CLIENTS = 4096  # clients whose audience is remembered, about 300 octets each
IPV6_CLIENT = 64  # bits: one subscriber has at least a /64 (RFC 6177), so one /64 is one client

# Returns the address that a client has connected to, as text; "" if there is none or it has no IP.
Here: TypeAlias = Callable[[], str]


class Client(NamedTuple):
    """A client. `address`: as text, IPv4 if it is IPv4-mapped; "local" on AF_UNIX. `logged`: what
    the journal may have of the address. `key`: what counts as one client: the IPv4 address, or the
    IPv6 /64. `rate`: queries that the client may ask a minute, 0 for no limit.
    """

    address: str
    logged: str
    key: str
    audience: Audience
    rate: int


class Policy:
    """The administrator's rules. `audiences`: the first whose networks hold the client wins.
    `log_client`: what the journal gets of an address: full, prefix or none. `names`: what this
    server is called, beside the address that a client has connected to; none: not even that.
    `hosts`: those of whose sessions a store tells, by what they are called there; None: of none,
    and those that an audience may forward to are only forwarded to.
    """

    def __init__(
        self,
        audiences: Sequence[Audience],
        log_client: str = "full",
        names: Sequence[str] = (),
        hosts: Sequence[str] | None = None,
    ) -> None:
        self._audiences = (*audiences, Audience())
        self.matching = frozenset(one.name for one in audiences if one.matches)
        self._log_client = log_client
        self._names = frozenset(literal(name) or same_name(name) for name in names)
        self._stored = hosts is not None
        self._hosts = frozenset(same_name(host) for host in hosts or ())
        self._clients: dict[str, Client] = {}
        self._buckets = Buckets()

    def client(self, peer: str) -> Client:
        """Return the client at `peer`: an IP address as text, with a zone or not; "" is AF_UNIX.

        Raises ValueError if that is no address.
        """
        client = self._clients.get(peer)
        if client is None:
            if len(self._clients) >= MAX_CLIENTS:  # forget the oldest
                del self._clients[next(iter(self._clients))]
            client = self._clients[peer] = self._identify(peer)
        return client

    def forget_clients(self) -> None:
        """Identify each client anew when it asks again. Its rate is not forgotten."""
        self._clients.clear()

    def _identify(self, peer: str) -> Client:
        address: Address = ipaddress.ip_address(peer.partition("%")[0] or LOCAL)
        if address.version == 6 and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        key = str(address)
        if address.version == 6:
            key = str(ipaddress.ip_network((address, IPV6_CLIENT), strict=False))
        audience = next(a for a in self._audiences if a.holds(address))
        text = str(address) if peer else "local"
        return Client(
            text, _logged(text, self._log_client), key, audience, audience.rate_of(address)
        )

    def without_us(self, query: Query, here: Here) -> tuple[Query, bool]:
        """Return `query` without the hosts at its right end that are this server: RFC 1288 §2.4
        asks the right-most host for the rest. And whether that is so for all clients: it is not if
        it depends on `here`.
        """
        if not query.hosts:
            return query, True
        left, alike = len(query.hosts), True
        while 0 < left <= MAX_HOSTS and self._names:
            host = query.hosts[left - 1]
            if left == 1 and same_name(host) in self._hosts:
                break  # of several that are all here in the store, it is that one alone
            address = literal(host)
            if (address or same_name(host)) not in self._names:
                alike = alike and not address
                if not address or address != literal(here()):
                    break
            left -= 1
        return query._replace(hosts=query.hosts[:left]), alike

    def refusal(self, query: Query, audience: Audience) -> str | None:
        """Return the refusal of `query`, or None if it may be answered. RFC 1288 §3.2.1 and
        §3.2.2: a refusal is an answer of its own, with a text.
        """
        if query.hosts and self.asks_store(query, audience):
            return None if audience.list == SESSIONS else LIST_DENIED
        if query.hosts and self.forwarding_denied(query, audience):
            return FORWARDING_DENIED
        if query.is_list and not audience.list:
            return LIST_DENIED
        return None

    def asks_store(self, query: Query, audience: Audience) -> bool:
        """Whether `query` asks for the sessions on one host, of which the store may know: one of
        `hosts`, or one that an `audience` that may list may forward to.
        """
        if not self._stored or len(query.hosts) != 1:
            return False
        if same_name(query.hosts[0]) in self._hosts:
            return True
        return audience.list == SESSIONS and not self.forwarding_denied(query, audience)

    def forwarding_denied(self, query: Query, audience: Audience) -> str:
        """Return why `query`, a {Q2}, is not relayed; "" if it is. For `ask --explain`."""
        if not audience.forward:
            return "forward = false"
        return denied(query.hosts, audience.forward_hosts)

    def admit(self, client: Client, now: float) -> bool:
        """Whether `client` may ask once more at `now`, in monotonic seconds, and count it.

        A token bucket holds a minute's queries and is refilled evenly. RFC 1288 §3.2 leaves limits
        to the administrator. Memory is bounded: the client that has been quiet longest is
        forgotten.
        """
        if not client.rate:
            return True
        return self._buckets.take((client.audience.name, client.key), client.rate, now)

    def missed(self, client: Client) -> None:
        """Make the query for which `client` was admitted count MISS_COST times: its answer tells
        nothing about a person, and a client that guesses names gets many such answers.
        """
        if client.rate:
            self._buckets.miss((client.audience.name, client.key), client.rate)


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
