# SPDX-License-Identifier: MIT
"""The seam to other hosts: who relays a query, and how that fails. RFC 1288 §2.4."""

from __future__ import annotations

from typing import Protocol

from fingerd_sd.directory.answer import FAILED, FOUND, REFUSED, Answer
from fingerd_sd.policy.audience import Audience
from fingerd_sd.protocol.query import Query
from fingerd_sd.protocol.reply import FORWARDING_DENIED, INTERNAL_ERROR, encode, fixed

NAME = "forward"  # what the journal has in place of the name of a source


class ForwardError(Exception):
    """The other host gave no answer; the text says why."""


class ForwardDenied(Exception):  # noqa: N818  # a refusal, no error
    """The query may not go to the host's addresses; the text says why."""


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
