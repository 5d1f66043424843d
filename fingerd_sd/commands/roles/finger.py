# SPDX-License-Identifier: MIT
"""The role finger, made of a configuration: the process behind finger.socket."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

from fingerd_sd.commands.building import METRICS, PROXY, ruip_of
from fingerd_sd.commands.roles.role import Role, Start, watched
from fingerd_sd.commands.settings import Settings, load_from
from fingerd_sd.directory.answer import FOUND, Answer
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.policy.rules import Client
from fingerd_sd.process.log.journal import Journal
from fingerd_sd.protocol.query import parse
from fingerd_sd.serving.finger.server import QueryLog
from fingerd_sd.serving.finger.service import Finger, Setup

if TYPE_CHECKING:
    from fingerd_sd.serving.publishing.tally import Tally


def begin(start: Start) -> Role:
    """Return the role. Raises ConfigError."""
    if any(item.name == METRICS for item in start.passed):
        from fingerd_sd.commands.roles.measuring import measured
        from fingerd_sd.serving.metrics.kept import CountingRuip

        return measured(_role(start, CountingRuip), start)
    return _role(start, Ruip)


def _role(start: Start, kind: type[Ruip]) -> Role:
    """Return the role, which asks a `kind` of Ruip. Raises ConfigError."""
    config, journal, first, passed = start

    def load() -> Setup:
        loaded = load_from(config)
        return _setup(loaded, ruip_of(loaded, kind), journal)

    setup = _setup(first.settings, first.ruip, journal) if first else load()
    taken = first.taken if first else ()
    proxied = [item.socket for item in passed if item.name == PROXY]
    serve = partial(Finger, taken=taken, proxied=proxied, burst=journal.gather)
    return Role(serve, setup, load, _rest)


def _rest() -> None:
    if _tally.cache_info().currsize:
        _tally().rest()


def _setup(loaded: Settings, ruip: Ruip, journal: Journal) -> Setup:
    def query_log(answer: Answer, client: Client, sent: int, usec: int) -> None:
        journal.query(
            (
                answer.query,
                client.logged,
                client.audience.name,
                answer.result,
                answer.source,
                sent,
                usec,
            )
        )

    watched(loaded, "read")
    log_query: QueryLog | None = query_log if loaded.log_queries else None
    if loaded.publish is not None and loaded.publish.who:
        log_query = _counting(_tally(), log_query)
    return Setup(
        ruip,
        loaded.limits,
        log_query,
        loaded.idle_exit,
        loaded.warnings,
    )


def _counting(tally: Tally, log_query: QueryLog | None) -> QueryLog:
    """Return a query log that also counts who was asked for, of those who have published."""

    def count(answer: Answer, client: Client, sent: int, usec: int) -> None:
        if answer.result == FOUND and answer.source.startswith("published"):
            tally.count(parse(answer.query.encode()).user, client.address)
        if log_query is not None:
            log_query(answer, client, sent, usec)

    return count


@cache
def _tally() -> Tally:
    """Return the one tally of this process, however often the configuration is read."""
    from fingerd_sd.serving.publishing.tally import Tally

    return Tally()
