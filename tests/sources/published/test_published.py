# SPDX-License-Identifier: MIT
"""Users who have published: who is shown, what of them, and that nothing of it is stale."""

from __future__ import annotations

import asyncio
import pwd
import socket
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.config.mistakes import Mistake
from fingerd_sd.config.table import Layer, Table
from fingerd_sd.directory.source import News, Publishes, SourceError
from fingerd_sd.policy.audience import PLANS, SESSIONS, Audience
from fingerd_sd.protocol.entry import ATOMS, Absent, Link, Person, Session, Status
from fingerd_sd.serving.publishing.client import SOCKET
from fingerd_sd.sources import mounting
from fingerd_sd.sources.accounts.source import AccountsSource, Options
from fingerd_sd.sources.people import Range
from fingerd_sd.sources.published import source as published
from fingerd_sd.sources.published import store
from fingerd_sd.sources.published.source import PublishedSource

from ...helpers.houses import bare, everyone, ruip
from ...helpers.published import NOON, Folder, account
from ...helpers.wire import run
from ...helpers.wire_cases import NOBODY

FILES = frozenset(ATOMS) - {"sessions", "mail"}


@pytest.fixture
def nss(monkeypatch: pytest.MonkeyPatch) -> dict[str, pwd.struct_passwd]:
    """The accounts of the machine, by name."""
    known = {"alice": account("alice", 1000, "Alice Liddell,Hill 016,9085551234")}
    monkeypatch.setattr(pwd, "getpwnam", lambda name: known[name])
    return known


def source(folder: Path, now: float = NOON) -> PublishedSource:
    return PublishedSource("published", Range(), str(folder), lambda: now)


def find(folder: Path, user: str = "alice", now: float = NOON) -> Person | Absent:
    return run(source(folder, now).find(user))


def why(folder: Path, user: str = "alice") -> str:
    said = find(folder, user)
    assert isinstance(said, Absent), said
    return said.why


def test_who_has_published_is_shown_with_what_nss_says(
    tmp_path: Path, nss: dict[str, pwd.struct_passwd]
) -> None:
    Folder(tmp_path).publish("alice", plan="Working.\n", key="PGP")
    said = find(tmp_path)
    assert bare(said) == Person(
        "alice",
        name="Alice Liddell",
        office="Hill 016",
        phone="9085551234",
        key="PGP",
        plan="Working.\n",
        beneath=True,
        lifetime=published.LIFETIME,
        uid=1000,
    )
    assert isinstance(said, Person)
    assert set(said.origins) == {"name", "office", "phone", "key", "plan"}
    assert said.origins["plan"].startswith("published ")


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("[]", []),
        ('[{"rel": "me", "href": "https://e/"}]', [Link("me", "https://e/")]),
        (
            '[{"rel": "self", "href": "https://e/a", "type": "application/activity+json"}]',
            [Link("self", "https://e/a", "application/activity+json")],
        ),
        ('[{"rel": "me", "href": "javascript:x"}, {"rel": "me", "href": "acct:a@e"}, 5]',
         [Link("me", "acct:a@e")]),
        ('[{"rel": "http://openid.net/specs/connect/1.0/issuer", "href": "https://e/"}]', []),
        ("", []),
        ("{", []),
        ("null", []),
        ('{"rel": "me"}', []),
        ("[" * 100_000, []),
    ],
)  # fmt: skip
def test_links_are_shown_as_far_as_they_do_no_harm(
    tmp_path: Path, nss: dict[str, pwd.struct_passwd], stored: str, shown: list[Link]
) -> None:
    Folder(tmp_path).publish("alice", links=stored)
    said = find(tmp_path)
    assert isinstance(said, Person)
    assert list(said.links) == shown


def test_who_has_published_nothing_is_absent_and_nss_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pwd, "getpwnam", None)
    assert why(tmp_path) == "has published nothing"
    Folder(tmp_path)
    assert why(tmp_path) == "has published nothing"
    assert why(tmp_path, "a\0") == "has published nothing"


def test_only_the_account_that_published_is_shown(
    tmp_path: Path, nss: dict[str, pwd.struct_passwd]
) -> None:
    folder = Folder(tmp_path)
    for login, uid in (("alice", 1001), ("gone", 1002), ("daemon", 1), ("other", 1003)):
        folder.publish(login, plan="Working.", uid=uid)
    nss["daemon"] = account("daemon", 1)
    nss["other"] = account("another", 1003)
    assert why(tmp_path) == "published by uid 1001, but the account has uid 1000"
    assert why(tmp_path, "gone") == "has published, but: no such account"
    assert "not from 1000 to 60000" in why(tmp_path, "daemon")
    assert 'called "another"' in why(tmp_path, "other")


