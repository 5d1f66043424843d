# SPDX-License-Identifier: MIT
"""What goes out: the fixed answers of this server, and any text as octets.

Sans-I/O. This is the only module that enforces RFC 1288 §2.2 (every line ends in CRLF) and §3.3 (no
control characters).
"""

from __future__ import annotations

from functools import cache

from fingerd_sd.protocol.text import printable

NO_SUCH_USER = "No such user"
NOBODY = "No one logged on."
NO_PLANS = "No one has published a plan."
LIST_DENIED = "Finger online user list denied"
NOT_KNOWN = "Nothing is known of that host now"
FORWARDING_DENIED = "Finger forwarding service denied"
INTERNAL_ERROR = "Internal error in server"
MALFORMED = "Malformed query"
LIMITED = "Too many queries, try again later"


def encode(text: str) -> bytes:
    """Return `text` as it goes out: printable, in UTF-8, with CRLF at the end of every line."""
    shown = printable(text)
    if not shown.endswith("\n"):
        shown += "\n"
    # A source may hold lone surrogates (JSON, file names); printable() has replaced them by now.
    return shown.replace("\n", "\r\n").encode("utf-8")


@cache
def fixed(text: str) -> bytes:
    """Return one of the fixed answers above as it goes out."""
    return encode(text)
