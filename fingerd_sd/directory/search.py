# SPDX-License-Identifier: MIT
"""The search for one user: it asks the sources in order, and the first that knows the user answers.
Only if that source says so, what later ones know is shown beneath.

It asks sources that answer at once by plain calls. When the next source must be waited for, the
search stops and says so, and directory/lookup.py waits and goes on. This module needs no event
loop, and does not import asyncio.
"""

import math
from collections.abc import Awaitable, Callable, Iterable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from fingerd_sd.directory.source import Consented, Source, SourceError
from fingerd_sd.protocol.entry import ATOMS, Absent, Entry, Person

if TYPE_CHECKING:
    from fingerd_sd.process.threads import Visit

Said: TypeAlias = Entry | Absent | None  # of one user, by one source


class Finding(NamedTuple):
    """What the directory says of one user. `entries`: empty if no source has the user. `failed`:
    whether, in that case, a source failed that might have the user. `lifetime`: seconds for which
    this may be reused. `steps`: what each source said, for `ask --explain`.
    """

    entries: tuple[Entry, ...] = ()
    source: str = ""
    failed: bool = False
    lifetime: float = 0
    steps: tuple[str, ...] = ()


class Asked(NamedTuple):
    """A source, the audiences that may ask it (none means all), and how it answers at once; None:
    it must be waited for. `visit`: how it is asked in a thread; None: it is asked otherwise.
    """

    source: Source
    audiences: frozenset[str]
    find_now: Callable[[str], Said] | None
    visit: "Callable[[str, bool], Visit[Any]] | None" = None


class Search:
    """The search for `user` in the sources for `audience`. It never raises for a source's fault: it
    logs the fault with its traceback, and asks the next source.

    `next`: the source that must be waited for; pass what it says to `take` or `fail`. None: the
    search is over, and `finding` is its result; before that `finding` means nothing.
    """

    # What most searches never change belongs to the class: to set it takes as long as to look up.
    next: Source | None = None
    finding = Finding()
    _above: tuple[Person, str] | None = None  # with what to show beneath, and its source
    _failed = ""  # the first source that did
    _lifetime = math.inf  # seconds
    _steps: tuple[str, ...] = ()
    _visit: "Callable[[str, bool], Visit[Any]] | None" = None  # of `next`

    def __init__(self, sources: Iterable[Asked], user: str, audience: str) -> None:
        self.user = user
        self._audience = audience
        self._left = iter(sources)
        self._go_on()

    def question(self, source: Source) -> Awaitable[Said]:
        """Return the question to put to `source`, which is `next`."""
        if self._above is not None and isinstance(source, Consented):
            return source.find_consented(self.user)
        return source.find(self.user)

    def visit(self) -> "Visit[Any] | None":
        """Return the same question to `next` as a call in a thread; None: it has no such call."""
        if self._visit is None:
            return None
        return self._visit(self.user, self._above is not None)

    def result(self, more: bool) -> Finding | None:
        """Return `finding`; None: it must be waited for, or nobody was found, and there is `more`
        to look for.
        """
        if self.next is not None or (more and not self.finding.entries):
            return None
        return self.finding

    def take(self, said: Said) -> None:
        """Take what `next` has said, and go on."""
        source, self.next = self.next, None
        if source is not None and not self._took(source, said):
            self._go_on()

    def fail(self, why: str) -> None:
        """Take the failure of `next`, which has been logged, and go on."""
        source, self.next = self.next, None
        if source is not None:
            self._failing(source, why)
            self._go_on()

    def _go_on(self) -> None:
        """Ask the sources that answer at once, up to one that must be waited for."""
        for source, audiences, find_now, visit in self._left:
            if audiences and self._audience not in audiences:
                self._steps += (f'{source.name}: not for the audience "{self._audience}"',)
                continue
            if find_now is None:
                self.next, self._visit = source, visit
                return
            try:
                said = find_now(self.user)
            except Exception as error:  # the source's, whatever it is
                log_failure(source, error)
                self._failing(source, summary(error))
                continue
            if self._took(source, said):
                return
        if self._above is None:
            self._end((), self._failed)
        else:
            self._end((self._above[0],), self._above[1])

    def _took(self, source: Source, said: Said) -> bool:
        """Take what `source` has said; return whether it knows the user."""
        lifetime = getattr(said, "lifetime", None)
        if lifetime is None:
            lifetime = source.lifetime
        self._lifetime = min(self._lifetime, lifetime)
        if said is None or isinstance(said, Absent):
            self._steps += (f"{source.name}: {(said or Absent()).why}",)
            return False
        self._steps += (f"{source.name}: knows the user",)
        if self._above is None and not (isinstance(said, Person) and said.beneath):
            self._end((said,), source.name)
            return True
        return self._laid(source, said)

    def _laid(self, source: Source, said: Entry) -> bool:
        """Lay what is known over what `source` has said; return whether that is all."""
        if not isinstance(said, Person):
            self._steps += (f"{source.name}: left out: a text cannot stand beneath a person",)
            return False
        if self._above is None:
            self._above = said, source.name
            return False
        above, name = self._above
        self._above = _over(above, said), f"{name}, {source.name}"
        if said.beneath:
            return False
        self._end((self._above[0],), self._above[1])
        return True

    def _failing(self, source: Source, why: str) -> None:
        self._steps += (f"{source.name}: failed: {why}",)
        self._failed = self._failed or source.name

    def _end(self, entries: tuple[Entry, ...], source: str) -> None:
        # After a failure on the way, a later query may get another answer: reuse nothing.
        lifetime = 0 if self._failed else self._lifetime
        failed = bool(self._failed) and not entries
        self.finding = Finding(entries, source, failed, lifetime, self._steps)


def _over(above: Person, below: Person) -> Person:
    """Return `below` with the atoms that `above` has."""
    known: dict[str, Any] = {
        atom: value for atom in ATOMS if (value := getattr(above, atom)) is not None
    }
    origins = MappingProxyType({**below.origins, **above.origins})
    links, note = above.links or below.links, above.note or below.note
    return below._replace(**known, links=links, origins=origins, note=note)


def summary(error: BaseException) -> str:
    """Return how a source failed, as a line."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, SourceError):
        return str(error)
    import traceback  # with all that reads Python: only where it is needed

    return "".join(traceback.format_exception_only(error)).strip()


def log_failure(source: Source, error: BaseException) -> None:
    """Log that `source` failed, unless the journal has that. A SourceError has no traceback."""
    if isinstance(error, SourceError) and error.told:
        return
    import logging

    logging.getLogger(__name__).error(
        "Source %s failed: %s",
        source.name,
        summary(error),
        exc_info=None if isinstance(error, SourceError) else error,
        extra={"event": "SOURCE_FAILED", "fields": {"FINGER_SOURCE": source.name}},
    )
