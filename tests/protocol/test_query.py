# SPDX-License-Identifier: MIT
"""The query line, RFC 1288 §2.3. Its cases are rows of wire_cases.py; this holds for all lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.protocol.query import Query, QueryError, line_length, parse
from fingerd_sd.protocol.text import is_printable

_SWITCHES = ("/W", "/w")
_GRAMMAR = st.sampled_from(
    [b"/W", b"/w", b" ", b"\t", b"@", b"alice", b"h", b"\r", b"\n", b"\r\n", b"\xff", b"\xfd"]
)
# What people and worms send: any octets, and the grammar's own pieces in any order.
OCTETS = st.binary(max_size=80) | st.lists(_GRAMMAR, max_size=12).map(b"".join)
LINES = OCTETS.map(lambda octets: octets.replace(b"\r", b"").replace(b"\n", b""))

# Of what is left out here, most cannot be asked for. (The names are the older ones, which the
# hypothesis of Debian 12 knows: the package runs these tests when it is built.)
_NAMING = st.characters(
    blacklist_categories=("Cc", "Cf", "Cn", "Cs", "Zl", "Zp"), blacklist_characters=" @"
)
_WORDS = st.text(_NAMING, min_size=1, max_size=8)


@st.composite
def queries(draw: st.DrawFn) -> Query:
    """Return any query that the grammar can say."""
    words = draw(st.lists(_WORDS, max_size=3))
    hosts = draw(st.lists(_WORDS, max_size=3))
    while words and words[0] in _SWITCHES:
        del words[0]
    while words and not hosts and words[-1] in _SWITCHES:
        del words[-1]
    return Query(" ".join(words), tuple(hosts), draw(st.booleans()))


def render(query: Query) -> bytes:
    """Return `query` as a strict client writes it: RFC 1288 §2.3."""
    hosts = "".join(f"@{host}" for host in query.hosts)
    switch = "/W " if query.whois else ""
    return f"{switch}{query.user}{hosts}\r\n".encode()


@given(OCTETS)
def test_any_octets_give_a_query_or_a_query_error_and_nothing_else(octets: bytes) -> None:
    try:
        query = parse(octets)
    except QueryError:
        return
    assert is_printable(query.user)
    assert all(map(is_printable, query.hosts))
    assert all(query.hosts)
    assert "@" not in "".join((query.user, *query.hosts))
    assert query.user not in _SWITCHES or query.hosts
    assert query.user == query.user.strip(" \t")


@given(queries())
def test_what_is_written_is_read_back(query: Query) -> None:
    assert parse(render(query)) == query


@given(OCTETS)
def test_a_query_written_strictly_means_the_same(octets: bytes) -> None:
    try:
        query = parse(octets)
    except QueryError:
        return
    assert parse(render(query)) == query


@given(LINES, st.sampled_from([b"", b"\r\n", b"\n", b"\r"]), st.binary())
def test_what_follows_the_line_is_ignored(line: bytes, end: bytes, junk: bytes) -> None:
    def read(octets: bytes) -> Query | None:
        try:
            return parse(octets)
        except QueryError:
            return None

    assert read(line + end + (junk if end else b"")) == read(line)


@given(OCTETS)
def test_where_a_line_ends_does_not_depend_on_how_its_octets_come(octets: bytes) -> None:
    lengths = [line_length(octets[:count]) for count in range(len(octets) + 1)]
    found = next((length for length in lengths if length), 0)
    assert found == line_length(octets)
    assert set(lengths) <= {0, found}


@pytest.mark.parametrize(
    ("octets", "length"),
    [
        (b"", 0),
        (b"alice", 0),
        (b"alice\n", 6),
        (b"alice\r\n", 7),
        (b"alice\r\nbob\r\n", 7),
        (b"alice\rbob", 6),
        (b"\r\rbob", 1),
        (b"alice\r", 0),  # its LF may still be on the way
    ],
)
def test_the_first_line_is_as_long_as_its_end_says(octets: bytes, length: int) -> None:
    assert line_length(octets) == length


@pytest.mark.parametrize(
    ("query", "is_list"),
    [
        (Query(""), True),
        (Query("", whois=True), True),
        (Query("alice"), False),
        (Query("", ("h",)), False),
    ],
)
def test_a_list_is_asked_for_without_user_and_host(query: Query, is_list: bool) -> None:
    assert query.is_list is is_list


def test_equal_queries_are_equal_however_they_were_spelled() -> None:
    spelled = [b"/W alice\r\n", b"/w \t alice\n", b"alice /W", b"\xff\xfd\x01 /W alice /w \r"]
    assert {parse(line) for line in spelled} == {Query("alice", (), True)}


@pytest.mark.parametrize("octets", [b"/W@h\r\n", b"/W @h\r\n", b"/w@h", b"@h /W\r\n"])
def test_the_whois_switch_is_never_a_name(octets: bytes) -> None:
    assert parse(octets) == Query("", ("h",), True)


@pytest.mark.parametrize(
    "octets", [b"@" * (1 << 20), b"\x80" * (1 << 20), b"\0" * (1 << 20), b"a@" * (1 << 19)]
)
def test_a_mebioctet_is_refused_like_any_line(octets: bytes) -> None:
    with pytest.raises(QueryError):
        parse(octets)


def test_a_mebioctet_is_read_like_any_line() -> None:
    assert parse(b"a" * (1 << 20)) == Query("a" * (1 << 20))


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"\x1b", "a character that cannot be printed"),
        (b"\xe9t\xe9", "not UTF-8"),
        (b"a@", "an empty host name, or one with a blank"),
    ],
)
def test_an_error_says_why(octets: bytes, why: str) -> None:
    with pytest.raises(QueryError, match=why):
        parse(octets)
