# SPDX-License-Identifier: MIT
"""Audiences: which networks are treated alike, and what the administrator lets them see and do.

Sans-I/O. RFC 1288 §3.2 wants each of these to be the administrator's choice. Without such a choice,
nothing is listed or relayed, nothing is shown beyond a user's name, status, project and plan,
and clients on other machines ask no faster than people do.
"""

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from fingerd_sd.config.table import Table, quoted
from fingerd_sd.protocol.entry import ATOMS
from fingerd_sd.protocol.hosts import check_patterns, same_name
from fingerd_sd.protocol.text import is_printable

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

EVERYONE = "everyone"  # the audience of clients that no other audience holds
DEFAULT_SHOW = ("name", "status", "project", "plan")
EVERYWHERE = ("0.0.0.0/0", "::/0")
SESSIONS, PLANS = "sessions", "plans"  # what may be listed: who is here, who published lately
MAX_RATE = 1_000_000  # queries a minute: beyond what one machine answers
DEFAULT_RATE = 120  # queries a minute from beyond this machine: people are slower, guessers are not


class Audience(NamedTuple):
    """Clients that are treated alike. `rate`: queries a minute from one client, 0 for no limit,
    None if the configuration does not say: see `rate_of`. `list`: SESSIONS, PLANS, or "" for
    neither. `forward_hosts`: which hosts `forward` may relay to, in lower case, "*" for any
    characters.
    """

    name: str = EVERYONE
    networks: tuple[Network, ...] = tuple(map(ipaddress.ip_network, EVERYWHERE))
    show: frozenset[str] = frozenset(DEFAULT_SHOW)
    list: str = ""
    forward: bool = False
    match_names: bool = False
    rate: int | None = None
    forward_hosts: tuple[str, ...] = ()

    @property
    def matches(self) -> bool:
        """Whether full names are searched, too."""
        return self.match_names and bool(self.list)

    def holds(self, address: Address) -> bool:
        """Whether a client at `address` belongs to this audience."""
        return any(address.version == net.version and address in net for net in self.networks)

    def rate_of(self, address: Address) -> int:
        """Return the queries a minute that a client at `address` may ask, 0 for no limit. A
        configured rate holds for all; without one only clients on other machines have a limit.
        """
        if self.rate is not None:
            return self.rate
        return 0 if address.is_loopback else DEFAULT_RATE

    def holds_all(self, other: "Audience") -> bool:
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
        # This audience and the implied one would have one name, and share answers.
        table.wrong("networks", f'"{EVERYONE}" is everyone: give this audience a name of its own')
    audience = Audience(
        name=name,
        networks=tuple(networks),
        show=_read_show(table),
        list=_read_list(table),
        forward=table.boolean("forward", False),
        match_names=table.boolean("match_names", False),
        rate=table.integer("rate", DEFAULT_RATE, 0, MAX_RATE, "queries a minute"),
        forward_hosts=tuple(map(same_name, table.strings("forward_hosts", ()))),
    )
    if table.value("rate") is None:
        audience = audience._replace(rate=None)
    everybody = any(str(net) in EVERYWHERE for net in networks)
    check_patterns(table, audience.forward, audience.forward_hosts, everybody)
    if audience.match_names and not audience.list:
        table.wrong("match_names", "needs list = true: who may not list may not search (RFC 1288)")
    if audience.list == PLANS and "plan" not in audience.show:
        table.wrong("list", '"plans" needs "plan" in show: a list shows no more than an answer')
    table.close()
    return audience


def _mended(text: str) -> str:
    """Return advice if `text` has host bits set, which is the most common mistake."""
    try:
        return f'; did you mean "{ipaddress.ip_network(text, strict=False)}"?'
    except ValueError:
        return ""


def _read_list(table: Table) -> str:
    value = table.value("list")
    if value is None or isinstance(value, bool):
        return SESSIONS if value else ""
    if value in (SESSIONS, PLANS):
        return str(value)
    table.wrong("list", f'expected true, false, "{SESSIONS}" or "{PLANS}", not {quoted(value)}')
    return ""


def _read_show(table: Table) -> frozenset[str]:
    if table.value("show") == "all":
        return frozenset(ATOMS)
    show = table.strings("show", DEFAULT_SHOW)
    for atom in show:
        if atom not in ATOMS:
            table.wrong("show", f'"{atom}" is no atom; known are: {", ".join(ATOMS)}; or "all"')
    return frozenset(show)


def read_audiences(tables: Sequence[Table]) -> tuple[Audience, ...]:
    """Return the audiences of all `[[audience]]` tables, in order; mistakes go to the tables."""
    audiences: list[Audience] = []
    for table in tables:
        audience = read_audience(table)
        before = next((other for other in audiences if other.holds_all(audience)), None)
        if before is not None:
            text = f'nobody is ever in this audience: "{before.name}" before it holds them all'
            table.unwise("networks", text)
        if any(audience.name == other.name for other in audiences):
            table.wrong("name", f'"{audience.name}" stands a second time; names are unique')
        audiences.append(audience)
    return tuple(audiences)
