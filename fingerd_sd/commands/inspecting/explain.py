# SPDX-License-Identifier: MIT
"""`ask --explain`: why a client gets its answer, for the administrator's eyes only."""

from __future__ import annotations

from fingerd_sd.directory.lists import Listing
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.relay import relayed
from fingerd_sd.policy.audience import PLANS, Audience
from fingerd_sd.policy.rules import Client, Policy
from fingerd_sd.protocol.entry import ATOMS, Entry, Person, Text
from fingerd_sd.protocol.hosts import same_name
from fingerd_sd.protocol.query import QueryError, parse


async def explain(policy: Policy, directory: Directory, line: bytes, client: Client) -> list[str]:
    """Return lines with the audience, the client's rate, what each source said of the query `line`,
    and for each atom where it came from or which rule hid it.
    """
    audience = client.audience
    networks = ", ".join(map(str, audience.networks))
    lines = [f'audience: "{audience.name}" ({client.address} is in {networks})', _rate(client)]
    try:
        asked = parse(line)
    except QueryError as error:
        return [*lines, f"query: malformed: {error}"]
    query, alike = policy.without_us(asked, str)
    us = asked.hosts[len(query.hosts) :]
    lines += [f"query: {host} is this server" for host in reversed(us)]
    if not alike:
        lines.append(f"query: {query.hosts[-1]} is this server for clients that connect to it")
    refusal = policy.refusal(query, audience)
    if refusal is not None:
        why = policy.forwarding_denied(query, audience) if query.hosts else "list = false"
        if query.hosts and policy.asks_store(query, audience):
            why = "list = false, which sessions on one host need"
        return [*lines, f"query: refused: {_of(audience)} has {why}"]
    if query.hosts and policy.asks_store(query, audience):
        host = query.hosts[0]
        listing = await directory.who(audience.name, host=same_name(host))
        lines += [
            f"store: {host}, as far as the store knows it",
            *_listing(listing, audience, "on"),
        ]
        if not policy.forwarding_denied(query, audience):
            lines.append(f"forward: to {host}, if the store knows nothing of it")
        return lines
    if query.hosts:
        hosts = ", ".join(audience.forward_hosts)
        return [*lines, f"forward: to {query.hosts[-1]}, allowed by {hosts}: {relayed(query)!r}"]
    if query.is_list:
        listing = await directory.who(audience.name, audience.list == PLANS)
        return [*lines, *_listing(listing, audience, "list")]
    finding = await directory.find(query.user, audience.name)
    lines += [f"source: {step}" for step in finding.steps]
    for entry in finding.entries:
        lines += _atoms(entry, audience)
    if not finding.entries:
        if not (audience.list and audience.match_names):
            key = "match_names" if audience.list else "list"
            lines.append(f"names: not searched: {_of(audience)} has {key} = false")
        else:
            listing = await directory.match(query.user.split(), audience.name)
            lines += _listing(listing, audience, "names")
    return lines


def _rate(client: Client) -> str:
    limit = f"{client.rate} queries a minute" if client.rate else "no limit"
    if client.audience.rate is not None:
        return f"rate: {limit}, from {_of(client.audience)}"
    return f"rate: {limit}, the default {'beyond' if client.rate else 'on'} this machine"


def _listing(listing: Listing, audience: Audience, what: str) -> list[str]:
    """Return which source named whom, and what a query for each of the names says."""
    if not listing.asked:
        return [f"{what}: no source is able to say"]
    lines = [f"{what}: {step}" for step in listing.steps]
    for login, entry in listing.rows:
        lines += [f"{login}: {line}" for line in _atoms(entry, audience)]
    if listing.cut:
        lines.append(f"{what}: there are more than {len(listing.rows)}; the rest is left out")
    return lines


def _of(audience: Audience) -> str:
    return f'the audience "{audience.name}"'


def _atoms(entry: Entry, audience: Audience) -> list[str]:
    if isinstance(entry, Text):
        return [f"text: {entry.origin or 'the source'}, verbatim"]
    lines = []
    for atom in ATOMS:
        origin = entry.origins.get(atom)
        if _is_missing(entry, atom) and (origin or atom in audience.show):
            why = f"nothing to show: {origin}" if origin else "nothing to show"
        elif atom not in audience.show:
            why = f"hidden: not in show of {_of(audience)}"
        else:
            why = origin or "the source"
        lines.append(f"{atom}: {why}")
    return lines


def _is_missing(person: Person, atom: str) -> bool:
    if atom == "sessions":
        return not person.sessions and person.last_login is None
    return getattr(person, atom) is None
