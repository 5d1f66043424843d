# SPDX-License-Identifier: MIT
"""The static directory: users in the configuration, or in a file of their own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.commands import settings
from fingerd_sd.config.mistakes import Mistake
from fingerd_sd.config.table import Layer, Table
from fingerd_sd.protocol.entry import Absent, Entry, Link, Person, Status, Text
from fingerd_sd.sources.static import source as static
from fingerd_sd.sources.static.source import StaticSource

from ...helpers.houses import bare
from ...helpers.wire import run

MAIN = Path("/nowhere/fingerd.toml")


def read(toml: str, file: Path = MAIN) -> tuple[StaticSource, list[Mistake]]:
    """Return the source of a `[[source]]` table, and the mistakes in it."""
    mistakes: list[Mistake] = []
    table = Table([Layer(file, tomllib.loads(toml))], "source[1]", mistakes)
    table.text("type", "")
    found = static.read(table, "static")
    assert isinstance(found, StaticSource)
    return found, mistakes


def source(toml: str, file: Path = MAIN) -> StaticSource:
    found, mistakes = read(toml, file)
    assert mistakes == []
    return found


def find(directory: StaticSource, user: str) -> Entry | Absent:
    return run(directory.find(user))


def test_a_string_is_the_whole_answer() -> None:
    directory = source('users = { moshez = "Happy and well" }')
    assert bare(find(directory, "moshez")) == Text("Happy and well")
    assert isinstance(find(directory, "bob"), Absent)


def test_an_empty_directory_knows_nobody() -> None:
    assert isinstance(find(source(""), "moshez"), Absent)


def test_a_table_is_a_person() -> None:
    directory = source(
        """
        [users.alice]
        name = "Alice Liddell"
        office = "Hill 016"
        phone = "9085551234"
        home_phone = "2125550100"
        status = "on call"
        project = "finger"
        plan = "Working."
        key = "PGP"
        links = [{ rel = "self", href = "https://example.org/alice", type = "text/html" }]
        """
    )
    assert bare(find(directory, "alice")) == Person(
        "alice",
        name="Alice Liddell",
        office="Hill 016",
        phone="9085551234",
        home_phone="2125550100",
        status=Status("on call"),
        project="finger",
        plan="Working.",
        key="PGP",
        links=(Link("self", "https://example.org/alice", "text/html"),),
    )


def test_aliases_lead_to_the_person() -> None:
    directory = source('[users.alice]\nname = "Alice"\naliases = ["liddell", "Alice Liddell"]')
    alice = find(directory, "alice")
    assert find(directory, "liddell") is alice
    assert find(directory, "Alice Liddell") is alice


def test_an_atom_says_where_it_came_from() -> None:
    person = find(source('[users.alice]\nname = "Alice"'), "alice")
    assert isinstance(person, Person)
    assert dict(person.origins) == {"name": f"{MAIN}: source[1].users.alice.name"}
    text = find(source('users = { moshez = "hi" }'), "moshez")
    assert isinstance(text, Text)
    assert text.origin == f"{MAIN}: source[1].users.moshez"


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("Bob", "one"),
        ("BOB", "one"),
        ("bob", "one"),
        ("sam", None),
        ("SAM", "upper"),
        ("Sam", "mixed"),
        ("sAM", None),
        ("straße", "street"),
        ("STRASSE", "street"),
        ("ŻÓŁW", "turtle"),
    ],
)
def test_case_does_not_matter_where_one_entry_is_meant(asked: str, answer: str | None) -> None:
    directory = source(
        """
        [users]
        Bob = "one"
        Sam = "mixed"
        SAM = "upper"
        "Straße" = "street"
        "żółw" = "turtle"
        """
    )
    found = find(directory, asked)
    assert bare(found) == (Text(answer) if answer else Absent())


def test_an_exact_name_wins_over_one_in_another_case() -> None:
    directory = source('users = { sam = "lower", SAM = "upper" }')
    assert bare(find(directory, "sam")) == Text("lower")
    assert bare(find(directory, "SAM")) == Text("upper")
    assert isinstance(find(directory, "Sam"), Absent)


def test_an_alias_in_another_case_is_not_ambiguous() -> None:
    directory = source('[users.alice]\naliases = ["ALICE", "Alice"]')
    assert find(directory, "aLiCe") == Person("alice")


@pytest.mark.parametrize(
    "asked", ["*", "**", "mosh*", "%", "_", "moshe_", "/etc/passwd", "../moshez", ".", "..", "0"]
)
def test_a_name_is_no_pattern_and_no_path(asked: str) -> None:
    assert isinstance(find(source('users = { moshez = "x" }'), asked), Absent)


def test_a_file_holds_the_same_table(tmp_path: Path) -> None:
    (tmp_path / "users.toml").write_text('moshez = "Happy and well"\n[alice]\nname = "Alice"\n')
    directory = source('file = "users.toml"\nusers = { bob = "here" }', tmp_path / "fingerd.toml")
    assert bare(find(directory, "moshez")) == Text("Happy and well")
    assert bare(find(directory, "alice")) == Person("alice", name="Alice")
    assert bare(find(directory, "bob")) == Text("here")


@pytest.mark.parametrize(
    ("toml", "key", "said"),
    [
        ('users = "moshez"', "users", "expected a table"),
        ("users = { moshez = 1 }", "users.moshez", "expected a string"),
        ("users = { moshez = true }", "users.moshez", "expected a string"),
        ("users.alice.name = 1", "users.alice.name", "expected a string, not 1"),
        ("users.alice.nmae = 'x'", "users.alice.nmae", 'did you mean "name"?'),
        ("users.alice.aliases = 'x'", "users.alice.aliases", "expected an array"),
        ("users.alice.aliases = [1]", "users.alice.aliases", "array of strings"),
        ("users.alice.links = 'x'", "users.alice.links", "array of tables"),
        ("users.alice.links = [1]", "users.alice.links", "array of tables"),
        ("users.alice.links = [{rel = 'me'}]", "users.alice.links[1].href", "array of tables"),
        ("users.alice.links = [{href = '/'}]", "users.alice.links[1].rel", "array of tables"),
        (
            "users.alice.links = [{rel = 'me', href = '/', hreflang = 'en'}]",
            "users.alice.links[1].hreflang",
            "unknown key",
        ),
        ("usrs = {}", "usrs", 'did you mean "users"?'),
        ("file = 1", "file", "expected a string"),
        ('file = "missing.toml"', "file", "does not exist"),
    ],
)
def test_a_mistake_names_its_key_and_what_is_expected(toml: str, key: str, said: str) -> None:
    [mistake] = read(toml)[1]
    assert (mistake.file, mistake.key) == (MAIN, f"source[1].{key}")
    assert said in mistake.text


@pytest.mark.parametrize(
    ("link", "key", "said"),
    [
        ("{rel = 'me', href = '/alice'}", "href", "shown nowhere: href begins with none of https:"),
        ("{rel = 'me', href = 'javascript:x'}", "href", "shown nowhere: href begins with none"),
        (
            "{rel = 'Me', href = 'https://e/'}",
            "rel",
            'shown nowhere: rel is no relation such as "me"',
        ),
        (
            "{rel = 'me', href = 'https://e/', type = 'x'}",
            "type",
            "shown nowhere: type is no media",
        ),
    ],
)
def test_a_link_that_is_shown_nowhere_is_a_warning(
    tmp_path: Path, link: str, key: str, said: str
) -> None:
    (tmp_path / "users.toml").write_text(f"alice.links = [{link}]\n")
    (tmp_path / "fingerd.toml").write_text('[[source]]\ntype = "static"\nfile = "users.toml"\n')
    [warning] = settings.load(tmp_path / "fingerd.toml", None).warnings
    assert (warning.file, warning.key) == (str(tmp_path / "users.toml"), f"alice.links[1].{key}")
    assert said in warning.text


@pytest.mark.parametrize(
    "name", ["", "a@b", "/W", " alice", "a  b", "a\\tb", "a\\nb", "\\u001b[31m", "\\u202e", "/w"]
)
def test_a_name_that_no_query_can_ask_for_is_a_mistake(name: str) -> None:
    for toml in (f'[users]\n"{name}" = "x"', f'[users.alice]\naliases = ["{name}"]'):
        [mistake] = read(toml)[1]
        assert "no user name" in mistake.text


def test_two_users_cannot_have_one_name(tmp_path: Path) -> None:
    (tmp_path / "users.toml").write_text('moshez = "there"\n')
    main = tmp_path / "fingerd.toml"
    [mistake] = read('file = "users.toml"\nusers = { moshez = "here" }', main)[1]
    assert (mistake.file, mistake.key) == (str(tmp_path / "users.toml"), "moshez")
    assert "second time" in mistake.text


def test_an_alias_cannot_be_the_name_of_another() -> None:
    toml = 'users.bob = "x"\nusers.alice.aliases = ["bob"]\nusers.eve.aliases = ["alice"]'
    mistakes = read(toml)[1]
    assert [mistake.key for mistake in mistakes] == [
        "source[1].users.alice.aliases",
        "source[1].users.eve.aliases",
    ]
    assert all("another user" in mistake.text for mistake in mistakes)


def test_mistakes_in_the_file_name_that_file(tmp_path: Path) -> None:
    users = tmp_path / "users.toml"
    main = tmp_path / "fingerd.toml"
    users.write_text("alice = 1\n[bob]\nnmae = 'x'\n")
    mistakes = read('file = "users.toml"', main)[1]
    assert [(mistake.file, mistake.key) for mistake in mistakes] == [
        (str(users), "alice"),
        (str(users), "bob.nmae"),
    ]
    users.write_text("alice = ")
    [mistake] = read('file = "users.toml"', main)[1]
    assert mistake.file == str(users)
    assert mistake.text.startswith("not TOML")


def test_a_file_that_is_a_folder_is_a_mistake(tmp_path: Path) -> None:
    [mistake] = read('file = "."', tmp_path / "fingerd.toml")[1]
    assert "cannot be read" in mistake.text


_NAMES = st.text("abAB", min_size=1, max_size=3)


@given(st.dictionaries(_NAMES, st.text("xyz"), max_size=8), _NAMES)
def test_case_is_forgiven_exactly_where_one_name_fits(users: dict[str, str], asked: str) -> None:
    directory = StaticSource("static")
    for name, text in users.items():
        assert directory.add(name, Text(text))
    alike = [text for name, text in users.items() if name.lower() == asked.lower()]
    found = find(directory, asked)
    if asked in users:
        assert found == Text(users[asked])
    elif len(alike) == 1:
        assert found == Text(alike[0])
    else:
        assert isinstance(found, Absent)


def test_an_answer_from_memory_is_valid_until_the_configuration_is_read_again() -> None:
    directory = source("")
    assert directory.lifetime == directory.timeout == float("inf")


def test_full_names_are_found_again_after_their_index_was_given_back() -> None:
    directory = source('[users.alice]\nname = "Alice Liddell"\n')
    for _ in range(2):
        assert run(directory.match(["liddell"])) == ["alice"]
        assert directory._words is not None
        directory.give_back()
        assert directory._words is None
