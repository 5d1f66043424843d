# SPDX-License-Identifier: MIT
"""The long form: BSD's layout, visible atoms only, printable, CRLF."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.protocol.entry import ATOMS, Entry, Person, Session, Status, Text
from fingerd_sd.protocol.layout.fields import MAX_FIELD
from fingerd_sd.protocol.layout.long import MAX_TEXT, long_form
from fingerd_sd.protocol.layout.short import short_form
from fingerd_sd.protocol.reply import encode
from fingerd_sd.protocol.text import CUT_MARK, is_printable

from ..helpers.houses import ALICE
from .test_text import ANY_TEXT

_MAYBE = st.none() | ANY_TEXT
PERSONS = st.builds(
    Person,
    login=ANY_TEXT,
    name=_MAYBE,
    directory=_MAYBE,
    shell=_MAYBE,
    office=_MAYBE,
    phone=_MAYBE | st.text("0123456789", max_size=12),
    home_phone=_MAYBE,
    key=_MAYBE,
    project=_MAYBE,
    plan=_MAYBE,
)
ENTRIES = PERSONS | st.builds(Text, ANY_TEXT)
SHOWN = st.frozensets(st.sampled_from(ATOMS))


def lines(*entries: Entry, show: str = "all") -> list[str]:
    """Return the long form of `entries` as lines; `show`: atoms with blanks between."""
    text = long_form(entries, ATOMS if show == "all" else show.split())
    assert text.endswith("\n")
    return text.removesuffix("\n").split("\n")


def with_atom(atom: str, value: str) -> Person:
    """Return a person of whom one atom is known."""
    texts: Any = {atom: value}
    return Person("alice", **texts)


@given(st.lists(ENTRIES, max_size=3), SHOWN)
def test_whatever_a_source_says_only_printable_lines_go_out(
    entries: list[Entry], show: frozenset[str]
) -> None:
    octets = encode(long_form(entries, show))
    text = octets.decode("utf-8")
    assert text.endswith("\r\n")
    assert is_printable(text.replace("\r\n", "").replace("\t", ""))


@given(ANY_TEXT)
def test_every_line_end_is_a_crlf(text: str) -> None:
    octets = encode(text)
    assert octets.endswith(b"\r\n")
    assert octets.count(b"\r") == octets.count(b"\n") == octets.count(b"\r\n")


@given(st.lists(st.text("abc \t", max_size=5), min_size=1, max_size=5))
def test_a_text_is_sent_verbatim(text: list[str]) -> None:
    whole = "\n".join(text)
    ended = whole if whole.endswith("\n") else whole + "\n"
    assert encode(long_form([Text(whole)], ())).decode() == ended.replace("\n", "\r\n")


def test_a_person_is_laid_out_as_bsd_finger_does() -> None:
    assert lines(ALICE) == [
        "Login: alice          \t\t\tName: Alice Liddell",
        "Directory: /home/alice              \tShell: /bin/bash",
        "Office: Hill 016, 908-555-1234\t\tHome Phone: 212-555-0100",
        "Project:",
        "finger",
        "Plan:",
        "Working on finger.",
    ]


def test_a_key_stands_before_the_project() -> None:
    person = Person("alice", key="-----BEGIN-----\nabc\n-----END-----\n", project="finger")
    assert lines(person, show="key project") == [
        "Login: alice",
        "PGP key:",
        "-----BEGIN-----",
        "abc",
        "-----END-----",
        "Project:",
        "finger",
    ]


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("until", "shown"),
    [
        (None, ["Status: on call"]),
        (NOON.replace(hour=18), ["Status: on call (until 18:00)"]),
        (NOON.replace(day=25), ["Status: on call (until Wed Nov 25 12:00)"]),
        (NOON.replace(year=2027), ["Status: on call (until Wed Nov 24 12:00 2027)"]),
        (NOON, []),
        (NOON.replace(year=2025), []),
    ],
)
def test_a_status_tells_when_it_ends_and_is_gone_then(
    until: datetime | None, shown: list[str]
) -> None:
    person = Person("alice", status=Status("on\ncall", until))
    text = long_form([person], ["status"], NOON.timestamp())
    assert text.splitlines() == ["Login: alice", *shown]


def test_today_is_the_day_where_the_status_ends() -> None:
    east = timezone(timedelta(hours=13))  # where the next day has begun
    person = Person("alice", status=Status("on call", NOON.astimezone(east)))
    shown = long_form([person], ["status"], NOON.timestamp() - 3600)
    assert "(until 01:00)" in shown
    assert "(until Wed Nov 25 01:00)" in long_form([person], ["status"], NOON.timestamp() - 7201)


def test_a_status_stands_above_project_and_plan() -> None:
    person = Person("alice", key="k", status=Status("on call"), project="finger", plan="None.")
    assert lines(person)[1:] == [
        "PGP key:",
        "k",
        "Status: on call",
        "Project:",
        "finger",
        "Plan:",
        "None.",
    ]


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_a_status_without_a_word_is_none(text: str) -> None:
    assert lines(Person("alice", status=Status(text)), show="status") == ["Login: alice"]


def test_a_blank_line_stands_between_two_users() -> None:
    two = lines(Person("alice"), Person("bob"), show="name")
    assert two == ["Login: alice", "", "Login: bob"]


@pytest.mark.parametrize("atom", [atom for atom in ATOMS if getattr(ALICE, atom, None)])
def test_an_atom_is_shown_only_where_the_audience_may_see_it(atom: str) -> None:
    shown = {
        "phone": "908-555-1234",
        "home_phone": "212-555-0100",
        "plan": "Working on finger.",
        "project": "Project:\nfinger\n",
    }
    value = shown.get(atom) or getattr(ALICE, atom)
    assert value in long_form([ALICE], ATOMS)
    assert value in long_form([ALICE], [atom])
    assert value not in long_form([ALICE], [other for other in ATOMS if other != atom])


def test_nothing_but_the_login_is_shown_where_no_atom_may_be_seen() -> None:
    assert lines(ALICE, show="") == ["Login: alice"]


def test_no_plan_is_said_only_where_plans_may_be_seen() -> None:
    assert lines(Person("alice"), show="plan") == ["Login: alice", "No Plan."]
    assert lines(Person("alice"), show="name") == ["Login: alice"]
    assert lines(ALICE, show="name office project")[-1] == "finger"


def test_an_empty_plan_is_a_plan() -> None:
    assert lines(Person("alice", plan=""), show="plan") == ["Login: alice", "Plan:"]


@pytest.mark.parametrize(
    ("digits", "shown"),
    [
        ("12125550100", "+1-212-555-0100"),
        ("2125550100", "212-555-0100"),
        ("5550100", "555-0100"),
        ("50100", "x5-0100"),
        ("0100", "x0100"),
        ("010", "010"),
        ("+1 212 555", "+1 212 555"),
        ("555-0100", "555-0100"),
        ("٠١٢٣", "٠١٢٣"),
    ],
)
def test_phone_numbers_get_their_hyphens(digits: str, shown: str) -> None:
    person = Person("alice", home_phone=digits)
    assert lines(person, show="home_phone")[1] == f"Home Phone: {shown}"


@pytest.mark.parametrize(
    ("office", "phone", "home", "expected"),
    [
        ("Hill 016", "9085551234", None, ["Office: Hill 016, 908-555-1234"]),
        ("Hill 016", None, None, ["Office: Hill 016"]),
        (None, "9085551234", None, ["Office Phone: 908-555-1234"]),
        (None, None, "5550100", ["Home Phone: 555-0100"]),
        ("E313C", "2443", None, ["Office: E313C, x2443"]),
        # len(office) + len(phone) + 9: 40 stand together, 41 do not
        ("O" * 21, "9" * 10, None, [f"Office: {'O' * 21}, 999-999-9999"]),
        ("O" * 22, "9" * 10, None, [f"Office: {'O' * 22}\t\tOffice Phone: 999-999-9999"]),
        (
            *("O" * 60, "2443", "2444"),
            [f"Office: {'O' * 60}", "Office Phone: x2443\t\t\tHome Phone: x2444"],
        ),
    ],
)
def test_offices_and_phones_share_lines_as_far_as_they_fit(
    office: str | None, phone: str | None, home: str | None, expected: list[str]
) -> None:
    person = Person("alice", office=office, phone=phone, home_phone=home)
    assert lines(person, show="office phone home_phone")[1:] == expected


@given(st.lists(st.text("x", min_size=1, max_size=70), min_size=3, max_size=3))
def test_no_line_of_offices_and_phones_is_wider_than_a_screen(parts: list[str]) -> None:
    office, phone, home = parts
    person = Person("alice", office=office, phone=phone, home_phone=home)
    for line in lines(person, show="office phone home_phone")[1:]:
        assert "\t" not in line or len(line.expandtabs(8)) <= 80


@pytest.mark.parametrize(
    ("directory", "shell", "expected"),
    [
        ("/home/alice", None, "Directory: /home/alice"),
        (None, "/bin/sh", "Shell: /bin/sh"),
        ("/home/alice", "/bin/sh", "Directory: /home/alice              \tShell: /bin/sh"),
    ],
)
def test_home_and_shell_share_a_line_where_both_are_known(
    directory: str | None, shell: str | None, expected: str
) -> None:
    person = Person("alice", directory=directory, shell=shell)
    assert lines(person, show="directory shell")[1:] == [expected]


@pytest.mark.parametrize("atom", ["name", "office", "phone", "home_phone", "directory", "shell"])
def test_a_field_is_one_line_of_bounded_length(atom: str) -> None:
    person = with_atom(atom, "a\nPlan:\n" + "b" * (1 << 20))
    shown = lines(person, show=atom)
    assert "Plan:" not in shown
    assert max(map(len, shown)) < MAX_FIELD + 60


@pytest.mark.parametrize("atom", ["plan", "project", "key"])
def test_a_text_is_cut_with_a_mark_that_says_so(atom: str) -> None:
    person = with_atom(atom, "x" * (MAX_TEXT + 1))
    shown = lines(person, show=atom)
    assert shown[-2:] == ["x" * MAX_TEXT, CUT_MARK]
    whole = with_atom(atom, "x" * MAX_TEXT)
    assert lines(whole, show=atom)[-1] == "x" * MAX_TEXT


@pytest.mark.parametrize("idle", [math.nan, math.inf, -math.inf])
def test_an_idle_time_that_is_no_number_is_not_known(idle: float) -> None:
    session = Session(datetime(2026, 11, 24, tzinfo=UTC), tty="pts/0", idle=idle)
    known = session._replace(idle=None)
    for form in (long_form, _short):
        assert form([Person("alice", sessions=(session,))], ATOMS, 0) == form(
            [Person("alice", sessions=(known,))], ATOMS, 0
        )


def _short(entries: Sequence[Entry], show: Collection[str], now: float) -> str:
    return short_form([("alice", entry) for entry in entries], show, now)


def test_a_login_cannot_forge_lines() -> None:
    shown = lines(Person("alice\r\nPlan:\r\nforged", name="A\tB"), show="name")
    assert shown == ["Login: alice Plan: forged\t\t\tName: A B"]


def test_an_answer_never_holds_a_raw_control_character() -> None:
    person = Person("a\x1b", name="b\x9b", plan="c\x1b]0;x\x07\u202e\x00", office="d\x7f")
    octets = encode(long_form([person], ATOMS))
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", octets)
    assert "\x9b" not in octets.decode()
    assert "\u202e" not in octets.decode()
