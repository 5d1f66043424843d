# SPDX-License-Identifier: MIT
"""Users in a database: it answers as the same users in TOML do, and is written whole or not."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.commands import cli, exits
from fingerd_sd.config.files import read_toml
from fingerd_sd.config.mistakes import ConfigError, Mistake
from fingerd_sd.config.table import Layer, Table
from fingerd_sd.directory.source import MAX_LISTED, SourceError
from fingerd_sd.protocol.entry import Absent, Entry, Person, Text
from fingerd_sd.sources.static import compile as users_compile
from fingerd_sd.sources.static import database as users_db
from fingerd_sd.sources.static import source as static
from fingerd_sd.sources.static.database import DatabaseSource
from fingerd_sd.sources.static.source import StaticSource

from ...helpers.houses import bare
from ...helpers.wire import run

USERS = """
coke = "Cold"
Bob = "one"
Sam = "mixed"
SAM = "upper"
"Straße" = "street"
"żółw" = "turtle"
[alice]
name = "Alice Pleasance Liddell"
office = "Hill 016"
phone = "9085551234"
plan = "Working.\\nHard."
aliases = ["liddell", "Alice Liddell", "Alice"]
links = [{ rel = "self", href = "https://example.org/alice" }]
[lorina]
name = "Lorina LIDDELL"
[nobody]
"""
ASKED = re.split(
    " ",
    "coke COKE Bob bob BOB sam SAM Sam sAM straße STRASSE ŻÓŁW alice ALICE Liddell lorina nobody"
    " * % _ co_e c% . .. 0 ' \" ; -- eve",
)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    file = tmp_path / "users.toml"
    file.write_text(USERS)
    return file


@pytest.fixture
def compiled(toml: Path, tmp_path: Path) -> Path:
    file = tmp_path / "users.db"
    assert cli.main(["compile", str(toml), str(file)]) == exits.EX_OK
    return file


def table(values: dict[str, object], folder: Path) -> tuple[Table, list[Mistake]]:
    mistakes: list[Mistake] = []
    return Table([Layer(folder / "fingerd.toml", values)], "source[1]", mistakes), mistakes


def source(file: Path) -> StaticSource | DatabaseSource:
    asked, mistakes = table({"file": file.name}, file.parent)
    found = static.read(asked, "static")
    assert mistakes == []
    return found


async def closed(directory: DatabaseSource, user: str) -> Entry | Absent:
    try:
        return await directory.find(user)
    finally:
        await directory.close()


def find(file: Path, user: str) -> Entry | Absent:
    directory = source(file)
    assert isinstance(directory, DatabaseSource)
    return run(closed(directory, user))


def answers(file: Path) -> list[object]:
    async def ask() -> list[object]:
        directory = source(file)
        said: list[object] = [bare(await directory.find(user)) for user in ASKED]
        said.append(sorted(await directory.who()))
        for words in (["liddell"], ["Alice", "LIDDELL"], ["alice", "alice"], ["alice", "x"], ["*"]):
            said.append(sorted(await directory.match(words)))
        if isinstance(directory, DatabaseSource):
            await directory.close()
        return said

    return run(ask())


def test_a_database_answers_as_the_file_does_that_it_was_made_of(
    toml: Path, compiled: Path
) -> None:
    told = answers(compiled)
    assert told == answers(toml)
    assert Text("Cold") in told
    assert ["alice", "lorina"] in told


def test_it_is_a_database_whatever_it_is_called(compiled: Path) -> None:
    other = compiled.rename(compiled.with_name("users.toml"))
    assert bare(find(other, "coke")) == Text("Cold")


def test_an_atom_says_where_it_came_from(compiled: Path) -> None:
    person = find(compiled, "lorina")
    assert isinstance(person, Person)
    assert dict(person.origins) == {"name": f"{compiled}: lorina.name"}


def test_lines_of_json_make_the_same_database(
    toml: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = read_toml(toml, 1 << 20)
    lines = "\n".join(json.dumps({login: value}) for login, value in users.items())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    other = compiled.with_name("other.db")
    assert cli.main(["compile", "-", str(other)]) == exits.EX_OK
    assert answers(other) == answers(compiled)


def write(lines: list[object], target: Path) -> int:
    mistakes: list[Mistake] = []
    octets = [json.dumps(line).encode() for line in lines]
    return users_compile.write(users_compile.from_lines(octets, mistakes), mistakes, target)


def test_a_list_and_a_search_are_bounded(tmp_path: Path) -> None:
    lines: list[object] = [{f"u{n}": {"name": "John Smith"}} for n in range(1500)]
    file = tmp_path / "users.db"
    assert write(lines, file) == 1500

    async def ask() -> list[int]:
        directory = DatabaseSource("static", file)
        said = [len(await directory.who()), len(await directory.match(["smith"]))]
        said.append(len(await directory.match([f"word{n}" for n in range(2000)])))
        await directory.close()
        return said

    assert run(ask()) == [MAX_LISTED + 1, MAX_LISTED + 1, 0]


_NAMES = st.text("abAB", min_size=1, max_size=3)


@given(st.dictionaries(_NAMES, st.text("xyz"), max_size=8), st.lists(_NAMES, max_size=5))
def test_case_is_forgiven_where_a_static_directory_forgives_it(
    tmp_path_factory: pytest.TempPathFactory, users: dict[str, str], asked: list[str]
) -> None:
    file = tmp_path_factory.mktemp("db") / "users.db"
    write([users], file)
    known = StaticSource("static")
    for name, text in users.items():
        assert known.add(name, Text(text))

    async def compare() -> None:
        directory = DatabaseSource("static", file)
        for user in asked:
            assert bare(await directory.find(user)) == bare(await known.find(user))
        await directory.close()

    run(compare())


def test_an_answer_is_valid_until_the_configuration_is_read_again(compiled: Path) -> None:
    assert source(compiled).lifetime == float("inf")


def test_a_service_keeps_its_database_until_it_reads_its_configuration_again(
    compiled: Path,
) -> None:
    async def ask() -> list[Entry | Absent]:
        old = DatabaseSource("static", compiled)
        said = [await old.find("coke")]
        write([{"coke": "Warm", "new": "here"}], compiled)
        said += [await old.find("coke"), await old.find("new")]
        await old.close()
        new = DatabaseSource("static", compiled)
        said += [await new.find("coke"), await new.find("new")]
        await new.close()
        return list(map(bare, said))

    first, same, absent, *rest = run(ask())
    assert (first, same, rest) == (Text("Cold"), Text("Cold"), [Text("Warm"), Text("here")])
    assert isinstance(absent, Absent)


@pytest.mark.parametrize(("login", "shown"), [("coke", "coke"), ("a.b", '"a.b"')])
def test_a_text_says_where_it_came_from(tmp_path: Path, login: str, shown: str) -> None:
    file = tmp_path / "users.db"
    write([{login: "Cold"}], file)
    assert find(file, login) == Text("Cold", f"{file}: {shown}")


def test_only_one_who_asks_opens_a_file(compiled: Path) -> None:
    directory = source(compiled)
    held = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is(fd)}
    assert str(compiled) not in held
    assert isinstance(directory, DatabaseSource)
    run(directory.close())


def _is(descriptor: str) -> bool:
    return Path(f"/proc/self/fd/{descriptor}").is_symlink()


# --- what is wrong ---


def spoil(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE users SET entry = '{'", "not JSON"),
        ("UPDATE users SET entry = x'ff'", "not JSON"),
        ("UPDATE users SET entry = 1", "expected a string"),
        ("UPDATE users SET entry = 'null'", "expected a string"),
        ('UPDATE users SET entry = \'{"nmae": "x"}\'', 'did you mean "name"?'),
        ("UPDATE users SET entry = '{\"name\": 1}'", "expected a string"),
        ("UPDATE users SET entry = replace(hex(zeroblob(50000)), '0', '[')", "not JSON"),
        ("DELETE FROM users", "not JSON"),
    ],
)
def test_a_user_that_cannot_be_read_is_a_failure_that_names_the_user(
    compiled: Path, statement: str, said: str
) -> None:
    spoil(compiled, statement)
    with pytest.raises(SourceError, match="coke") as told:
        find(compiled, "coke")
    assert said in str(told.value)


@pytest.mark.parametrize(
    "statement", ["DROP TABLE users", "UPDATE users SET entry = CAST(x'ff' AS TEXT)"]
)
def test_a_database_that_fails_later_is_a_failure(compiled: Path, statement: str) -> None:
    spoil(compiled, statement)
    with pytest.raises(SourceError, match=r"users\.db"):
        find(compiled, "coke")


def test_a_name_that_is_no_text_is_in_no_list(compiled: Path) -> None:
    spoil(
        compiled, "INSERT INTO users VALUES (x'ff', '1')", "INSERT INTO words VALUES ('x', x'ff')"
    )

    async def ask() -> list[object]:
        directory = DatabaseSource("static", compiled)
        said = [*await directory.who(), *await directory.match(["x"])]
        await directory.close()
        return list(said)

    assert len(run(ask())) == 9


def test_a_search_that_takes_too_long_is_ended(
    compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users_db, "TIMEOUT", 0)
    monkeypatch.setattr(users_db, "STEPS", 1)
    with pytest.raises(SourceError, match="interrupted"):
        find(compiled, "coke")


def fresh(file: Path) -> None:
    spoil(file, "CREATE TABLE users (login, entry)")


def later(file: Path) -> None:
    spoil(file, users_db.SCHEMA.split(";")[0], "PRAGMA user_version = 2", "CREATE TABLE x (y)")


def broken(file: Path) -> None:
    file.write_bytes(b"SQLite format 3\0" + bytes(100))


@pytest.mark.parametrize("make", [fresh, later, broken])
def test_another_database_is_a_mistake(tmp_path: Path, make: Callable[[Path], None]) -> None:
    file = tmp_path / "users.db"
    make(file)
    asked, mistakes = table({"file": "users.db"}, tmp_path)
    static.read(asked, "static")
    [mistake] = mistakes
    assert mistake.file == file
    assert "fingerd-sd compile" in mistake.text


def test_octets_in_the_message_of_a_broken_database_are_its_failure(compiled: Path) -> None:
    octets = compiled.read_bytes().replace(b"CREATE TABLE names", b"CREATE TA\xa6LE names")
    compiled.write_bytes(octets)
    with pytest.raises(SourceError, match="can't decode"):
        find(compiled, "coke")


def test_users_beside_a_database_and_unknown_keys_are_mistakes(compiled: Path) -> None:
    values: dict[str, object] = {"file": compiled.name, "users": {"eve": "x"}, "fiel": "x"}
    asked, mistakes = table(values, compiled.parent)
    static.read(asked, "static")
    assert [mistake.key for mistake in mistakes] == ["source[1].users", "source[1].fiel"]


# --- what is written ---


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([{"a b\t": "x"}], "no user name"),
        ([{"\ud800": "x"}], "no user name"),
        ([{"bob": 1}], "bob: expected a string"),
        ([{"bob": {"nmae": "x"}}], 'bob.nmae: unknown key; did you mean "name"?'),
        ([{"bob": "\ud800"}], "bob: has half a surrogate pair"),
        ([{"bob": {"aliases": ["a@b"]}}], "bob.aliases: "),
        ([{"bob": "x"}, {"bob": "y"}], "bob: stands a second time"),
        ([{"eve": {"aliases": ["bob"]}}, {"bob": "y"}], "bob: is already an alias"),
        ([{"bob": "y"}, {"eve": {"aliases": ["bob"]}}], "eve.aliases: "),
        ([[]], "line 1: expected an object"),
        ([{"bob": "y"}, 7], "line 2: expected an object"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_written(
    lines: list[object], said: str, tmp_path: Path
) -> None:
    target = tmp_path / "users.db"
    write([{"old": "here"}], target)
    with pytest.raises(ConfigError) as told:
        write(lines, target)
    [mistake] = told.value.mistakes
    assert said in str(mistake)
    assert bare(find(target, "old")) == Text("here")
    assert os.listdir(tmp_path) == ["users.db"]


@pytest.mark.parametrize(
    "lines",
    [[{f"u{n}": n} for n in range(3000)], [{f"u{n}": n for n in range(3000)}], [[]] * 3000],
    ids=["lines", "one line", "no users"],
)
def test_of_very_many_mistakes_the_first_are_named(lines: list[object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        write(lines, tmp_path / "users.db")
    assert len(told.value.mistakes) == users_compile.MAX_MISTAKES


def test_a_value_that_only_toml_has_is_a_mistake(toml: Path, tmp_path: Path) -> None:
    toml.write_text("[bob]\nname = 1979-05-27\n")
    assert cli.main(["compile", str(toml), str(tmp_path / "users.db")]) == exits.EX_CONFIG


def test_an_empty_line_is_none(tmp_path: Path) -> None:
    mistakes: list[Mistake] = []
    tables: Iterator[Table] = users_compile.from_lines([b"\n", b"{}\n", b"nonsense"], mistakes)
    assert len(list(tables)) == 2
    assert "line 3: not JSON" in str(mistakes)


def test_what_is_no_database_is_not_replaced(
    toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = toml.with_name("fingerd.toml")
    target.write_text("[server]\n")
    assert cli.main(["compile", str(toml), str(target)]) == exits.EX_CONFIG
    assert "is no database" in capsys.readouterr().err
    assert target.read_text() == "[server]\n"


def test_a_link_stays_and_so_does_the_mode(toml: Path, compiled: Path) -> None:
    compiled.chmod(0o640)
    link = compiled.with_name("link.db")
    link.symlink_to(compiled)
    toml.write_text('coke = "Warm"')
    assert cli.main(["compile", str(toml), str(link)]) == exits.EX_OK
    assert link.is_symlink()
    assert compiled.stat().st_mode & 0o777 == 0o640
    assert bare(find(compiled, "coke")) == Text("Warm")


def test_the_command_tells_what_is_missing(
    toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compile", str(tmp_path / "no.toml"), str(tmp_path / "x")]) == exits.EX_CONFIG
    assert cli.main(["compile", str(toml), str(tmp_path / "no/x")]) == exits.EX_UNAVAILABLE
    told = capsys.readouterr().err.splitlines()
    assert "does not exist" in told[0]
    assert "cannot be written" in told[1]
