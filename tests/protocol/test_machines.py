# SPDX-License-Identifier: MIT
"""Sessions on several hosts: each form names the host, and none does where there is one."""

from __future__ import annotations

from datetime import UTC, datetime

from fingerd_sd.protocol.entry import Login, Person, Session
from fingerd_sd.protocol.layout.long import long_form
from fingerd_sd.protocol.layout.short import short_form
from fingerd_sd.protocol.shown import shown

THEN = datetime(2026, 11, 22, 4, 39, tzinfo=UTC)
NOW = THEN.timestamp() + 1560
FAR = Session(THEN, "pts/0", "203.0.113.7", 1560, None, "login3")
NEAR = Session(THEN, "tty2", None, None, None, "login1")


def test_the_long_form_names_the_host() -> None:
    person = Person("alice", sessions=(FAR, NEAR))
    assert long_form([person], {"sessions"}, NOW).splitlines()[1:] == [
        "On since Sun Nov 22 04:39 (UTC) on pts/0 at login3 from 203.0.113.7",
        "   26 minutes idle",
        "On since Sun Nov 22 04:39 (UTC) on tty2 at login1",
    ]


def test_of_very_many_sessions_the_long_form_has_the_last_ones() -> None:
    many = tuple(FAR._replace(machine=f"login{number}", idle=None) for number in range(203))
    for sessions, above in ((many, ["[earlier sessions left out: 3]"]), (many[3:], [])):
        _, *lines = long_form([Person("alice", sessions=sessions)], {"sessions"}, NOW).splitlines()
        assert lines[: len(above)] == above
        assert len(lines) == len(above) + 200
        assert "at login3 from" in lines[len(above)]
        assert "at login202 from" in lines[-1]


def test_the_short_form_has_a_column_of_hosts() -> None:
    rows = [
        ("alice", Person("alice", sessions=(FAR, NEAR), office="Hill 016", phone="x1")),
        ("bob", Person("bob", sessions=(), office="E313C")),
    ]
    assert short_form(rows, {"sessions", "office", "phone"}, NOW).splitlines() == [
        "Login      Tty      Idle  Login Time   On       Office     Office Phone",
        "alice      pts/0      26  Nov 22 04:39 login3   (203.0.113.7)",
        "alice      tty2        ?  Nov 22 04:39 login1   Hill 016   x1",
        f"bob       {' ' * 37} E313C",
    ]


def test_there_is_no_such_column_where_no_host_is_named() -> None:
    rows = [("alice", Person("alice", sessions=(FAR._replace(machine=None),)))]
    assert " On " not in short_form(rows, {"sessions"}, NOW)


def test_a_last_login_is_one_of_the_sessions_on_its_own_host_only() -> None:
    last = Login(THEN, "pts/0", None, "login1")
    for sessions, told in (((FAR,), True), ((FAR, NEAR._replace(tty="pts/0")), False)):
        person = Person("alice", sessions=sessions, last_login=last)
        assert ("Last login" in long_form([person], {"sessions"}, NOW)) is told
        assert (shown(person, {"sessions"}, NOW).last_login == last) is told


def test_a_host_cannot_forge_lines() -> None:
    forged = FAR._replace(machine="login3\r\nPlan:\x1b[2J")
    person = Person("alice", sessions=(forged,))
    assert len(long_form([person], {"sessions"}, NOW).splitlines()) == 3
    assert shown(person, {"sessions"}, NOW).sessions != (forged,)
