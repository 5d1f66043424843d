# SPDX-License-Identifier: MIT
"""Text that may be shown: which characters, which line ends, how octets become text.

Sans-I/O. RFC 1288 §2.2: international text is real text, and lines end in CRLF. §3.3: control
characters must not reach the client's terminal raw. Everything that comes from outside (a query,
a plan, a gecos field, a web page) passes through here before it is sent or logged.
"""

from __future__ import annotations

import re
from functools import cache

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

CUT_MARK = "[the rest was cut off]"  # a line of its own, at the end of what was shortened

# Not printable, as a regular expression's character class (Unicode categories in brackets):
# C0, DEL, C1 [Cc]; surrogates [Cs]; line and paragraph separator [Zl, Zp]; the noncharacters of
# each plane's end; and format characters [Cf], which hide, reorder or smuggle text (bidi overrides,
# tags, zero-width no-break space). Of [Cf], these stay: ZWNJ and ZWJ (U+200C, U+200D), which
# Persian, Indic scripts and emoji need, and the visible Arabic and Egyptian signs.
# tests/protocol/test_text.py compares this with unicodedata, which is too slow to ask at start-up.
_UNPRINTABLE = (
    "\x00-\x1f\x7f-\x9f"
    "\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2065-\u206f"
    "\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff0-\ufffb\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    + "".join(
        f"{chr((plane << 16) + 0xFFFE)}{chr((plane << 16) + 0xFFFF)}" for plane in range(1, 17)
    )
    + "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)


@cache
def _unprintable() -> re.Pattern[str]:
    """Return the pattern that matches one of them. It is compiled at its first use: that takes 2
    ms, and most text is ASCII, which Python itself can judge.
    """
    return re.compile(f"[{_UNPRINTABLE}]")


def is_printable(text: str) -> bool:
    """Whether every character of `text` may be shown as it is. Tabs and line ends may not."""
    if text.isascii():
        return text.isprintable()
    return _unprintable().search(text) is None


def _shown(match: re.Match[str]) -> str:
    if match[0] in "\t\n":
        return match[0]
    code = ord(match[0])
    if code < 0x20 or code == 0x7F:
        return "^" + chr(code ^ 0x40)
    return REPLACEMENT


def printable(text: str) -> str:
    """Return `text` with LF line ends and nothing but printable characters, tabs and LFs.

    An ASCII control character is shown in caret notation (ESC as `^[`, as `cat -v` does), any other
    unprintable one as U+FFFD. RFC 1288 §3.3.
    """
    if text.isascii() and text.isprintable():  # as most lines are
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if is_printable(text.replace("\n", "").replace("\t", "")):
        return text
    return _unprintable().sub(_shown, text)


def one_line(text: str, limit: int) -> str:
    """Return `text` as one printable line of at most `limit` characters. A cut line ends in an
    ellipsis. Runs of white space become one blank.
    """
    line = printable(" ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def decode(octets: bytes) -> str:
    """Return `octets` as text: UTF-8 (without a byte order mark), else Latin-1, in which old plans
    are written and which never fails. RFC 1288 §2.2.
    """
    try:
        # Not by "utf-8-sig", which is written in Python and takes ten times as long.
        return octets.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def decode_cut(octets: bytes, limit: int) -> tuple[str, bool]:
    """Return the first `limit` octets as text, and whether something was cut off. A UTF-8 sequence
    that does not fit whole is left out.
    """
    if len(octets) <= limit:
        return decode(octets), False
    end = limit
    while end > limit - 4 and octets[end] & 0xC0 == 0x80:  # a continuation octet: step back
        end -= 1
    return decode(octets[:end]), True


def escaped(octets: bytes) -> str:
    """Return `octets`, for the journal, as one printable line from which they can be restored: a
    backslash, a control character and octets that are not UTF-8 are escaped as in a Python string.
    RFC 1288 §3.2.7. `%` and the like stay, since no format is ever applied.
    """
    if octets.isascii():
        text = octets.decode("ascii")
        if text.isprintable() and "\\" not in text:
            return text
    text = octets.replace(b"\\", rb"\\").decode("utf-8", "backslashreplace")
    return "".join(c if is_printable(c) else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x80:
        return character.encode("unicode_escape").decode("ascii")
    # Not \xNN, which is an octet that is not UTF-8.
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
