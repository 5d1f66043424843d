# SPDX-License-Identifier: MIT
"""What is shown, as octets: a page, JSON, a vCard, a feed.

Sans-I/O. A Person here has been through protocol/shown.py. The form "text" is not made here: it is
the answer of finger, with LF for CRLF. Each form is imported at its first use.
"""

from collections.abc import Sequence

from fingerd_sd.protocol.entry import Entry
from fingerd_sd.serving.web.forms.values import TYPES, Form, Kind, Place, Row

__all__ = [
    "TYPES",
    "Form",
    "Kind",
    "Place",
    "Row",
    "people",
    "person",
    "sentence",
    "spoken",
    "style",
]


def person(form: Form, login: str, entry: Entry, at: Place, listed: bool = False) -> bytes:
    """Return one user in `form`: "html", "json" or "vcard". `login`: as in a Row. `listed`: whether
    who asks may have the list, so that a page leads to it.
    """
    row = Row(login, entry)
    match form:
        case "html":
            from fingerd_sd.serving.web.forms import page

            return page.person(row, at, listed)
        case "json":
            from fingerd_sd.serving.web.forms import data

            return data.person(row, at)
        case "vcard":
            from fingerd_sd.serving.web.forms import vcard

            return vcard.person(row, at)
    raise ValueError(f"no such form of one user: {form}")


def people(form: Form, rows: Sequence[Row], kind: Kind, at: Place, cut: bool = False) -> bytes:
    """Return a list in `form`: "html" or "json"; of plans, newest first, also "atom". `cut`:
    whether there are more.
    """
    match form:
        case "html":
            from fingerd_sd.serving.web.forms import page

            return page.people(rows, kind, at, cut)
        case "json":
            from fingerd_sd.serving.web.forms import data

            return data.people(rows, kind, at, cut)
        case "atom":
            from fingerd_sd.serving.web.forms import feed

            return feed.plans(rows, at)
    raise ValueError(f"no such form of a list: {form}")


def sentence(form: Form, status: int, text: str, at: Place) -> bytes:
    """Return an answer that is no user and no list, as one sentence. `status`: HTTP's. A form that
    has no place for that gets the text alone: see `spoken`.
    """
    match form:
        case "html":
            from fingerd_sd.serving.web.forms import page

            return page.sentence(text, at)
        case "json":
            from fingerd_sd.serving.web.forms import data

            return data.sentence(status, text)
    return f"{text}\n".encode()


def spoken(form: Form) -> Form:
    """Return the form of a sentence to who asks for `form`: "text" for a vCard and a feed."""
    return form if form in ("html", "json") else "text"


def style() -> tuple[bytes, str]:
    """Return the stylesheet of the pages, and its version, which is the query of its address."""
    from fingerd_sd.serving.web.forms import page

    return page.STYLE, page.VERSION
