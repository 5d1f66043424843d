# SPDX-License-Identifier: MIT
"""What is shown, as octets: a page, JSON, a vCard, a feed.

Sans-I/O. A Person here has been through protocol/shown.py. The form "text" is not made here: it is
the answer of finger, with LF for CRLF. Each form is imported at its first use.
"""

from collections.abc import Sequence

from fingerd_sd.protocol.entry import Entry
from fingerd_sd.serving.web.forms.values import TYPES, Form, Kind, Place, Row

__all__ = ["TYPES", "Form", "Kind", "Place", "Row", "people", "person", "sentence"]


def person(form: Form, login: str, entry: Entry, at: Place) -> bytes:
    """Return one user in `form`: "html", "json" or "vcard". `login`: as Row has it."""
    row = Row(login, entry)
    match form:
        case "json":
            from fingerd_sd.serving.web.forms import data

            return data.person(row, at)
    raise NotImplementedError(form)


def people(form: Form, rows: Sequence[Row], kind: Kind, at: Place) -> bytes:
    """Return a list in `form`: "html" or "json"; of plans, newest first, also "atom"."""
    match form:
        case "json":
            from fingerd_sd.serving.web.forms import data

            return data.people(rows, kind, at)
    raise NotImplementedError(form)


def sentence(form: Form, status: int, text: str, at: Place) -> bytes:
    """Return an answer that is no user and no list, as one sentence. `status`: HTTP's. A form that
    has no place for that gets the text alone: see `spoken`.
    """
    match form:
        case "json":
            from fingerd_sd.serving.web.forms import data

            return data.sentence(status, text)
    return f"{text}\n".encode()


def spoken(form: Form) -> Form:
    """Return the form of a sentence to who asks for `form`: "text" for a vCard and a feed."""
    return form if form in ("html", "json") else "text"