@pytest.mark.parametrize(
    ("left", "lifetime"), [(None, 2.0), (3600.0, 2.0), (0.5, 0.5), (0.0, 2.0), (-9.0, 2.0)]
)
def test_a_status_ends_when_the_user_said(
    tmp_path: Path, nss: dict[str, pwd.struct_passwd], left: float | None, lifetime: float
) -> None:
    until = None if left is None else NOON + left
    Folder(tmp_path).publish("alice", status="on call", until=until)
    said = find(tmp_path)
    assert isinstance(said, Person)
    assert said.lifetime == lifetime
    if left is None or left > 0:
        assert isinstance(said.status, Status)
        assert said.status.text == "on call"
        assert (said.status.until and said.status.until.timestamp()) == until
    else:
        assert said.status is None
        assert said.origins["status"].endswith("but it has ended")


def test_a_status_is_not_shown_a_moment_longer(
    tmp_path: Path, nss: dict[str, pwd.struct_passwd]
) -> None:
    """A clock that is set back shows it again: it is what the user said of that hour."""
    Folder(tmp_path).publish("alice", status="on call", until=NOON)
    shown = [now for now in (NOON - 1, NOON, NOON - 1) if _status(tmp_path, now)]
    assert shown == [NOON - 1, NOON - 1]


def _status(folder: Path, now: float) -> Status | None:
    said = find(folder, now=now)
    assert isinstance(said, Person)
    return said.status


@pytest.mark.parametrize("octets", [b"no database " * 100, b"SQLite format 3\0" + bytes(9999)])
def test_a_store_that_cannot_be_read_is_the_sources_failure(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / store.FILE).write_bytes(octets)
    with pytest.raises(SourceError, match="what is published cannot be read"):
        find(tmp_path)


def test_a_folder_that_may_not_be_looked_into_is_the_sources_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="Not a directory"):
        find(tmp_path / "file")


# --- in the house ---


def accounts() -> AccountsSource:
    return AccountsSource("accounts", Options(atoms=FILES))


def ask(house: Any, line: bytes = b"alice\r\n") -> str:
    """Return the answer, kept or not."""
    client = house.policy.client("192.0.2.1")
    answer = house.ready(line, client, 0) or run(house.answer(line, client))
    return str(answer.octets.decode())


def test_a_publish_and_a_removal_are_seen_by_the_next_query(
    tmp_path: Path, nss: dict[str, pwd.struct_passwd]
) -> None:
    folder = Folder(tmp_path)
    house = ruip(source(tmp_path), accounts(), audiences=[everyone()], clock=lambda: 0.0)
    for plan in ("one", "two"):
        assert ask(house).encode() == NOBODY
        folder.publish("alice", plan=plan)
        assert plan in ask(house)
        folder.publish("alice", plan="another")
        assert "another" in ask(house)
        folder.remove("alice")
    assert ask(house).encode() == NOBODY


def test_what_is_published_stands_over_the_files(
    tmp_path: Path, nss: dict[str, pwd.struct_passwd]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".plan").write_text("in the file")
    (home / ".project").write_text("finger")
    uid = home.stat().st_uid
    nss["alice"] = pwd.struct_passwd(("alice", "x", uid, uid, "", str(home), "/bin/sh"))
    Folder(tmp_path).publish("alice", plan="published", uid=uid)
    everybody = Range(0, 60000)
    house = ruip(
        PublishedSource("published", everybody, str(tmp_path)),
        AccountsSource("accounts", Options(uids=everybody, atoms=FILES)),
        audiences=[everyone()],
    )
    shown = ask(house)
    assert "published" in shown
    assert "in the file" not in shown
    assert "Project:\r\nfinger\r\n" in shown
    assert f"Directory: {home}" in shown


