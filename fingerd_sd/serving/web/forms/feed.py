# SPDX-License-Identifier: MIT
"""The form Atom (RFC 4287): the plans that were published, as a feed.

Sans-I/O. The id of an entry follows from whose plan it is and from its text. So a plan that is
published again, beside a new status for example, is no news, and another plan is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from fingerd_sd.protocol.entry import Person
from fingerd_sd.serving.web.forms.linking import linked
from fingerd_sd.serving.web.forms.times import rfc3339_at
from fingerd_sd.serving.web.forms.values import Place, Row, first_line, path_of

_XMLNS = "http://www.w3.org/2005/Atom"
_ID_LENGTH = 32  # hexadecimal digits: two plans with one would be a wonder


def plans(rows: Sequence[Row], at: Place) -> bytes:
    """Return the feed of the plans of `rows`, newest first. Who has none is left out."""
    feed = Element("feed", {"xmlns": _XMLNS, "xml:lang": ""})
    _text(feed, "id", f"{at.base}/feed.atom")
    _text(feed, "title", f"Plans at {at.domain}")
    _text(feed, "updated", rfc3339_at(max((row.at or 0 for row in rows), default=0)))
    SubElement(feed, "link", rel="self", type="application/atom+xml", href=f"{at.base}/feed.atom")
    SubElement(feed, "link", rel="alternate", type="text/html", href=f"{at.base}/")
    for row in rows:
        if isinstance(row.entry, Person) and row.entry.plan:
            _entry(feed, row, row.entry.plan, at)
    octets: bytes = tostring(feed, encoding="utf-8", xml_declaration=True)
    return octets + b"\n"


def _entry(feed: Element, row: Row, plan: str, at: Place) -> None:
    page = f"{at.base}/{path_of(row.login)}"
    named = row.entry.name if isinstance(row.entry, Person) else None
    when = rfc3339_at(row.at or 0)
    entry = SubElement(feed, "entry")
    _text(entry, "id", f"{page}#{hashlib.sha256(plan.encode()).hexdigest()[:_ID_LENGTH]}")
    _text(entry, "title", first_line(row.entry) or row.login)
    _text(entry, "updated", when)
    SubElement(entry, "link", rel="alternate", type="text/html", href=page)
    author = SubElement(entry, "author")
    _text(author, "name", named or row.login)
    _text(author, "uri", page)
    # A reader would join the lines of a plain text.
    _text(entry, "content", f"<pre>{linked(plan)}</pre>").set("type", "html")


def _text(parent: Element, name: str, text: str) -> Element:
    child = SubElement(parent, name)
    child.text = text
    return child
