# SPDX-License-Identifier: MIT
"""What files may hold: the administrator's, those of the users, and the records of logins."""

from __future__ import annotations

import json
import os
import pwd
import re
from contextlib import suppress
from math import isfinite
from pathlib import Path
from unittest.mock import patch

from fingerd_sd.commands import settings
from fingerd_sd.config.mistakes import ConfigError, Mistake
from fingerd_sd.config.server import DAY
from fingerd_sd.directory.source import SourceError
from fingerd_sd.protocol.entry import ATOMS, Entry, Person, Text
from fingerd_sd.protocol.layout.long import long_form
from fingerd_sd.protocol.layout.short import short_form
from fingerd_sd.protocol.query import Query, parse
from fingerd_sd.protocol.reply import encode
from fingerd_sd.protocol.text import CUT_MARK, is_printable
from fingerd_sd.sources.accounts.home import MAX_USER_FILE
from fingerd_sd.sources.accounts.last_login import Records, last_login
from fingerd_sd.sources.accounts.sessions import utmp
from fingerd_sd.sources.accounts.sessions.listing import complete
from fingerd_sd.sources.accounts.sessions.logind import LoggedIn
from fingerd_sd.sources.accounts.source import Options, look_up
from fingerd_sd.sources.people import Range
from fingerd_sd.sources.static import compile as users_compile
from fingerd_sd.sources.static.database import DatabaseSource, fault
from fingerd_sd.sources.static.source import StaticSource

from .target import SEPARATOR, Target, assert_sendable, folder, parts, quiet

EXAMPLE = Path(__file__).parents[2] / "packaging" / "example" / "fingerd.toml"
NOW = 1_800_000_000  # seconds since the epoch
SAFE = re.compile(rb"/(?:dev|proc|sys)")  # files without an end are the administrator's own fault

# A value of each type of TOML, and those at the ends of what is allowed.
VALUES = (
    "true", "false", "0", "-1", "1", "0.1", "30", "1048576", "1e308", "-inf", "nan", "9" * 400,
    "9" * 5000, "0x" + "f" * 4000,
    '""', '"all"', '"full"', '"static"', '"accounts"', '"command"', '"web"',
    '"everyone"', '"\\u0000"', '"a\\nb"', '"\\u001b[31m"', '"http://[::1]:99999/{user}"',
    '"https://example.org/{user}"', '"users.toml"', '"."', "[]", '["all"]', '["plan"]', "[1, true]",
    '["0.0.0.0/0"]', '["192.0.2.1/24"]', '["*"]', '["/bin/echo", "{user}"]', "[[]]", "{}",
    '{ alice = "hello" }', '{ alice = { plan = 1, aliases = ["@"] } }', '{ "\\u001b" = {} }',
    '{ A = { credential = "x" } }', "{ A = 1 }", "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00",
)  # fmt: skip


def _example() -> tuple[list[tuple[str, str]], tuple[bytes, ...]]:
    """Return the keys that the example configuration knows, with their tables, and its words."""
    text = EXAMPLE.read_text()
    keys = []
    section = ""
    for header, key in re.findall(r"^#(?:(\[+\w+\]+)|(\w+) = )", text, re.M):
        section = header or section
        if key:
            keys.append((section, key))
    found = re.findall(r'^#(\[+\w+\]+|\w+ = |type = "\w+")', text, re.M)
    return keys, tuple(sorted({word.encode() for word in found}))


KEYS, WORDS = _example()


def config(octets: bytes) -> None:
    """A configuration can be used, or its mistakes are told; nothing else comes of any octets."""
    if SAFE.search(octets):
        return
    main, drop_in, users = parts(octets, 3)
    with folder() as here:
        (here / "fingerd.toml").write_bytes(main)
        (here / "users.toml").write_bytes(users)
        (here / "conf.d").mkdir()
        (here / "conf.d" / "10.toml").write_bytes(drop_in)
        _load(here)


