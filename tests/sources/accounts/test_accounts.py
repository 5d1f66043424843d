# SPDX-License-Identifier: MIT
"""This machine's accounts: who is shown, what of them, and what happens where NSS is in trouble."""

from __future__ import annotations

import asyncio
import os
import pwd
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.config.mistakes import Mistake
from fingerd_sd.config.table import Layer, Table
from fingerd_sd.protocol.entry import ATOMS, Absent, Person
from fingerd_sd.protocol.layout.long import long_form
from fingerd_sd.protocol.reply import encode
from fingerd_sd.protocol.text import CUT_MARK
from fingerd_sd.sources.accounts import source as accounts
from fingerd_sd.sources.accounts.home import MAX_USER_FILE
from fingerd_sd.sources.accounts.source import AccountsSource, Options, look_up
from fingerd_sd.sources.people import MAX_UID, Range, parse_gecos

from ...helpers import needs
from ...helpers.houses import bare, ruip
from ...helpers.ordinary import as_ordinary_user, reachable_folder
from ...helpers.wire import descriptors_left, run, until
from ...helpers.wire_cases import BROKEN, NOBODY

UID = os.geteuid()
# Nothing of the machine that the tests run on: its sessions, its records of logins, its mail.
FILES = frozenset(ATOMS) - {"sessions", "mail"}
OURS = Options(uids=Range(0, MAX_UID), atoms=FILES)
ALL = Options(visible="all", uids=Range(0, MAX_UID))


class Accounts:
    """The accounts that NSS knows in a test: name → entry. `homes`: where their homes are."""

    def __init__(self, homes: Path) -> None:
        self.homes = homes
        self.known: dict[str, pwd.struct_passwd] = {}

    def add(self, name: str, gecos: str = "", uid: int = UID, shell: str = "/bin/sh") -> Path:
        home = self.homes / name
        home.mkdir()
        entry = (name, "x", uid, UID, gecos, str(home), shell)
        self.known[name] = pwd.struct_passwd(entry)
        return home

    def getpwnam(self, name: str) -> pwd.struct_passwd:
        return self.known[name]


@pytest.fixture
def nss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Accounts:
    known = Accounts(tmp_path)
    monkeypatch.setattr(pwd, "getpwnam", known.getpwnam)
    return known