def test_a_look_up_under_way_does_not_bring_back_what_was_removed(
    tmp_path: Path, nss: dict[str, pwd.struct_passwd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NSS hangs while the user removes all."""
    folder = Folder(tmp_path)
    folder.publish("alice", plan="Working.")
    hangs, goes_on = threading.Event(), threading.Event()

    def hang(name: str) -> pwd.struct_passwd:
        hangs.set()
        assert goes_on.wait(30)
        return nss[name]

    monkeypatch.setattr(pwd, "getpwnam", hang)

    async def scenario() -> None:
        house = ruip(source(tmp_path), audiences=[everyone()], clock=lambda: 0.0)
        client = house.policy.client("192.0.2.1")
        before = asyncio.create_task(house.answer(b"alice\r\n", client))
        await asyncio.to_thread(hangs.wait)
        folder.remove("alice")
        assert house.ready(b"alice\r\n", client, 0) is None
        after = await house.answer(b"alice\r\n", client)
        assert after.octets == NOBODY
        goes_on.set()
        assert b"Working." in (await before).octets  # it was asked before the removal
        kept = house.ready(b"alice\r\n", client, 0)
        assert kept is not None
        assert kept.octets == NOBODY

    run(scenario())


def test_a_first_publish_is_seen_although_nothing_was_stored_before(
    tmp_path: Path, nss: dict[str, pwd.struct_passwd]
) -> None:
    here = source(tmp_path)
    house = ruip(here, clock=lambda: 0.0)
    assert ask(house).encode() == NOBODY
    Folder(tmp_path).publish("alice", plan="Working.")
    here._generation.renew()  # or a tenth of a second later
    assert "Working." in ask(house)


def test_it_tells_news_and_who_published(tmp_path: Path) -> None:
    assert isinstance(source(tmp_path), News)
    assert isinstance(source(tmp_path), Publishes)
    folder = Folder(tmp_path)
    folder.fill([("alice", {"at": 1.0}), ("bob", {"at": 2.0})])

    async def recent() -> Any:
        here = source(tmp_path)
        said = await here.recent(9)
        await here.close()
        await here.close()
        return said

    assert run(recent()) == [("bob", 2.0), ("alice", 1.0)]


def test_a_list_of_plans_has_whom_a_query_shows_with_a_plan(
    tmp_path: Path, nss: dict[str, pwd.struct_passwd]
) -> None:
    folder = Folder(tmp_path)
    folder.publish("alice", plan="\n  Curiouser\tand curiouser!\nMore.\n")
    folder.publish("bob", plan="B", at=NOON + 60, uid=1001)
    folder.publish("carol", status="no plan", at=NOON + 61, uid=1002)
    folder.publish("gone", plan="G", at=NOON + 62, uid=1003)
    nss |= {"bob": account("bob", 1001), "carol": account("carol", 1002)}
    audience = Audience(list=PLANS, rate=0)
    shown = ask(ruip(source(tmp_path), accounts(), audiences=[audience]), b"\r\n").split("\r\n")
    assert [line.split()[0] for line in shown[:-1]] == ["Login", "bob", "alice"]
    assert shown[0].split() == ["Login", "Name", "Published", "Plan"]
    assert shown[2].endswith("  Curiouser and curiouser!")
    assert "Alice Liddell" in shown[2]
    whole = ask(ruip(source(tmp_path), audiences=[audience]), b"/W\r\n")
    assert whole.index("Login: bob") < whole.index("Login: alice")


class LoggedIn:
    """Sessions of a machine where alice and bob are logged in."""

    def of(self, user: str) -> tuple[tuple[Session, ...], str]:
        return (Session(datetime.fromtimestamp(NOON).astimezone(), "tty1"),), "logind"

    def who(self) -> list[str]:
        return ["alice", "bob"]


def test_a_list_of_who_is_here_has_whom_a_query_shows(
    tmp_path: Path, nss: dict[str, pwd.struct_passwd]
) -> None:
    """Both have homes that cannot be reached, and only alice has published."""
    nss["bob"] = account("bob", 1001)
    folder = Folder(tmp_path)
    here: Any = LoggedIn()
    everything = Audience(list=SESSIONS, show=frozenset(ATOMS), rate=0)
    sources = (source(tmp_path), AccountsSource("accounts", Options(), here))
    house = ruip(*sources, audiences=[everything], clock=lambda: 0.0)
    assert ask(house, b"\r\n") == "No one logged on.\r\n"
    folder.publish("alice", status="on call")
    [_, row, _] = ask(house, b"\r\n").split("\r\n")
    assert row.startswith("alice")
    assert "tty1" in row
    assert "On since" in ask(house)
    folder.remove("alice")
    assert ask(house, b"\r\n") == "No one logged on.\r\n"


# --- the configuration ---


def read(values: dict[str, Any]) -> tuple[PublishedSource, list[Mistake]]:
    mistakes: list[Mistake] = []
    table = Table([Layer("fingerd.toml", values)], "source[1]", mistakes)
    return published.read(table, "published"), mistakes


def test_its_accounts_are_those_of_people() -> None:
    source, mistakes = read({"min_uid": 500})
    assert (source.uids, mistakes) == (Range(500, 60000), [])


@pytest.mark.parametrize("values", [{"min_uid": 5, "max_uid": 4}, {"file": "x"}, {"max_uid": -1}])
def test_a_mistake_is_told(values: dict[str, Any]) -> None:
    assert read(values)[1]


def test_it_is_asked_by_default_where_users_can_publish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(shared: bool = False) -> list[str]:
        mistakes: list[Mistake] = []
        mounted = mounting.default_sources("fingerd.toml", mistakes, shared)
        assert mistakes == []
        return [item.source.name for item in mounted]

    monkeypatch.setattr(mounting, "PUBLISH", str(tmp_path / "publish"))
    assert names() == ["accounts"]
    assert names(shared=True) == ["published", "accounts"]
    (tmp_path / "publish").touch()
    assert names() == ["accounts"]
    (tmp_path / "publish").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "publish"))
        assert names() == ["published", "accounts"]


def test_it_looks_where_the_command_sends_to() -> None:
    assert mounting.PUBLISH == SOCKET
