# SPDX-License-Identifier: MIT
"""The rare records of the logging module, such as errors and the life of the service, as entries of
the journal.
"""

from __future__ import annotations

import logging

from fingerd_sd.process.log.journal import Journal


class JournalHandler(logging.Handler):
    """Sends the rare records of the logging module to `journal`: errors, the life of the service.

    A record's `event` is a key of MESSAGE_IDS, its `fields` are added, and a traceback follows the
    text.
    """

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Write `record`; logging.Handler.emit."""
        try:
            fields = {
                "LOGGER": record.name,
                "CODE_FILE": record.pathname,
                "CODE_LINE": str(record.lineno),
                "CODE_FUNC": record.funcName or "",
                **getattr(record, "fields", {}),
            }
            event = getattr(record, "event", None)
            self._journal.write(_priority(record.levelno), self.format(record), event, fields)
        except Exception:  # a log that fails must not stop the service
            self.handleError(record)


def _priority(level: int) -> int:
    """Return syslog(3)'s level for one of the logging module."""
    known = ((50, 2), (40, 3), (30, 4), (20, 6))
    return next((priority for threshold, priority in known if level >= threshold), 7)
