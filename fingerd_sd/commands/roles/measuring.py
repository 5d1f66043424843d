# SPDX-License-Identifier: MIT
"""The role finger with metrics beside it: what is counted where, and what the metrics look at.

Only where the socket of the metrics was passed is this imported.
"""

from __future__ import annotations

import asyncio
import logging

from fingerd_sd.commands.building import METRICS
from fingerd_sd.commands.roles.role import Role, Start
from fingerd_sd.directory.answer import Answer
from fingerd_sd.policy.rules import Client
from fingerd_sd.process.log.journal import Journal
from fingerd_sd.serving.finger.server import QueryLog
from fingerd_sd.serving.finger.service import Finger, Setup
from fingerd_sd.serving.metrics.counts import Counts, Failures, Figures
from fingerd_sd.serving.metrics.kept import CountingRuip
from fingerd_sd.serving.metrics.service import Beside

__all__ = ["CountingRuip", "measured"]


def measured(role: Role, start: Start) -> Role:
    """Return the role finger with metrics, on those of the passed sockets that are for them."""
    counts = Counts()
    own = [item.socket for item in start.passed if item.name == METRICS]
    logging.getLogger().addHandler(Failures(counts))

    def serve(loop: asyncio.AbstractEventLoop, setup: Setup) -> Beside[Setup]:
        finger: Finger = role.serve(loop, setup)
        finger.watch_limited(counts.refuse)
        return Beside(loop, finger, own, lambda: _figures(finger, counts, start.journal))

    load = counts.reading(lambda: _counting(counts, role.load()))
    return Role(serve, _counting(counts, role.setup), load, role.rest)


def _counting(counts: Counts, setup: Setup) -> Setup:
    """Return `setup` with a query log that counts, too."""
    count_query = counts.query
    log_query: QueryLog | None = setup.query_log

    def count(answer: Answer, client: Client, sent: int, usec: int) -> None:
        count_query(answer, client, usec)
        if log_query is not None:
            log_query(answer, client, sent, usec)

    return setup._replace(query_log=count)


def _figures(finger: Finger, counts: Counts, journal: Journal) -> Figures:
    """Return what the metrics show now."""
    accepted, is_open, most, paused, ruip, limited = finger.state
    kept, hits = (0, 0), 0
    if isinstance(ruip, CountingRuip):
        kept, hits = ruip.kept, ruip.hits
    troubles = {
        mounted.source.name: str(getattr(mounted.source, "trouble", ""))
        for mounted in ruip.directory.sources
    }
    return Figures(
        counts, accepted, is_open, most, paused, kept, hits, troubles, limited, journal.dropped
    )
