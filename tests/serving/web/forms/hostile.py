# SPDX-License-Identifier: MIT
"""People with anything in their atoms, as hypothesis makes them, and what tries to get out."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from fingerd_sd.protocol.entry import Entry, Link, Login, Mail, Person, Session, Status, Text

from ....helpers.pages import seen

# Pieces of other languages, of line ends, and of addresses.
_PIECES = st.sampled_from(
    [
        *("<script>alert(1)</script>", '"><img src=x onerror=y>', "</pre>", "&lt;", "<!--", "]]>"),
        *("{{ 7 * 7 }}", "{% raw %}", "\r\nBEGIN:VCARD", "\nFN:Eve", "\r", "\n", "\u2028", "\x85"),
        *(";", ",", ":", "\\", "\\n", "^n", '"', "'", "`", '","login":"eve', "</content></entry>"),
        *(
            "http://",
            "https://a.example/(b)?c=<d>&e='f'",
            "javascript:alert(1)",
            "mailto:a@b.example",
        ),
        *(
            "data:text/html,<b>",
            "finger://[::1]/x",
            "\ud800",
            "\x00",
            "\ufffe",
            "\u202e",
            "ä",
            "\U0001f430",
        ),
    ]
)
TEXTS = st.lists(_PIECES | st.text(max_size=20), max_size=8).map("".join)
LOGINS = st.text(max_size=12).map("a{}".format)
# Without zones that have seconds, or days that other zones have not.
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
_MAYBE = st.none() | TEXTS

PERSONS = st.builds(
    Person,
    LOGINS,
    name=_MAYBE,
    directory=_MAYBE,
    shell=_MAYBE,
    office=_MAYBE,
    phone=_MAYBE,
    home_phone=_MAYBE,
    sessions=st.none()
    | st.lists(
        st.builds(Session, TIMES, _MAYBE, _MAYBE, st.none() | st.floats(), st.booleans()),
        max_size=2,
    ).map(tuple),
    last_login=st.none() | st.builds(Login, TIMES, _MAYBE, _MAYBE),
    forward=_MAYBE,
    mail=st.none() | st.builds(Mail, st.none() | TIMES, st.none() | TIMES),
    key=_MAYBE,
    status=st.none() | st.builds(Status, TEXTS, st.none() | TIMES),
    project=_MAYBE,
    plan=_MAYBE,
    links=st.lists(st.builds(Link, TEXTS, TEXTS, TEXTS), max_size=3).map(tuple),
).map(seen)
ENTRIES: st.SearchStrategy[Entry] = PERSONS | st.builds(Text, TEXTS)
