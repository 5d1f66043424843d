# SPDX-License-Identifier: MIT
"""The answer to one query line: what was found, laid out, and the result for the journal."""

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from fingerd_sd.directory.search import Finding
from fingerd_sd.policy.audience import PLANS, Audience
from fingerd_sd.protocol.entry import Text
from fingerd_sd.protocol.layout.long import long_form
from fingerd_sd.protocol.query import Query, QueryError, parse
from fingerd_sd.protocol.reply import (
    INTERNAL_ERROR,
    LIST_DENIED,
    NO_PLANS,
    NO_SUCH_USER,
    NOBODY,
    encode,
    fixed,
)
from fingerd_sd.protocol.text import CUT_MARK, escaped

if TYPE_CHECKING:
    from fingerd_sd.directory.lists import Listing

# FINGER_RESULT of a query, as the journal and the counts in STATUS= name it.
FOUND, ABSENT, REFUSED, LIMIT, BAD = "found", "absent", "refused", "limited", "malformed"
FAILED, TIMEOUT = "failed", "timeout"
RESULTS = (FOUND, ABSENT, REFUSED, LIMIT, BAD, FAILED, TIMEOUT)
MAX_SHOWN = 2048  # octets of a line that the journal gets: escaped, they fit in one field
MISSES = (ABSENT, REFUSED, BAD)  # these count more against a rate; a hidden user is ABSENT too


class Answer(NamedTuple):
    """The answer to one query line. `octets`: all of it, as sent. `query`: the line, printable, for
    the journal. `steps`: how the answer came about, for `ask --explain`.
    """

    octets: bytes
    result: str
    query: str
    source: str = ""
    steps: tuple[str, ...] = ()


def shown_of(line: bytes) -> str:
    """Return a query line as the journal has it: printable and bounded."""
    return escaped(line[:MAX_SHOWN].rstrip(b"\r\n"))


def about(matching: Collection[str], key: tuple[str, bytes]) -> str | None:
    """Return the one user of whom the answer to `key`, an audience and a query line, tells; None:
    it may tell of several. `matching`: the audiences for which full names are searched.
    """
    audience, line = key
    try:
        query = parse(line)
    except QueryError:
        return None
    return None if query.hosts or audience in matching else query.user or None


def of_user(finding: Finding, audience: Audience, now: float, query: str = "") -> Answer:
    """Return the answer to `audience` about one user. `now`: seconds since the epoch. `query`: as
    of an Answer.
    """
    entries = finding.entries
    if entries:
        one = entries[0] if len(entries) == 1 else None
        # As the long form has a text, which is what most directories have: encode ends it.
        text = one.text if isinstance(one, Text) else long_form(entries, audience.show, now)
        octets, result = encode(text), FOUND
    elif finding.failed:
        octets, result = fixed(INTERNAL_ERROR), FAILED
    else:
        octets, result = fixed(NO_SUCH_USER), ABSENT
    return Answer(octets, result, query, finding.source, finding.steps)


def of_list(listing: "Listing", query: Query, audience: Audience, now: float) -> Answer:
    """Return who is here, or who published lately: RFC 1288 §2.5.1. With /W each of them has the
    long form.
    `now`: seconds since the epoch.
    """
    if not listing.asked:  # no source can tell: to say that nobody is here would be a guess
        text, result = LIST_DENIED, REFUSED
    elif not listing.rows and listing.failed:
        text, result = INTERNAL_ERROR, FAILED
    elif not listing.rows:
        text, result = NO_PLANS if audience.list == PLANS else NOBODY, FOUND
    elif query.whois:
        text, result = _marked(long_form(listing.entries, audience.show, now), listing.cut), FOUND
    elif audience.list == PLANS:
        from fingerd_sd.protocol.layout.plans import plans_form

        text = plans_form(listing.rows, listing.times, audience.show, now)
        text, result = _marked(text, listing.cut), FOUND
    else:
        from fingerd_sd.protocol.layout.short import short_form

        text, result = _marked(short_form(listing.rows, audience.show, now), listing.cut), FOUND
    return Answer(encode(text), result, "", listing.source, listing.steps)


def of_matches(listing: "Listing", finding: Finding, audience: Audience, now: float) -> Answer:
    """Return the users with this full name, since no login has this name: RFC 1288 §2.5.3.
    `finding`: the answer that there is no such login. `now`: seconds since the epoch.
    """
    if listing.rows:
        text = long_form(listing.entries, audience.show, now)
        text, result = _marked(text, listing.cut), FOUND
    elif listing.failed or finding.failed:
        text, result = INTERNAL_ERROR, FAILED
    else:
        text, result = NO_SUCH_USER, ABSENT
    source = listing.source or finding.source
    return Answer(encode(text), result, "", source, finding.steps + listing.steps)


def _marked(text: str, cut: bool) -> str:
    return f"{text}{CUT_MARK}\n" if cut else text