def keys(octets: bytes) -> None:
    """The same of known keys with values of any type: each pair of octets sets one."""
    tables: dict[str, dict[str, str]] = {}
    number = 0
    for key, value in zip(octets[::2], octets[1::2], strict=False):
        section, name = KEYS[key % len(KEYS)]
        if name in tables.get(f"{number} {section}", {}):
            number += 1  # once more: another table of the same kind, or a mistake
        tables.setdefault(f"{number} {section}", {})[name] = VALUES[value % len(VALUES)]
    lines = []
    for header, values in tables.items():
        lines += [header.partition(" ")[2], *(f"{key} = {value}" for key, value in values.items())]
    with folder() as here:
        (here / "fingerd.toml").write_text("\n".join(lines))
        _load(here)


def _load(here: Path) -> settings.Settings | None:
    try:
        # To look for other packages' sources takes longer than all the rest.
        with patch("fingerd_sd.sources._registered", return_value=()):
            loaded = settings.load(here / "fingerd.toml", here / "conf.d")
    except ConfigError as error:
        mistakes = error.mistakes
    else:
        return _used(loaded, here)
    assert mistakes
    _assert_told(*mistakes)
    return None


def _used(loaded: settings.Settings, here: Path) -> settings.Settings:
    _assert_told(*loaded.warnings)
    limits = loaded.limits
    assert 0 < limits.query_timeout <= DAY
    assert 0 < limits.answer_timeout <= DAY
    assert isfinite(loaded.idle_exit)
    assert loaded.sources or "[[source]]" not in (here / "fingerd.toml").read_text()
    names = [audience.name for audience in loaded.audiences]
    assert len(set(names)) == len(names)
    assert is_printable("".join(names))
    return loaded


def _assert_told(*mistakes: Mistake) -> None:
    for mistake in mistakes:
        assert mistake.text
        assert not mistake.text.startswith("the package"), "a source that raises anything"
        assert str(mistake).startswith(f"{mistake.file}: ")
        assert is_printable(str(mistake).removeprefix(f"{mistake.file}"))


def users(octets: bytes) -> None:
    """A file of users is a directory in which each can be asked for, or has mistakes."""
    if SAFE.search(octets):
        return
    with folder() as here:
        (here / "fingerd.toml").write_text('[[source]]\ntype = "static"\nfile = "users.toml"\n')
        (here / "users.toml").write_bytes(octets)
        loaded = _load(here)
        if loaded is not None and isinstance(source := loaded.sources[0].source, StaticSource):
            quiet(_each(source))


def lines(octets: bytes) -> None:
    """Lines of JSON are a database in which each user can be asked for, or have mistakes."""
    mistakes: list[Mistake] = []
    with folder() as here:
        target = here / "users.db"
        try:
            tables = users_compile.from_lines(octets.splitlines(keepends=True), mistakes)
            users_compile.write(tables, mistakes, target)
        except ConfigError as error:
            _assert_told(*error.mistakes)
            assert list(here.iterdir()) == []
            return
        quiet(_each(DatabaseSource("users", target)))


def database(octets: bytes) -> None:
    """A database that is broken is told of as a failure of its source."""
    with folder() as here:
        path = here / "users.db"
        path.write_bytes(octets)
        fault(path)
        with suppress(SourceError):
            quiet(_each(DatabaseSource("users", path), known=False))


async def _each(source: StaticSource | DatabaseSource, known: bool = True) -> None:
    try:
        for name in await source.who():
            found = await source.find(name)
            if known:
                assert isinstance(found, Person | Text)
                assert parse(name.encode()) == Query(name)
            if isinstance(found, Person | Text):
                _shown(found)
        await source.match(["alice"])
    finally:
        if isinstance(source, DatabaseSource):
            await source.close()


def _shown(entry: Entry) -> bytes:
    octets = encode(long_form([entry], ATOMS, NOW))
    assert_sendable(octets)
    login = entry.login if isinstance(entry, Person) else "alice"
    assert_sendable(encode(short_form([(login, entry)], ATOMS, NOW)))
    return octets


