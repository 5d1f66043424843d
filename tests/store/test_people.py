# SPDX-License-Identifier: MIT
"""An entry of the fleet's store: what is written is read, and nothing else is believed."""

from __future__ import annotations

import pytest

from fingerd_sd.store import people
from fingerd_sd.store.people import Entry, MalformedError

WHOLE = Entry(
    login="alice",
    uid=1000,
    at=1_800_000_000.25,
    plan="Tea\nat six",
    project="",
    key="ssh",
    status="is out",
    until=1_800_000_900.5,
    first="Tea",
    links='[{"rel": "me", "href": "https://example.org/"}]',
    host="login1.example.org",
    name="Alice Liddell",
    office="Küche",
    phone="1",
    home_phone="2",
    gone=5.0,
)
LEAST = Entry("bob", 0, 0.0, host="a")


def stored(**changes: bytes) -> dict[bytes, bytes]:
    """Return the fields of LEAST with `changes`."""
    found = {name.encode(): value for name, value in people.fields(LEAST).items()}
    return found | {name.encode(): value for name, value in changes.items()}


@pytest.mark.parametrize("entry", [WHOLE, LEAST])
def test_what_is_written_is_read(entry: Entry) -> None:
    found = {name.encode(): value for name, value in people.fields(entry).items()}
    assert people.read(entry.login, found) == entry
    said = [found.get(name.encode()) for name in people.NAMES]
    assert people.entry_of(entry.login, said) == entry


def test_nothing_is_nobody() -> None:
    assert people.read("alice", {}) is None
    assert people.entry_of("alice", []) is None


def test_other_fields_are_left_out() -> None:
    assert people.read("bob", stored(login=b"root", shell=b"/bin/sh")) == LEAST


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("uid", b""),
        ("uid", b"-1"),
        ("uid", b"4294967295"),
        ("uid", b"1e3"),
        ("uid", "\u0663".encode()),  # a digit, for int()
        ("at", b"nan"),
        ("at", b"inf"),
        ("at", b"-5"),
        ("at", b"1_0"),
        ("at", b"99999999999999"),
        ("until", b"never"),
        ("gone", b" 1"),
        ("host", b""),
        ("host", b"a\n"),
        ("host", b"a b"),
        ("host", b"a" * 256),
        ("plan", b"\xff"),
        ("plan", b"\xed\xa0\x80"),  # half of a surrogate pair
        ("plan", b"a\0b"),
        ("plan", b"a" * ((1 << 20) + 1)),
        ("status", b"a\nb"),
        ("status", b"a" * 201),
        ("first", b"a\rb"),
        ("links", b"[" * 200_000),
        ("name", b"a" * 2000),
    ],
)
def test_what_no_host_of_ours_writes_is_refused(field: str, value: bytes) -> None:
    with pytest.raises(MalformedError) as caught:
        people.read("bob", stored(**{field: value}))
    assert str(caught.value).isprintable()


def test_texts_that_are_too_long_together_are_refused() -> None:
    half = b"a" * (people.MAX_WHOLE * 2 // 3)
    assert people.read("bob", stored(plan=half)) is not None
    with pytest.raises(MalformedError):
        people.read("bob", stored(plan=half, project=half))


def test_a_name_of_another_host_is_one_printable_line() -> None:
    entry = people.read("bob", stored(name=b"\x1b[2JBob\r\nis \xe2\x80\xaehere"))
    assert entry is not None
    assert entry.name == "^[[2JBob is \ufffdhere"


@pytest.mark.parametrize("said", [b"plan", b"\xff\x1b", None, 5, [b"x"], [None] * 99, b""])
def test_what_the_script_never_says_is_no_entry(said: object) -> None:
    with pytest.raises(MalformedError) as caught:
        people.entry_of("bob", said)
    assert str(caught.value).isprintable()


def test_who_published_last_is_as_little_trusted() -> None:
    said = [b"alice", b"100.5", b"late", b"1e9", b"ahead", b"300", b"a\x1b", b"1", b"\xff", b"1"]
    said += [b"bob", b"99", b"", b"1", b"a" * 300, b"1", b"odd"]
    assert people.recent_of(said, 200.0) == [("alice", 100.5), ("ahead", 200.0), ("bob", 99.0)]
    assert people.recent_of(None, 200.0) == []
    assert people.recent_of([5, None, [], {}], 200.0) == []
