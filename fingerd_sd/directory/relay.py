# SPDX-License-Identifier: MIT
"""The seam to other hosts: who relays a query, and how that fails. RFC 1288 §2.4."""

from __future__ import annotations

from typing import Protocol

from fingerd_sd.protocol.query import Query

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