def home(octets: bytes) -> None:
    """What users write about themselves is shown, printable and bounded, and stops nothing. The
    first part of a case fills a plan up to the end of what is read.
    """
    gecos, plan, project, forward, key, fill = parts(octets, 6)
    with folder() as here:
        if fill:
            plan = b"x" * (MAX_USER_FILE - len(fill)) + plan
        for name, content in (
            (".plan", plan), (".project", project), (".forward", forward), (".pgpkey", key),
        ):  # fmt: skip
            (here / name).write_bytes(content)
        account = pwd.struct_passwd(
            ("alice", "x", os.getuid(), os.getgid(), os.fsdecode(gecos), str(here), "/bin/sh")
        )
        # What is not in the home is another's matter.
        options = Options(uids=Range(0, 1 << 31), atoms=frozenset(ATOMS) - {"sessions", "mail"})
        with patch("pwd.getpwnam", return_value=account):
            found = look_up("alice", options)
    assert isinstance(found, Person)
    assert len(_shown(found)) < 8 * len(octets) + 2 * MAX_USER_FILE + 1000
    assert (CUT_MARK in (found.plan or "")) is (
        len(plan) > MAX_USER_FILE
    ) or CUT_MARK.encode() in plan


def logins(octets: bytes) -> None:
    """Records of logins become text or nothing. The first octet says which kind of file it is."""
    names = ("utmp", "wtmp", "lastlog", "wtmp.db", "lastlog2.db")
    with folder() as here:
        for name in names:
            content = octets[1:] if octets and names[octets[0] % len(names)] == name else b""
            (here / name).write_bytes(content)
        seen = utmp.logged_in(here / "utmp")
        told = [LoggedIn(one.user, one.at, one.tty or None, one.host or None) for one in seen]
        sessions = complete(told, NOW, here)
        records = Records(
            (here / "wtmp.db",), here / "lastlog2.db", here / "lastlog", here / "wtmp"
        )
        last, origin = last_login(1, "alice", records)
        assert origin
    shown = _shown(Person("alice", sessions=tuple(sessions), last_login=last))
    assert shown.count(b"\n") < 5 + 3 * len(sessions), "a line of somebody's own"


def _json(*values: object) -> tuple[bytes, ...]:
    return tuple(json.dumps(value).encode() for value in values)


TOML = (
    b" = ", b"[", b"]", b"[[", b"]]", b"{", b"}", b'"""', b"'''", b"\\u0000", b"\\n", b"\\ud800",
    b"\r\n", b"1979-05-27T07:32:00Z", b"inf", b"nan", b"0x", b"1_0", b".", b"true", b"#",
)  # fmt: skip
USER = (
    b"name = ", b"office = ", b"phone = ", b"home_phone = ", b"project = ", b"plan = ", b"key = ",
    b"links = ", b"aliases = ", b"rel = ", b"href = ", b"alice", b'"@"', b'"/W"', b'"a\\tb"',
)  # fmt: skip
LINE = _json(
    "alice", "name", "aliases", "plan", "links", {"rel": "x", "href": "y"}, "\ud800", "\x1b", "a\n"
)
TARGETS = (
    Target("config", config, (*WORDS, *TOML, SEPARATOR, *(v.encode() for v in VALUES)), 2000, 8192),
    Target("keys", keys, (), 1500, 64),
    Target("users", users, (*TOML, *USER), 2500),
    Target("lines", lines, (*LINE, b"{", b"}", b"[", b"]", b":", b",", b"\n"), 700, 8192),
    Target("database", database, (b"alice", b'{"plan": "x"}', b"SQLite format 3\0"), 700, 16384),
    Target("home", home, (SEPARATOR, b"\xef\xbb\xbf", b"\xe2\x80\xae", b"&", b",", b"\x1b"), 2500),
    Target("logins", logins, (b"alice\0", b"pts/0\0", b"\x07\0"), 1500, 16384),
)
