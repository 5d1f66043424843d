# SPDX-License-Identifier: MIT
"""Queries for another host: of those that a store tells of, what it tells; else the seam to who
relays a query, and how that fails. RFC 1288 §2.4.
"""

from __future__ import annotations

from typing import Protocol

from fingerd_sd.directory.answer import FAILED, FOUND, REFUSED, Answer, of_list, of_user
from fingerd_sd.directory.lists import Listing, ListsHosts
from fingerd_sd.directory.search import Finding
from fingerd_sd.directory.source import Mounted
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.rules import Policy
from fingerd_sd.protocol.entry import Entry, Person
from fingerd_sd.protocol.hosts import same_name
from fingerd_sd.protocol.query import Query
from fingerd_sd.protocol.reply import FORWARDING_DENIED, INTERNAL_ERROR, NOT_KNOWN, encode, fixed

NAME = "forward"  # what the journal has in place of the name of a source


class ForwardError(Exception):
    """The other host gave no answer; the text says why."""


class ForwardDenied(Exception):  # noqa: N818  # a refusal, no error
    """The query may not go to the host's addresses; the text says why."""


class Directory(Protocol):
    """As lookup.Directory, which imports this module."""

    sources: tuple[Mounted, ...]

    async def find(self, user: str, audience: str) -> Finding:
        """Return what is known of `user`."""

    async def who(self, audience: str, by_plans: bool = False, host: str = "") -> Listing:
        """Return who is on `host`."""


class Relay(Protocol):
    """Asks other hosts."""

    async def forward(self, query: Query, patterns: tuple[str, ...]) -> str:
        """Return what the right-most host of `query` answers to the rest of it. `patterns`: the
        audience's, one of which the host matches.

        Raises ForwardError if there is no answer, and ForwardDenied if the host may not be asked.
        """


def relayed(query: Query) -> str:
    """Return the line for the right-most host: the query as received, without that host."""
    words = ["/W"] if query.whois else []
    rest = query.user + "".join(f"@{host}" for host in query.hosts[:-1])
    return " ".join([*words, rest] if rest else words)


async def forwarded(forwarder: Relay | None, query: Query, audience: Audience) -> Answer:
    """Return what the other host answers, made printable; RFC 1288 §2.4, §3.3."""
    if forwarder is None:
        return Answer(fixed(FORWARDING_DENIED), REFUSED, "")
    try:
        text = await forwarder.forward(query, audience.forward_hosts)
    except ForwardDenied as denied:
        return Answer(fixed(FORWARDING_DENIED), REFUSED, "", NAME, (str(denied),))
    except ForwardError as error:
        import logging

        logging.getLogger(__name__).warning(
            "Forwarding failed: %s",
            error,
            extra={"event": "SOURCE_FAILED", "fields": {"FINGER_SOURCE": NAME}},
        )
        return Answer(fixed(INTERNAL_ERROR), FAILED, "", NAME, (str(error),))
    return Answer(encode(text), FOUND, "", NAME, (f"relayed to {query.hosts[-1]}",))


async def elsewhere(
    places: tuple[Policy, Directory, Relay | None], query: Query, audience: Audience, now: float
) -> tuple[Answer, float]:
    """Return the answer to `query` for another host, and the seconds for which it may be reused:
    what a store tells of that host, where it may be asked and knows the host, else what the host
    itself answers. `now`: seconds since the epoch.
    """
    policy, directory, forwarder = places
    if policy.asks_store(query, audience):
        told = await _at_host(directory, query, audience, now)
        if told is not None:
            return told
        if policy.forwarding_denied(query, audience):
            return Answer(fixed(NOT_KNOWN), FAILED, ""), 0
    return await forwarded(forwarder, query, audience), 0


async def _at_host(
    directory: Directory, query: Query, audience: Audience, now: float
) -> tuple[Answer, float] | None:
    """Return what is known here of the one host of `query`: who is on it, or a user with the
    sessions there alone, and the seconds for which that may be reused. None: no source knows
    anything of that host. `now`: seconds since the epoch.
    """
    host = same_name(query.hosts[0])
    if not await _is_known(directory, host, audience.name):
        return None
    alone = query._replace(hosts=())
    if query.user:
        finding = await directory.find(query.user, audience.name)
        entries = tuple(_only_at(host, entry) for entry in finding.entries)
        return of_user(finding._replace(entries=entries), audience, now), finding.lifetime
    listing = await directory.who(audience.name, host=host)
    rows = tuple((login, _only_at(host, entry)) for login, entry in listing.rows)
    rows = tuple((login, entry) for login, entry in rows if _is_on(entry))
    return of_list(listing._replace(rows=rows), alone, audience, now), listing.lifetime


async def _is_known(directory: Directory, host: str, audience: str) -> bool:
    from fingerd_sd.directory.waiting.sources import Failed, answer_of

    for source, only_for in directory.sources:
        if isinstance(source, ListsHosts) and (not only_for or audience in only_for):
            try:
                if await answer_of(source, source.who_at(host)) is not None:
                    return True
            except Failed:
                continue
    return False


def _only_at(host: str, entry: Entry) -> Entry:
    """Return `entry` as if there were no other host than `host`."""
    if not isinstance(entry, Person):
        return entry
    sessions = entry.sessions
    if sessions is not None:
        sessions = tuple(one for one in sessions if same_name(one.machine or "") == host)
    last = entry.last_login
    if last is not None and same_name(last.machine or "") != host:
        last = None
    return entry._replace(sessions=sessions, last_login=last)


def _is_on(entry: Entry) -> bool:
    return not isinstance(entry, Person) or entry.sessions != ()
