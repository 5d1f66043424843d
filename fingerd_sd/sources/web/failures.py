# SPDX-License-Identifier: MIT
"""What may go wrong with a page, and how long to leave the page, or the whole site, alone after
that.

Sans-I/O: the time comes in as an argument. One user's broken page must not take other pages away,
and a site that is down must not get every query: so pages and site are counted apart.
"""

from __future__ import annotations

from fingerd_sd.directory.source import SourceError

FIRST = 1.0  # seconds after the first failure; doubled after each more
LONGEST = 300.0  # seconds: a site that is back is noticed within five minutes
UNLUCKY = 3  # so many pages failing one after the other, with no good one between: the site fails


class PageError(SourceError):
    """This page cannot be used; others may well be."""


class SiteError(SourceError):
    """The site cannot be reached, or says that all of it is unwell."""


class BackOff:
    """When to ask again after `failures` in a row. `until`: monotonic seconds, 0 for at once."""

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0

    def failed(self, now: float) -> float:
        """Count a failure at `now`; return the seconds to leave it alone."""
        wait = min(LONGEST, FIRST * (1 << min(self.failures, 16)))
        self.failures += 1
        self.until = now + wait
        return wait


class Site:
    """The health of a site. `since`: monotonic seconds of the failure that it is failing since, or
    None. `why`: what went wrong last.
    """

    def __init__(self) -> None:
        self.since: float | None = None
        self.why = ""
        self.back_off = BackOff()
        self.probing = False
        self._unlucky: set[str] = set()

    def may_ask(self, now: float) -> bool:
        """Whether a page may be asked for at `now`. A failing site is asked for one page at a time,
        and only when its time has come.
        """
        return self.since is None or (now >= self.back_off.until and not self.probing)

    def well(self) -> bool:
        """Count a page, or an answer that there is none; return whether the site was failing."""
        was_failing = self.since is not None
        self.since = None
        self.back_off = BackOff()
        self._unlucky.clear()
        return was_failing

    def failed(self, name: str, error: SourceError, now: float) -> bool:
        """Count the failure `error` of the page of `name`; return whether the site is now failing
        and was not before.
        """
        if self.since is None and not isinstance(error, SiteError):
            self._unlucky.add(name)
            if len(self._unlucky) < UNLUCKY:
                return False
        began = self.since is None
        self.since = now if self.since is None else self.since
        self.why = str(error)
        if now >= self.back_off.until:  # of requests under way together, the first counts
            self.back_off.failed(now)
        return began
