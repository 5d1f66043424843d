# SPDX-License-Identifier: MIT
"""What may be shown, and how octets become text."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fingerd_sd.protocol.text import (
    REPLACEMENT,
    decode,
    decode_cut,
    escaped,
    is_printable,
    one_line,
    printable,
)

# Any text that Python can hold: lone surrogates too, as JSON and file names have them.
ANY_TEXT = st.text(st.characters(blacklist_categories=()), max_size=60)

_JOINERS = {0x200C, 0x200D}
_SIGNS = {  # format characters that are seen: Unicode's prepended concatenation marks, Egyptian
    *range(0x0600, 0x0606),
    *(0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD),
    *range(0x13430, 0x13440),
}
# Not assigned, and kept for further format characters: Default_Ignorable_Code_Point.
_RESERVED = {0x2065, *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000)}


def _may_be_shown(code: int) -> bool:
    """What the comment in text.py says, said with unicodedata."""
    category = unicodedata.category(chr(code))
    if category == "Cf":
        return code in _JOINERS | _SIGNS
    is_noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    is_reserved = category == "Cn" and code in _RESERVED
    return category not in ("Cc", "Cs", "Zl", "Zp") and not is_noncharacter and not is_reserved


def test_printable_is_what_unicode_says_of_every_code_point() -> None:
    different = [
        f"U+{code:04X} {unicodedata.category(chr(code))}"
        for code in range(sys.maxunicode + 1)
        if is_printable(chr(code)) is not _may_be_shown(code)
    ]
    assert different == []


@given(ANY_TEXT)
def test_printable_text_has_printable_characters_tabs_and_line_feeds(text: str) -> None:
    shown = printable(text)
    assert is_printable(shown.replace("\t", "").replace("\n", ""))
    assert "\r" not in shown
    shown.encode("utf-8")  # no surrogate is left
    assert printable(shown) == shown


@given(ANY_TEXT.filter(is_printable))
def test_printable_text_is_left_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb\rc\nd", "a\nb\nc\nd"),
        ("\r\r\n\n", "\n\n\n"),
        ("a\tb", "a\tb"),
        ("\x1b[31m", "^[[31m"),
        ("\0\x07\x7f", "^@^G^?"),
        ("\x80\x9b\x9f", REPLACEMENT * 3),
        ("\u202e\u2066\u200e", REPLACEMENT * 3),
        ("\ud800\udfff", REPLACEMENT * 2),
        ("\u2028\u2029", REPLACEMENT * 2),
        ("\U000e0041", REPLACEMENT),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🔬", "👩\u200d🔬"),
    ],
)
def test_what_cannot_be_shown_is_shown_as_a_sign(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(ANY_TEXT, st.integers(1, 40))
def test_one_line_is_one_printable_line_within_its_limit(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert is_printable(line)


@given(st.text("ab ", max_size=200), st.integers(1, 20))
@example("a" + " " * 100 + "b", 10)
@example("a" * 10 + " " * 100, 10)
def test_one_line_says_where_it_was_cut(text: str, limit: int) -> None:
    whole = " ".join(text.split())
    line = one_line(text, limit)
    assert line == whole if len(whole) <= limit else line == whole[: limit - 1] + "…"


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("zażółć".encode(), "zażółć"),
        (b"\xef\xbb\xbfalice", "alice"),
        (b"caf\xe9", "café"),
        (b"\xff\xfe", "ÿþ"),
        (b"", ""),
    ],
)
def test_octets_are_utf_8_or_else_latin_1(octets: bytes, text: str) -> None:
    assert decode(octets) == text


@given(st.binary())
def test_any_octets_are_text(octets: bytes) -> None:
    assert isinstance(decode(octets), str)


@given(st.text(st.characters(blacklist_categories=["Cs"])), st.integers(4, 40))
def test_cutting_splits_no_character(text: str, limit: int) -> None:
    octets = text.encode()
    shown, cut = decode_cut(octets, limit)
    assert cut is (len(octets) > limit)
    assert text.removeprefix("\ufeff").startswith(shown)
    if cut:
        assert limit - 3 - 3 <= len(shown.encode()) <= limit  # 3 of a mark, 3 of a character
    else:
        assert shown == text.removeprefix("\ufeff")


@given(st.binary(), st.integers(4, 40))
def test_a_cut_keeps_no_more_than_its_limit(octets: bytes, limit: int) -> None:
    shown, cut = decode_cut(octets, limit)
    assert len(shown) <= limit
    assert cut is (len(octets) > limit)


@given(st.binary(max_size=60))
def test_escaped_octets_are_one_printable_line(octets: bytes) -> None:
    line = escaped(octets)
    assert is_printable(line)
    line.encode("utf-8")


_TRICKY = st.sampled_from(
    [b"\\", b"x9f", b"\x9f", b"\xc2\x9f", b"\\x9f", b"\xad", b"\xc2\xad", b"\x1b", b"\\n", b"\n"]
)


@given(st.lists(_TRICKY, max_size=3).map(b"".join), st.lists(_TRICKY, max_size=3).map(b"".join))
@example(b"\x9f", b"\xc2\x9f")
@example(b"\x9f", b"\\x9f")
@example(b"\n", b"\\n")
def test_octets_can_be_told_from_how_they_are_escaped(one: bytes, other: bytes) -> None:
    assert (escaped(one) == escaped(other)) is (one == other)


@given(st.binary(max_size=8), st.binary(max_size=8))
def test_any_octets_can_be_told_from_how_they_are_escaped(one: bytes, other: bytes) -> None:
    assert (escaped(one) == escaped(other)) is (one == other)


@pytest.mark.parametrize(
    ("octets", "line"),
    [
        (b"alice", "alice"),
        (b"", ""),
        ("żółw".encode(), "żółw"),
        (b"%s%n", "%s%n"),
        (b"a\r\nb", r"a\r\nb"),
        (b"\x1b[2J\x00\x7f", r"\x1b[2J\x00\x7f"),
        (b"\\", "\\\\"),
        (b"\\x1b", "\\\\x1b"),
        (b"\xff\xfe", r"\xff\xfe"),
        ("\u202e".encode(), r"\u202e"),
        ("\U000e0041".encode(), r"\U000e0041"),
    ],
)
def test_escapes_are_those_of_python(octets: bytes, line: str) -> None:
    assert escaped(octets) == line
