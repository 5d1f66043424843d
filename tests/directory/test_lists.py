# SPDX-License-Identifier: MIT
"""{C}: who is here, and {U} by full names. RFC 1288 §2.5.1, §2.5.2, §2.5.3, §2.5.5, §3.2.6."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.commands.inspecting.explain import explain
from fingerd_sd.commands.settings import load
from fingerd_sd.config.mistakes import ConfigError
from fingerd_sd.directory import lists
from fingerd_sd.directory import lookup as directories
from fingerd_sd.directory.answer import Answer
from fingerd_sd.directory.lists import MAX_MATCHES
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.directory.source import MAX_LISTED, Mounted, Source
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.rules import Policy
from fingerd_sd.protocol.entry import ATOMS, Absent, Entry, Mail, Person, Session, Text
from fingerd_sd.sources.accounts import passwd
from fingerd_sd.sources.accounts.passwd import Account
from fingerd_sd.sources.accounts.sessions.logind import LoggedIn
from fingerd_sd.sources.accounts.source import AccountsSource, Options
from fingerd_sd.sources.people import MAX_UID, Range
from fingerd_sd.sources.static.source import StaticSource
from fingerd_sd.sources.words import index, matching

from ..helpers.houses import Told
from ..helpers.wire import run, until

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW = NOON.timestamp()
CLIENT = "192.0.2.1"
DENIED = b"Finger online user list denied\r\n"
NOBODY = b"No one logged on.\r\n"
ABSENT = b"No such user\r\n"
BROKEN = b"Internal error in server\r\n"

ALICE = Person(
    "alice",
    name="Alice Liddell",
    office="Hill 016",
    phone="9085551234",
    sessions=(
        Session(NOON, "pts/0", "203.0.113.7", 26 * 60, True),
        Session(NOON, None, "2001:db8::7", None, None),
    ),
    mail=Mail(),
    plan="Curiouser\n",
)
BOB = Person("bob", name="Bob Liddell", sessions=(Session(NOON, "tty2", None, 3 * 86400, False),))


@dataclass
class Village:
    """A source of `people`, of whom those in `here` are here."""

    people: dict[str, Entry] = field(default_factory=dict)
    here: Sequence[str] | Exception | None = ()
    named: Sequence[str] | Exception | None = ()
    name: str = "village"
    timeout: float = 30.0
    lifetime: float = 60.0
    asked: list[str] = field(default_factory=list)

    async def find(self, user: str) -> Entry | Absent | None:
        self.asked.append(user)
        return self.people.get(user)

    async def who(self) -> Sequence[str] | None:
        self.asked.append("?")
        return said(self.here)

    async def match(self, words: Sequence[str], /) -> Sequence[str] | None:
        self.asked.append(f"? {' '.join(words)}")
        return said(self.named)


@dataclass
class Mute:
    """A source that can neither list nor match."""

    people: dict[str, Entry] = field(default_factory=dict)
    name: str = "mute"
    timeout: float = 30.0
    lifetime: float = 60.0

    async def find(self, user: str) -> Entry | Absent | None:
        return self.people.get(user)


def said(what: Sequence[str] | Exception | None) -> Sequence[str] | None:
    if isinstance(what, Exception):
        raise what
    return what


def audience(show: Sequence[str] = ATOMS, lists: bool = True, match_names: bool = True) -> Audience:
    return Audience(show=frozenset(show), list="sessions" if lists else "", match_names=match_names)


def house(*sources: Source, to: Audience | None = None, clock: Any = lambda: 0.0) -> Ruip:
    mounted = [Mounted(source) for source in sources]
    return Ruip(Policy([to or audience()]), Directory(mounted), clock, wall=lambda: NOW)


def ask(ruip: Ruip, query: str) -> Answer:
    return asyncio.run(ruip.answer(query.encode() + b"\r\n", ruip.policy.client(CLIENT)))


def village(**people: Entry) -> Village:
    return Village(people, here=list(people))


# --- who is here ---


def test_the_list_has_a_row_for_each_session_sorted_by_login() -> None:
    ruip = house(village(bob=BOB, alice=ALICE))
    assert ask(ruip, "").octets.decode().replace("\r\n", "\n") == (
        "Login     Name            Tty      Idle  Login Time   Office     Office Phone\n"
        "alice     Alice Liddell   pts/0      26  Nov 22 12:00 (203.0.113.7)\n"
        "alice     Alice Liddell               ?  Nov 22 12:00 (2001:db8::7)\n"
        "bob       Bob Liddell    *tty2       3d  Nov 22 12:00\n"
    )


def test_a_list_with_w_has_the_long_form_of_each() -> None:
    ruip = house(village(bob=BOB, alice=ALICE))
    users = [ask(ruip, user).octets for user in ("alice", "bob")]
    assert ask(ruip, "/W").octets == b"\r\n".join(users)


@pytest.mark.parametrize("query", ["", "/W", "  ", "/w "])
def test_a_list_is_refused_unless_the_administrator_allows_it(query: str) -> None:
    source = village(alice=ALICE)
    answer = ask(house(source, to=Audience()), query)
    assert (answer.octets, answer.result) == (DENIED, "refused")
    assert source.asked == []


def test_nobody_is_here() -> None:
    answer = ask(house(village()), "")
    assert (answer.octets, answer.result) == (NOBODY, "found")


def test_where_no_source_can_list_it_is_not_said_that_nobody_is_here() -> None:
    answer = ask(house(Mute({"alice": ALICE})), "")
    assert (answer.octets, answer.result) == (DENIED, "refused")


@pytest.mark.parametrize("here", [None, OSError("dead")])
def test_where_it_cannot_be_known_it_is_not_said_that_nobody_is_here(
    here: Exception | None,
) -> None:
    assert ask(house(Village(here=here)), "").octets == BROKEN


@pytest.mark.parametrize("here", [None, OSError("dead")])
def test_a_source_that_cannot_say_does_not_hide_those_of_another(here: Exception | None) -> None:
    told = ask(house(Village(here=here, name="dead"), village(alice=ALICE)), "").octets
    assert told.count(b"alice") == 2


def test_a_source_that_hangs_does_not_hide_those_of_another() -> None:
    class Hangs(Village):
        async def who(self) -> Sequence[str] | None:
            await asyncio.Event().wait()
            return None

    ruip = house(Hangs(timeout=0.01, name="hangs"), village(alice=ALICE))
    assert ask(ruip, "").octets.count(b"alice") == 2


def test_a_user_whose_look_up_hangs_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "LIST_TIMEOUT", 0.05)

    class Hangs(Village):
        async def find(self, user: str) -> Entry | Absent | None:
            if user == "bob":
                await asyncio.Event().wait()
            return await Village.find(self, user)

    ruip = house(Hangs({"alice": ALICE, "bob": BOB}, here=["alice", "bob", "zoe"]))
    told = ask(ruip, "").octets
    assert told.count(b"alice") == 2
    assert b"bob" not in told


def test_only_those_are_listed_that_a_query_for_them_shows() -> None:
    source = Village({"alice": ALICE}, here=["alice", "hidden", "root"])
    told = ask(house(source), "").octets
    assert b"hidden" not in told
    assert b"root" not in told
    assert ask(house(Village(here=["hidden"])), "").octets == NOBODY


def test_a_list_shows_of_a_user_no_more_than_a_query_for_the_user() -> None:
    """An earlier source has its own answer for her: RFC 1288 §2.5.2, a MUST."""
    ruip = house(Mute({"alice": Text("Not at home")}), village(alice=ALICE))
    told = ask(ruip, "").octets.decode()
    assert "pts/0" not in told
    assert told.splitlines()[1].split(maxsplit=1) == ["alice", "Not at home"]


@pytest.mark.parametrize(
    ("show", "title", "row"),
    [
        (["name"], "Login     Name", "bob       Bob Liddell"),
        ([], "Login", "bob"),
        (["sessions"], "Login      Tty      Idle  Login Time",
         "bob       *tty2       3d  Nov 22 12:00"),
        (["name", "phone"], "Login     Name          Office Phone", "bob       Bob Liddell"),
    ],
)  # fmt: skip
def test_the_administrator_chooses_the_columns(show: list[str], title: str, row: str) -> None:
    ruip = house(village(bob=BOB), to=audience(show))
    assert ask(ruip, "").octets.decode() == f"{title}\r\n{row}\r\n"


@pytest.mark.parametrize("show", [*([atom] for atom in ATOMS), list(ATOMS), []])
def test_every_word_of_a_row_is_in_the_answer_for_the_user_too(show: list[str]) -> None:
    ruip = house(village(alice=ALICE), to=audience(show))
    rows = ask(ruip, "").octets.decode().splitlines()[1:]
    told = ask(ruip, "alice").octets.decode()
    for word in " ".join(rows).replace("(", " ").replace(")", " ").split():
        if word not in ("26", "?"):  # idle: "26 minutes idle", and not known
            assert word in told


def test_a_row_holds_one_line_whatever_the_fields_hold() -> None:
    evil = "\x1b[31m\n\u202ex" + "y" * (1 << 20)
    person = Person(
        evil, name=evil, office=evil, phone=evil, sessions=(Session(NOON, evil, evil, 1e9, True),)
    )
    for query in ("", "/W"):
        told = ask(house(village(eve=person)), query).octets.decode()
        assert "\x1b" not in told
        assert "\u202e" not in told
        assert len(told) < 4000
    assert len(ask(house(village(eve=person)), "").octets.decode().splitlines()) == 2


@pytest.mark.parametrize("name", ["", "\x1b[31m", "a\nb", "\u202ex", "\ud800"])
def test_who_has_a_name_that_cannot_be_shown_is_not_listed(name: str) -> None:
    source = village(**{name: ALICE})
    assert ask(house(source), "").octets == NOBODY
    assert source.asked == ["?"]


def test_a_list_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "MAX_LISTED", 3)
    people: dict[str, Entry] = {f"u{number}": BOB for number in range(100)}
    source = village(**people)
    rows = ask(house(source), "").octets.decode().splitlines()
    assert [row.split()[0] for row in rows[1:-1]] == ["u0", "u1", "u10"]
    assert rows[-1] == "[the rest was cut off]"
    assert len(source.asked) <= 1 + 2 * 3


def test_a_list_is_bounded_by_its_sessions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_LINES", 5)
    source = village(alice=ALICE, bob=ALICE, carol=ALICE)
    rows = ask(house(source), "").octets.decode().splitlines()
    assert [row.split()[0] for row in rows[1:]] == [
        *("alice", "alice", "bob", "bob"),
        "carol",
        "carol",
    ]
    source = village(alice=ALICE, bob=ALICE, carol=ALICE, dave=BOB)
    rows = ask(house(source), "").octets.decode().splitlines()
    assert [row.split()[0] for row in rows[5:]] == ["carol", "carol", "[the"]


def test_no_more_are_looked_up_than_a_list_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "MAX_LISTED", 100)
    people: dict[str, Entry] = {f"u{number:03}": BOB for number in range(500)}
    source = village(**people)
    assert ask(house(source), "").octets.endswith(b"[the rest was cut off]\r\n")
    assert len(source.asked) <= 1 + 101 + lists.LOOK_UPS
    # Those who hide themselves take nobody's place.
    source = Village(people, [*people, *(f"u{number:03}a" for number in range(50))])
    rows = ask(house(source), "").octets.decode().splitlines()
    assert [row.split()[0] for row in rows[1:-1]] == [f"u{number:03}" for number in range(100)]


# --- the vending machine of RFC 1288 §2.5.5 ---


def test_a_static_directory_lists_its_items_and_details_one() -> None:
    machine = StaticSource("static")
    coke = Person("coke", name="Coke", plan="3 left, cold\n")
    machine.add("coke", coke)
    machine.add("cola", coke)  # an alias
    machine.add("water", Text("Water, 0.50\nout of order"))
    ruip = house(machine, to=audience(["name", "plan"]))
    assert ask(ruip, "").octets.decode() == (
        "Login     Name\r\ncoke      Coke\r\nwater     Water, 0.50\r\n"
    )
    assert b"3 left, cold" in ask(ruip, "coke").octets
    assert ask(ruip, "/W").octets.endswith(b"\r\n\r\nWater, 0.50\r\nout of order\r\n")


def test_a_great_directory_lists_its_first_ones_at_once() -> None:
    great = StaticSource("static")
    for number in range(5000):
        great.add(f"u{number}", Text("x"))
    assert len(asyncio.run(great.who())) == MAX_LISTED + 1


# --- full names ---


def test_several_matches_give_several_answers() -> None:
    source = Village({"alice": ALICE, "bob": BOB}, named=["bob", "alice", "hidden"])
    answer = ask(house(source), "liddell")
    assert answer.octets == ask(house(village(alice=ALICE, bob=BOB)), "/W").octets
    assert (answer.result, answer.source) == ("found", "village")


def test_matches_are_bounded_and_it_is_said_so() -> None:
    people: dict[str, Entry] = {f"u{number:03}": BOB for number in range(100)}
    source = Village(people, named=list(people))
    told = ask(house(source), "liddell").octets
    assert told.count(b"Login:") == MAX_MATCHES
    assert told.endswith(b"\r\n[the rest was cut off]\r\n")
    assert len(source.asked) < 50


@pytest.mark.parametrize("to", [audience(match_names=False), audience(lists=False), Audience()])
def test_names_are_matched_only_where_that_is_allowed(to: Audience) -> None:
    source = Village({"alice": ALICE}, named=["alice"])
    assert ask(house(source, to=to), "liddell").octets == ABSENT
    assert source.asked == ["liddell"]


def test_a_login_is_found_before_any_name_is_matched() -> None:
    source = Village({"alice": ALICE}, named=["bob"])
    ask(house(source), "alice")
    assert source.asked == ["alice"]


@pytest.mark.parametrize("named", [OSError("dead"), None])
def test_a_search_that_fails_is_a_failure_unless_another_finds(named: Exception | None) -> None:
    broken = Village(named=named, name="broken")
    assert ask(house(broken), "liddell").octets == BROKEN
    assert b"Alice" in ask(house(broken, Village({"alice": ALICE}, named=["alice"])), "l").octets


NAMES = index(
    [("a", "Alice Liddell"), ("b", "Bob LIDDELL-Smith"), ("c", "Żółw liddell"), ("d", "")]
)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("liddell", ["a", "c"]), ("LIDDELL", ["a", "c"]), ("alice liddell", ["a"]),
        ("liddell alice", ["a"]), ("żółw", ["c"]), ("ŻÓŁW", ["c"]), ("bob liddell", []),
        ("lidd", []), ("*", []), ("%", []), ("_", []), (".", []), ("0", []), ("", []),
        ("a b c d e f g h", []), ("**", []), ("search.**", []),
    ],
)  # fmt: skip
def test_a_name_is_matched_by_whole_words(words: str, found: list[str]) -> None:
    """CVE-1999-0197/0198, CVE-2001-1503, CVE-1999-0259: no sign lists them all."""
    assert matching(NAMES, words.split()) == found


def test_a_static_directory_matches_the_names_of_its_people() -> None:
    source = StaticSource("static")
    source.add("alice", ALICE)
    source.add("liz", ALICE)  # an alias
    source.add("text", Text("liddell"))
    assert asyncio.run(source.match(["liddell"])) == ["alice"]


# --- accounts ---


def test_all_accounts_are_enumerated_as_pwd_does() -> None:
    expected = [(one.pw_name, one.pw_uid, one.pw_gecos) for one in pwd.getpwall()]
    assert [(one.name, one.uid, one.gecos) for one in passwd.accounts()] == expected


def test_accounts_are_enumerated_for_a_while_only() -> None:
    ticks = iter(range(100))
    assert len(list(passwd.accounts(lambda: float(next(ticks))))) == passwd.MAX_SECONDS - 1


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AccountsSource:
    """Accounts of the test: alice and bob have a plan, carol has none, dave has .nofinger."""
    logins = ("alice", "bob", "carol", "dave")
    homes = {login: tmp_path / login for login in logins}
    for login, home in homes.items():
        home.mkdir()
        if login != "carol":
            (home / ".plan").write_text(f"the plan of {login}")
    (homes["dave"] / ".nofinger").touch()

    def account(login: str) -> pwd.struct_passwd:
        name = f"{login.capitalize()} Liddell"
        return pwd.struct_passwd((login, "x", os.getuid(), 100, name, str(homes[login]), "/bin/sh"))

    everybody = [Account(login, os.getuid(), account(login).pw_gecos) for login in logins]
    monkeypatch.setattr(pwd, "getpwnam", account)
    monkeypatch.setattr(passwd, "accounts", lambda: iter(everybody))
    seen = [LoggedIn(login, NOW, f"no/{login}") for login in (*logins, "carol", "bob")]

    class Here:
        def of(self, user: str) -> tuple[tuple[Session, ...] | None, str]:
            return tuple(Session(NOON, one.tty) for one in seen if one.user == user), "logind"

        def who(self) -> list[str]:
            return [one.user for one in seen]

    here: Any = Here()
    return AccountsSource("accounts", Options(uids=Range(0, MAX_UID)), here)


def test_accounts_list_those_who_are_visible_and_here(machine: AccountsSource) -> None:
    rows = ask(house(machine), "").octets.decode().splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["alice", "bob", "bob"]


def test_accounts_match_those_who_are_visible(machine: AccountsSource) -> None:
    told = ask(house(machine), "liddell").octets
    assert [line.split()[1] for line in told.splitlines() if line.startswith(b"Login")] == [
        b"alice",
        b"bob",
    ]
    assert ask(house(machine), "carol liddell").octets == ABSENT


def test_what_nobody_may_see_is_not_looked_for(machine: AccountsSource) -> None:
    machine.select(frozenset({"name", "plan"}))
    person = asyncio.run(machine.find("alice"))
    assert isinstance(person, Person)
    assert person.plan == "the plan of alice"
    assert (person.sessions, person.last_login, person.mail, person.forward) == (None,) * 4


# --- what is reused ---


def test_a_list_is_reused_shortly_and_by_its_audience_only() -> None:
    now = [0.0]
    source = village(alice=ALICE)
    local = Audience("local", networks=audience().networks[:1], show=frozenset(), list="sessions")
    policy = Policy([local, audience()])
    ruip = Ruip(policy, Directory([Mounted(source)]), lambda: now[0], wall=lambda: NOW)
    near, far = policy.client("127.0.0.1"), policy.client("::1")

    async def scenario() -> None:
        told = await ruip.answer(b"\r\n", near)
        assert ruip.ready(b"\r\n", near, now[0]) == told
        assert ruip.ready(b"\r\n", far, now[0]) is None
        assert ruip.ready(b"/W\r\n", near, now[0]) is None
        assert (await ruip.answer(b"\r\n", far)).octets != told.octets
        now[0] = lists.LIST_LIFETIME + 0.1
        assert ruip.ready(b"\r\n", near, now[0]) is None

    asyncio.run(scenario())


def test_w_asks_for_one_user_once() -> None:
    async def scenario() -> None:
        source = Told(ALICE, waits=asyncio.Event())
        ruip = house(source)
        client = ruip.policy.client(CLIENT)
        lines = (b"alice\r\n", b"/W alice\r\n", b" alice\n")
        asking = [asyncio.create_task(ruip.answer(line, client)) for line in lines]
        await until(lambda: bool(source.asked))
        assert source.waits is not None
        source.waits.set()
        await asyncio.gather(*asking)
        assert source.asked == ["alice"]

    run(scenario())


# --- configuration and explanation ---


def settings(tmp_path: Path, text: str) -> Any:
    (tmp_path / "fingerd.toml").write_text(text)
    return load(tmp_path / "fingerd.toml", None)


def test_names_are_matched_only_where_lists_are_allowed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"audience\[1\].match_names: needs list = true"):
        settings(tmp_path, "[[audience]]\nmatch_names = true\n")
    loaded = settings(tmp_path, "[[audience]]\nlist = true\nmatch_names = true\n")
    assert loaded.audiences[0].match_names


def test_sessions_are_looked_for_only_where_somebody_may_see_them(tmp_path: Path) -> None:
    def looks_for(text: str) -> frozenset[str]:
        source = settings(tmp_path, text).sources[0].source
        assert isinstance(source, AccountsSource)
        return source._options.atoms

    assert looks_for("") == {"name", "status", "project", "plan"}
    assert "sessions" in looks_for('[[audience]]\nname = "local"\nshow = ["sessions"]\n')


def explained(ruip: Ruip, directory: Directory, query: str) -> list[str]:
    client = ruip.policy.client(CLIENT)
    return asyncio.run(explain(ruip.policy, directory, query.encode(), client))


def test_explain_tells_who_named_whom_and_where_each_atom_is_from(machine: AccountsSource) -> None:
    to = audience(["name", "sessions", "mail"])
    ruip, directory = house(machine, to=to), Directory([Mounted(machine), Mounted(Mute())])
    told = explained(ruip, directory, "")
    assert "list: accounts: 6" in told
    assert any(line.startswith("list: dave: accounts: ") and ".nofinger" in line for line in told)
    assert any(line.startswith("list: carol: accounts: no readable ~/.plan") for line in told)
    assert any(line.startswith("alice: sessions: logind; the last login: ") for line in told)
    assert any(line.startswith("alice: mail: ") and "/mail" in line for line in told)
    assert 'alice: plan: hidden: not in show of the audience "everyone"' in told


def test_explain_tells_whose_name_matched_or_why_none_was_searched(machine: AccountsSource) -> None:
    ruip, directory = house(machine), Directory([Mounted(machine)])
    told = explained(ruip, directory, "liddell")
    assert "names: accounts: 4" in told
    assert "bob: name: NSS, account bob" in told
    for to, key in ((audience(match_names=False), "match_names"), (Audience(), "list")):
        told = explained(house(machine, to=to), directory, "liddell")
        assert f'names: not searched: the audience "everyone" has {key} = false' in told


def test_explain_tells_that_no_source_can_list() -> None:
    assert "list: no source is able to say" in explained(house(), Directory([Mounted(Mute())]), "")