@pytest.fixture
def public_nss(monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    """Accounts whose homes an ordinary user can reach."""
    with reachable_folder() as folder:
        known = Accounts(folder)
        monkeypatch.setattr(pwd, "getpwnam", known.getpwnam)
        yield known


def person(user: str, options: Options = OURS) -> Person:
    found = look_up(user, options)
    assert isinstance(found, Person), found
    return found


def why_absent(user: str, options: Options = OURS) -> str:
    found = look_up(user, options)
    assert isinstance(found, Absent), found
    return found.why


# --- out of descriptors ---


@pytest.mark.parametrize("left", range(3))
def test_out_of_descriptors_nobody_is_taken_for_hidden(nss: Accounts, left: int) -> None:
    """It takes three: the home, the place of a file, the file."""
    (nss.add("alice") / ".plan").touch()
    with descriptors_left(left), pytest.raises(OSError, match="Too many open files"):
        look_up("alice", ALL)
    assert person("alice").plan == ""


@pytest.mark.parametrize("user", ["alice", "nobody-has-this"], ids=["hidden", "absent"])
@pytest.mark.parametrize("left", range(3))
def test_out_of_descriptors_hidden_and_absent_are_alike(
    nss: Accounts, user: str, left: int
) -> None:
    nss.add("alice")
    with descriptors_left(left), pytest.raises(OSError, match="Too many open files"):
        look_up(user, OURS)
    assert isinstance(look_up(user, OURS), Absent)


def test_out_of_descriptors_nobody_is_taken_for_absent() -> None:
    """The pwd module says KeyError where NSS cannot open its files."""
    with descriptors_left(), pytest.raises(OSError, match="Too many open files"):
        look_up("root", ALL)
    assert look_up("root", ALL) != Absent("no such account")


# --- who is shown ---


def test_an_account_with_a_plan_is_shown(nss: Accounts) -> None:
    home = nss.add("alice", "Alice Liddell,Hill 016,9085551234,2125550100", shell="/bin/zsh")
    (home / ".plan").write_text("Working.\n")
    (home / ".project").write_text("finger\n")
    assert bare(person("alice")) == Person(
        "alice",
        name="Alice Liddell",
        directory=str(home),
        shell="/bin/zsh",
        office="Hill 016",
        phone="9085551234",
        home_phone="2125550100",
        project="finger\n",
        plan="Working.\n",
        uid=UID,
    )


@pytest.mark.parametrize("name", [".plan", ".project"])
def test_one_of_the_two_files_is_enough(nss: Accounts, name: str) -> None:
    (nss.add("alice") / name).touch()
    assert person("alice").login == "alice"


def test_who_did_nothing_is_not_shown(nss: Accounts) -> None:
    nss.add("alice", "Alice Liddell")
    assert "opt-in" in why_absent("alice")


def test_visible_all_shows_who_did_nothing(nss: Accounts) -> None:
    nss.add("alice", "Alice Liddell")
    assert person("alice", ALL).name == "Alice Liddell"
    assert person("alice", ALL).plan is None


@pytest.mark.parametrize("options", [OURS, ALL])
@pytest.mark.parametrize("kind", ["file", "dangling link", "folder"])
def test_nofinger_hides(nss: Accounts, options: Options, kind: str) -> None:
    home = nss.add("alice")
    (home / ".plan").write_text("Working.\n")
    wish = home / ".nofinger"
    if kind == "file":
        wish.touch()
    elif kind == "folder":
        wish.mkdir()
    else:
        wish.symlink_to("nowhere")
    assert ".nofinger" in why_absent("alice", options)


@pytest.mark.parametrize("uid", [0, 1, 999, 60001, 65534])
def test_accounts_of_the_system_are_not_shown(nss: Accounts, uid: int) -> None:
    (nss.add("daemon", uid=uid) / ".plan").touch()
    for options in (Options(), Options(visible="all")):
        assert f"uid {uid}" in why_absent("daemon", options)


@pytest.mark.parametrize("uid", [1000, 60000])
def test_the_bounds_of_the_uids_are_included(nss: Accounts, uid: int) -> None:
    nss.add("alice", uid=uid)
    assert person("alice", Options(visible="all")).login == "alice"


@pytest.mark.parametrize("user", ["nobody-here", "", "-s", "*", "/etc/passwd", "..", "a b"])
def test_a_name_without_an_account_is_absent(nss: Accounts, user: str) -> None:
    assert why_absent(user) == "no such account"


@pytest.mark.parametrize("user", ["alice\0", "\ud800", "x" * 100_000])
def test_a_name_that_no_account_can_have_is_absent(user: str) -> None:
    assert why_absent(user) == "no such account"


def test_an_account_is_asked_for_by_its_own_name(
    nss: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LDAP finds "Alice" for "ALICE", and by uid; who is asked for is the login."""
    (nss.add("alice") / ".plan").touch()
    monkeypatch.setattr(pwd, "getpwnam", lambda _: nss.known["alice"])
    assert "alice" in why_absent("ALICE")
    assert person("alice").login == "alice"


# --- homes ---


def test_a_home_that_is_not_there_is_as_an_empty_one(nss: Accounts) -> None:
    nss.add("alice", "Alice").rmdir()
    assert "opt-in" in why_absent("alice")
    assert person("alice", ALL).name == "Alice"


def consented(user: str, options: Options = OURS) -> Person | Absent:
    return run(AccountsSource("accounts", options).find_consented(user))


def test_who_has_consented_elsewhere_is_shown_with_a_private_home_and_without_a_plan(
    public_nss: Accounts,
) -> None:
    home = public_nss.add("alice", "Alice", uid=4242)
    public_nss.add("bob", "Bob")
    home.chmod(0)
    entries = [Person("alice", name="Alice"), Person("bob", name="Bob")]
    shown = as_ordinary_user(
        lambda: long_form([_person_of("alice"), _person_of("bob")], ["name", "plan"])
    )
    assert shown == long_form(entries, ["name", "plan"])


def _person_of(user: str) -> Person:
    said = consented(user)
    assert isinstance(said, Person), said
    return said


def test_nofinger_hides_what_is_here_of_who_has_consented_elsewhere(nss: Accounts) -> None:
    (nss.add("alice") / ".nofinger").touch()
    said = consented("alice")
    assert isinstance(said, Absent)
    assert ".nofinger" in said.why
    assert consented("nobody-has-this") == Absent("no such account")


@pytest.mark.parametrize("mode", [0o000, 0o700])
@pytest.mark.parametrize("visible", ["opt-in", "all"])
def test_who_has_a_home_that_cannot_be_searched_is_not_shown(
    public_nss: Accounts, mode: int, visible: str
) -> None:
    """There may be a .nofinger in it: fingerd of BSD fails open here."""
    home = public_nss.add("alice", "Alice", uid=4242)
    (home / ".plan").write_text("Working.\n")
    if not needs.reading_anything() or mode == 0:
        home.chmod(mode)
    else:  # an ordinary user owns it, and may search what has 0700
        home.chmod(0o600)
    options = Options(visible=visible)
    assert "cannot be searched" in as_ordinary_user(lambda: why_absent("alice", options))


def test_an_administrator_may_show_who_has_a_home_that_cannot_be_searched(
    public_nss: Accounts,
) -> None:
    home = public_nss.add("alice", "Alice", uid=4242)
    (home / ".plan").write_text("Working.\n")
    home.chmod(0)
    options = Options(visible="all", unreadable_home="show")
    shown = as_ordinary_user(lambda: encode(long_form([person("alice", options)], ["name"])))
    assert shown == b"Login: alice          \t\t\tName: Alice\r\n"
    opt_in = Options(visible="opt-in", unreadable_home="show")
    assert "cannot be searched" in as_ordinary_user(lambda: why_absent("alice", opt_in))


def test_a_plan_in_a_home_that_may_be_searched_only_is_shown(public_nss: Accounts) -> None:
    home = public_nss.add("alice")
    (home / ".plan").write_text("Working.\n")
    (home / ".plan").chmod(0o644)
    home.chmod(0o711)
    assert as_ordinary_user(lambda: person("alice").plan) == "Working.\n"


def test_an_unreadable_plan_opts_nobody_in(public_nss: Accounts) -> None:
    home = public_nss.add("alice")
    home.chmod(0o755)
    (home / ".plan").write_text("secret")
    (home / ".plan").chmod(0)
    assert "Permission denied" in as_ordinary_user(lambda: why_absent("alice"))
    everybody = as_ordinary_user(lambda: person("alice", ALL).plan)
    assert everybody is None


@pytest.mark.parametrize("trick", ["fifo", "link", "folder"])
def test_a_trick_in_one_file_leaves_the_other_as_it_is(nss: Accounts, trick: str) -> None:
    home = nss.add("alice")
    (home / ".project").write_text("finger\n")
    if trick == "fifo":
        os.mkfifo(home / ".plan")
    elif trick == "folder":
        (home / ".plan").mkdir()
    else:
        (home / ".plan").symlink_to("/etc/passwd")
    shown = person("alice")
    assert (shown.plan, shown.project) == (None, "finger\n")
    assert ".plan" in shown.origins["plan"]


@pytest.mark.parametrize("trick", ["fifo", "link", "dangling"])
def test_a_trick_alone_opts_nobody_in(nss: Accounts, trick: str) -> None:
    home = nss.add("alice")
    if trick == "fifo":
        os.mkfifo(home / ".plan")
    else:
        (home / ".plan").symlink_to("/etc/passwd" if trick == "link" else "nowhere")
    assert "opt-in" in why_absent("alice")


def test_a_bad_user_does_not_break_the_others(nss: Accounts) -> None:
    (nss.add("x", "X\udcff\udcfe") / ".plan").write_bytes(b"caf\xe9 \xff\n")
    (nss.add("y", "Y") / ".plan").write_text("zażółć\n")
    shown = [encode(long_form([person(user)], ATOMS)).decode("utf-8") for user in "xy"]
    assert "café ÿ\r\n" in shown[0]
    assert "Name: Xÿþ" in shown[0]
    assert "zażółć\r\n" in shown[1]


@pytest.mark.parametrize("wide", [0, 1, 5, 20])
def test_a_plan_of_1_mib_is_cut_once_and_says_so_once(nss: Accounts, wide: int) -> None:
    """Octets are counted where it is read, characters where it is laid out."""
    home = nss.add("alice")
    (home / ".plan").write_text("ł" * wide + "p" * (1 << 20))
    text = long_form([person("alice")], ["plan"])
    assert text.count("[") == text.count(CUT_MARK) == 1
    assert text.endswith(f"p\n{CUT_MARK}\n")
    assert len(text.encode()) < MAX_USER_FILE + 200


def test_an_atom_says_where_it_came_from(nss: Accounts) -> None:
    home = nss.add("alice", "Alice")
    (home / ".plan").touch()
    origins = person("alice").origins
    assert origins["name"] == "NSS, account alice"
    assert origins["plan"] == f"{home}/.plan"
    assert origins["project"] == f"no {home}/.project"


def test_an_empty_shell_is_the_default_one(nss: Accounts) -> None:
    (nss.add("alice", shell="") / ".plan").touch()
    assert person("alice").shell == "/bin/sh"


# --- gecos ---


@pytest.mark.parametrize(
    ("field", "login", "atoms"),
    [
        ("", "alice", {}),
        ("Alice Liddell", "alice", {"name": "Alice Liddell"}),
        ("& Liddell", "alice", {"name": "Alice Liddell"}),
        ("The & of &", "bob", {"name": "The Bob of Bob"}),
        ("*Alice", "alice", {"name": "Alice"}),
        ("Alice,,,", "alice", {"name": "Alice"}),
        (",Hill 016", "alice", {"office": "Hill 016"}),
        (" Alice , Hill ", "alice", {"name": "Alice", "office": "Hill"}),
        (
            "A,B,C,D,other,more",
            "alice",
            {"name": "A", "office": "B", "phone": "C", "home_phone": "D"},
        ),
        ("A,B & C", "alice", {"name": "A", "office": "B & C"}),
        ("Caf\udce9", "alice", {"name": "Café"}),
        ("Żółw", "alice", {"name": "Żółw"}),
        ("&", "", {}),
    ],
)
def test_gecos_is_read_as_bsd_finger_does(field: str, login: str, atoms: dict[str, str]) -> None:
    assert parse_gecos(field, login) == atoms


@given(st.binary(max_size=40).map(os.fsdecode))
def test_any_gecos_field_is_read(field: str) -> None:
    atoms = parse_gecos(field, "alice")
    assert set(atoms) <= {"name", "office", "phone", "home_phone"}
    assert all(atoms.values())


def test_a_gecos_field_of_1_mib_is_bounded(nss: Accounts) -> None:
    """CVE-1999-0708, CVE-2001-0735."""
    (nss.add("alice", "A" * (1 << 20) + "," + "B" * (1 << 20)) / ".plan").touch()
    assert len(long_form([person("alice")], ATOMS)) < 2000


# --- the source ---


def test_find_looks_up_in_a_thread(nss: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    (nss.add("alice") / ".plan").touch()
    threads: list[int] = []

    def spy(name: str) -> pwd.struct_passwd:
        threads.append(threading.get_ident())
        return nss.getpwnam(name)

    monkeypatch.setattr(pwd, "getpwnam", spy)
    found = run(AccountsSource("accounts", OURS).find("alice"))
    assert isinstance(found, Person)
    assert threads
    assert threading.get_ident() not in threads


def test_nss_that_fails_is_a_failure_not_an_absence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(pwd, "getpwnam", fail)
    house = ruip(AccountsSource("accounts", OURS))
    answer = run(house.answer(b"alice\r\n", house.policy.client("192.0.2.1")))
    assert answer.octets == BROKEN
    assert "Input/output error" in caplog.text


def test_nss_that_hangs_hangs_neither_the_loop_nor_the_process(
    nss: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, release = threading.Event(), threading.Event()

    def hang(name: str) -> pwd.struct_passwd:
        if name == "dead":
            hanging.set()
            release.wait(20)
        return nss.getpwnam(name)

    (nss.add("alice") / ".plan").touch()
    monkeypatch.setattr(pwd, "getpwnam", hang)

    async def scenario() -> tuple[bytes, bytes]:
        source = AccountsSource("accounts", OURS)
        source.timeout = 0.05
        house = ruip(source)
        client = house.policy.client("192.0.2.1")
        dead = asyncio.create_task(house.answer(b"dead\r\n", client))
        await until(hanging.is_set)
        source.timeout = 30
        alive = await house.answer(b"alice\r\n", client)
        return (await dead).octets, alive.octets

    try:
        dead, alive = run(scenario())
    finally:
        release.set()
    assert dead == BROKEN
    assert alive.startswith(b"Login: alice")


def test_absent_and_hidden_accounts_are_the_same_octets(nss: Accounts) -> None:
    (nss.add("hidden") / ".nofinger").touch()
    nss.add("shy")
    (nss.add("system", uid=4_000_000_000) / ".plan").touch()
    house = ruip(AccountsSource("accounts", Options(uids=Range(0, 3_000_000_000))))

    async def scenario() -> set[bytes]:
        client = house.policy.client("192.0.2.1")
        users = (b"hidden", b"shy", b"system", b"absent")
        return {(await house.answer(user + b"\r\n", client)).octets for user in users}

    assert run(scenario()) == {NOBODY}


# --- options ---


def read(values: dict[str, Any]) -> tuple[AccountsSource, list[Mistake]]:
    mistakes: list[Mistake] = []
    table = Table([Layer(Path("fingerd.toml"), values)], "source[1]", mistakes)
    return accounts.read(table, "accounts"), mistakes


def test_the_defaults_are_private() -> None:
    assert Options() == Options("opt-in", Range(1000, 60000), "hide")
    assert read({})[1] == []


@pytest.mark.parametrize(
    ("values", "key", "said"),
    [
        ({"visible": "everyone"}, "visible", 'expected "opt-in" or "all"'),
        ({"visible": True}, "visible", "expected a string"),
        ({"min_uid": -1}, "min_uid", "from 0"),
        ({"max_uid": 2**32}, "max_uid", "4294967294"),
        ({"min_uid": 5, "max_uid": 4}, "min_uid", "greater than max_uid"),
        ({"min_uid": "1000"}, "min_uid", "whole number"),
        ({"unreadable_home": "maybe"}, "unreadable_home", '"hide" or "show"'),
        ({"visble": "all"}, "visble", 'did you mean "visible"?'),
    ],
)
def test_a_mistake_names_its_key_and_what_is_expected(
    values: dict[str, Any], key: str, said: str
) -> None:
    [mistake] = read(values)[1]
    assert mistake.key == f"source[1].{key}"
    assert said in mistake.text


def test_full_names_are_read_again_after_they_were_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[Options] = []

    def all_names(options: Options) -> dict[str, list[str]]:
        read.append(options)
        return {"alice": ["alice"]}

    monkeypatch.setattr(accounts, "_all_names", all_names)
    source = AccountsSource("accounts", OURS)

    async def scenario() -> None:
        for times in (1, 2):
            for _ in range(2):
                assert await source.match(["Alice"]) == ["alice"]
                assert len(read) == times
            source.give_back()
            assert source._names == {}

    run(scenario())
