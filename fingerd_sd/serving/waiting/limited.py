# SPDX-License-Identifier: MIT
"""The log of limited clients: policy/notices.py with a timer and the journal's fields."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from fingerd_sd.directory.answer import LIMIT
from fingerd_sd.policy.notices import Notice, Notices
from fingerd_sd.policy.rules import Client

log = logging.getLogger(__name__)


class LimitedLog:
    """Logs limited clients, each at most once a minute. `loop`: whose time it goes by."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._notices = Notices()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def clients(self) -> int:
        """How many were limited in the last minute; see Notices."""
        return self._notices.clients

    def count(self, client: Client) -> None:
        """Count a limited query of `client`, and log it if it is the first for a while."""
        notice = self._notices.count(client, self._loop.time())
        if notice is not None:
            self._tell([notice])

    def rest(self) -> None:
        """Log what has not been logged yet, and forget everything."""
        self._tell(self._notices.rest())

    def _due(self) -> None:
        self._timer = None
        self._tell(self._notices.due(self._loop.time()))

    def _tell(self, notices: Iterable[Notice]) -> None:
        """Log `notices`, and set a timer for the next."""
        for notice in notices:
            fields = {
                "FINGER_CLIENT": notice.client,
                "FINGER_AUDIENCE": notice.audience,
                "FINGER_RESULT": LIMIT,
                "FINGER_COUNT": str(notice.queries),
            }
            log.warning("%s", notice, extra={"event": "LIMITED", "fields": fields})
        due_at = self._notices.due_at
        if self._timer is None and due_at is not None:
            self._timer = self._loop.call_at(due_at, self._due)
