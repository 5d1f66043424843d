# SPDX-License-Identifier: MIT
"""TOML read with care: every mistake named by file and key, all of them in one run."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.config.files import MAX_FILE, read_layers, read_toml
from fingerd_sd.config.mistakes import ConfigError, Mistake, nearest
from fingerd_sd.config.table import Layer, Table

from ..helpers.ordinary import as_ordinary_user, reachable_folder

ONE, TWO = Path("/etc/one.toml"), Path("/etc/conf.d/two.toml")


class Reading:
    """A table over `layers`, and the mistakes that reading it makes."""

    def __init__(self, *layers: Mapping[str, Any], key: str = "server") -> None:
        self.mistakes: list[Mistake] = []
        files = (ONE, TWO)
        self.table = Table(
            [Layer(file, values) for file, values in zip(files, layers, strict=False)],
            key,
            self.mistakes,
        )

    def only_mistake(self) -> str:
        [mistake] = self.mistakes
        return str(mistake)


# --- getters ---


def test_a_value_is_read_as_its_type() -> None:
    table = Reading(
        {"text": "x", "yes": True, "count": 5, "time": 1.5, "whole": 2, "names": ["a"], "kind": "b"}
    ).table
    assert table.text("text", None) == "x"
    assert table.boolean("yes", False) is True
    assert table.integer("count", 1, 0, 9) == 5
    assert table.seconds("time", 1, 0, 9) == 1.5
    assert repr(table.seconds("whole", 1, 0, 9)) == "2.0"
    assert table.strings("names", ()) == ("a",)
    assert table.choice("kind", "a", ("a", "b")) == "b"


def test_what_is_not_set_is_the_default() -> None:
    reading = Reading({})
    table = reading.table
    assert table.text("text", None) is None
    assert table.boolean("yes", True) is True
    assert table.integer("count", 7, 0, 9) == 7
    assert table.seconds("time", 7, 0, 9) == 7
    assert table.strings("names", ("x",)) == ("x",)
    assert table.choice("kind", "a", ("a", "b")) == "a"
    assert table.table("free") == {}
    assert reading.mistakes == []


Getter = Callable[[Table], object]

WRONG: list[tuple[object, Getter, str]] = [
    (1, lambda t: t.text("key", "d"), "expected a string, not 1"),
    (True, lambda t: t.text("key", "d"), "expected a string, not true"),
    (["a"], lambda t: t.text("key", "d"), "expected a string, not ['a']"),
    (1, lambda t: t.boolean("key", False), "expected true or false, not 1"),
    ("yes", lambda t: t.boolean("key", False), 'expected true or false, not "yes"'),
    (
        10,
        lambda t: t.integer("key", 1, 0, 9, "octets"),
        "expected a whole number of octets from 0 to 9, not 10",
    ),
    (-1, lambda t: t.integer("key", 1, 0, 9), "expected a whole number from 0 to 9, not -1"),
    (1.0, lambda t: t.integer("key", 1, 0, 9), "expected a whole number from 0 to 9, not 1.0"),
    (True, lambda t: t.integer("key", 1, 0, 9), "expected a whole number from 0 to 9, not true"),
    (
        -5,
        lambda t: t.integer("key", 1, 0, 2**32 - 2),
        "expected a whole number from 0 to 4294967294, not -5",
    ),
    (
        10,
        lambda t: t.seconds("key", 1, 0.1, 9),
        "expected a number of seconds from 0.1 to 9, not 10",
    ),
    (
        -5,
        lambda t: t.seconds("key", 1, 0, 31536000.0),
        "expected a number of seconds from 0 to 31536000, not -5",
    ),
    (math.nan, lambda t: t.seconds("key", 1, 0, 9), "from 0 to 9, not nan"),
    (math.inf, lambda t: t.seconds("key", 1, 0, 9), "from 0 to 9, not inf"),
    ("5", lambda t: t.seconds("key", 1, 0, 9), 'from 0 to 9, not "5"'),
    ("c", lambda t: t.choice("key", "a", ("a", "b")), 'expected "a" or "b", not "c"'),
    (1, lambda t: t.choice("key", "a", ("a", "b")), "expected a string, not 1"),
    ("a", lambda t: t.strings("key", ()), 'expected an array, not "a"'),
    (["a", 1], lambda t: t.strings("key", ()), "expected an array of strings"),
    (5, lambda t: t.table("key"), "expected a table, not 5"),
    ("x" * 99, lambda t: t.boolean("key", False), f'true or false, not "{"x" * 58}…'),
]


@pytest.mark.parametrize(("value", "getter", "said"), WRONG)
def test_a_wrong_value_is_reported_and_the_default_taken(
    value: object, getter: Getter, said: str
) -> None:
    reading = Reading({"key": value})
    assert getter(reading.table) == getter(Reading({}).table)
    mistake = reading.only_mistake()
    assert mistake.startswith(f"{ONE}: server.key: ")
    assert said in mistake


@pytest.mark.parametrize(
    "value", [16**5000, -(16**5000), math.inf, -math.inf], ids=["huge", "-huge", "inf", "-inf"]
)
def test_a_number_beyond_all_bounds_is_a_mistake_like_any_other(value: object) -> None:
    getters: tuple[Getter, ...] = (
        lambda t: t.integer("key", 1, 0, 9),
        lambda t: t.seconds("key", 1, 0, 9),
        lambda t: t.text("key", ""),
        lambda t: t.boolean("key", False),
    )
    for getter in getters:
        reading = Reading({"key": value})
        getter(reading.table)
        assert "expected" in reading.only_mistake()


# --- keys ---


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    reading = Reading({"max_qeury": 1, "zzz": 2, "max_query": 3})
    reading.table.integer("max_query", 1, 0, 9)
    reading.table.boolean("list", False)
    reading.table.close()
    assert [(mistake.key, mistake.text) for mistake in reading.mistakes] == [
        ("server.max_qeury", 'unknown key; did you mean "max_query"?'),
        ("server.zzz", "unknown key; known are: list, max_query"),
    ]
    assert reading.table.known == {"max_query", "list"}


def test_nearest_names_all_where_none_is_near_and_says_where_there_is_none() -> None:
    assert nearest("xyz", ["b", "a"]) == "known are: a, b"
    assert nearest("shw", ["show", "list"]) == 'did you mean "show"?'
    assert nearest("x", []) == "none is known here"


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("max_query", "server.max_query"),
        ("a-b", "server.a-b"),
        ("a b", 'server."a b"'),
        ("", 'server.""'),
        ("a.b", 'server."a.b"'),
    ],
)
def test_a_key_is_written_as_in_toml(key: str, path: str) -> None:
    assert Reading({}).table.mistake(key, "x").key == path


def test_a_mistake_is_one_line_that_a_terminal_may_have() -> None:
    mistake = Mistake(ONE, '"a\nWATCHDOG=1"', 'expected a name, not "\x1b]0;ż\u202e\ud800"')
    assert str(mistake) == (
        '/etc/one.toml: "a\\nWATCHDOG=1": expected a name, not "\\x1b]0;ż\\u202e\\ud800"'
    )


# --- layers ---


def test_a_later_layer_wins_and_is_blamed() -> None:
    reading = Reading({"a": 1, "b": 2}, {"b": 99, "c": 98, "d": 3})
    table = reading.table
    assert [table.integer(key, 0, 0, 9) for key in "abc"] == [1, 0, 0]
    table.close()
    assert [(mistake.file, mistake.key) for mistake in reading.mistakes] == [
        (TWO, "server.b"),
        (TWO, "server.c"),
        (TWO, "server.d"),
    ]
    assert table.where("a") == f"{ONE}: server.a"
    assert table.where("d") == f"{TWO}: server.d"


def test_a_table_of_free_keys_is_merged() -> None:
    reading = Reading({"users": {"a": 1, "b": 1}}, {"users": {"b": 2}})
    assert reading.table.table("users") == {"a": 1, "b": 2}


def test_inner_tables_say_where_they_are() -> None:
    reading = Reading({"users": {"alice": {}}}, key="source[1]")
    users = reading.table.inner("users", {"alice": {"links": [{}]}})
    alice = users.inner("alice", {"links": [{}]})
    alice.inner("links", {}, 2).wrong("href", "is missing")
    users.other(TWO, {}).wrong("bob", "is strange")
    assert [str(mistake) for mistake in reading.mistakes] == [
        f"{ONE}: source[1].users.alice.links[2].href: is missing",
        f"{TWO}: bob: is strange",
    ]


def test_relative_names_start_from_the_folder_of_the_file() -> None:
    assert Reading({}).table.directory == ONE.parent
    assert Reading({}, {}).table.directory == TWO.parent


def test_a_table_without_a_layer_is_a_bug() -> None:
    with pytest.raises(ValueError, match="needs a layer"):
        Table([], "server", [])


# --- files ---


def _mistake(file: Path) -> str:
    with pytest.raises(ConfigError) as raised:
        read_toml(file, MAX_FILE)
    [mistake] = raised.value.mistakes
    assert mistake.file == file
    assert str(raised.value) == str(mistake) == f"{file}: {mistake.text}"
    return mistake.text


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('name = "żółw"\n')
    assert read_toml(file, MAX_FILE) == {"name": "żółw"}


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"[server", "not TOML: "),
        (b"a = 1\na = 2\n", "not TOML: "),
        (b"name = '\xff'", "not UTF-8 at octet 9"),
        (b"a = " + b"[" * 5000, "not TOML: "),
        (b"a = " + b"{a=" * 5000, "not TOML: "),
        (b"#" * (MAX_FILE + 1), f"longer than {MAX_FILE} octets"),
        (b"a = 2026-13-40", "not TOML: "),
        (b"a = " + b"9" * 5000, "not TOML: "),
        (b"a = [1, " + b"9" * 5000 + b"]", "not TOML: "),
        (b"\xef\xbb\xbfa = 1", "not TOML: "),
        (b"a = 1\0", "not TOML: "),
    ],
)
def test_a_file_that_is_not_toml_is_a_mistake(tmp_path: Path, octets: bytes, said: str) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(octets)
    assert _mistake(file).startswith(said)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert _mistake(tmp_path).startswith("cannot be read: Is a directory")


def test_a_missing_file_is_the_callers_to_judge(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_toml(tmp_path / "nowhere.toml", MAX_FILE)


def test_a_file_that_may_not_be_read_is_a_mistake() -> None:
    with reachable_folder() as folder:
        file = folder / "a.toml"
        file.touch(mode=0)
        said = as_ordinary_user(lambda: _mistake(file))
    assert said.startswith("cannot be read: Permission denied")


@given(st.binary(max_size=200) | st.text("[]{}=\"'.,\n #a1-:TZ+_e", max_size=60).map(str.encode))
def test_any_octets_are_tables_or_a_config_error(octets: bytes) -> None:
    read, write = os.pipe()
    try:
        os.write(write, octets)
        os.close(write)
        try:
            outcome: object = read_toml(Path(f"/dev/fd/{read}"), MAX_FILE)
        except ConfigError as error:
            outcome = error.mistakes[0]
        assert isinstance(outcome, (dict, Mistake))
    finally:
        os.close(read)


# --- several files ---


def test_layers_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    drop_ins = tmp_path / "conf.d"
    drop_ins.mkdir()
    for name in ("20-b.toml", "10-c.toml", "9-a.toml", "README", "x.toml~", "y.conf"):
        (drop_ins / name).write_text(f'name = "{name}"')
    (tmp_path / "main.toml").write_text('name = "main"')
    mistakes: list[Mistake] = []
    layers = read_layers(tmp_path / "main.toml", drop_ins, mistakes)
    assert [layer.values["name"] for layer in layers] == [
        "main",
        "10-c.toml",
        "20-b.toml",
        "9-a.toml",
    ]
    assert mistakes == []


def test_missing_files_count_as_empty(tmp_path: Path) -> None:
    mistakes: list[Mistake] = []
    main = tmp_path / "main.toml"
    for drop_ins in (tmp_path / "conf.d", None):
        assert read_layers(main, drop_ins, mistakes) == [Layer(main, {})]
    assert mistakes == []


def test_what_cannot_be_read_does_not_hide_the_mistakes_in_others(tmp_path: Path) -> None:
    drop_ins = tmp_path / "conf.d"
    drop_ins.mkdir()
    (drop_ins / "1.toml").write_text("[broken")
    (drop_ins / "2.toml").write_text("fine = 1")
    (drop_ins / "3.toml").write_bytes(b"\xff")
    mistakes: list[Mistake] = []
    layers = read_layers(tmp_path / "main.toml", drop_ins, mistakes)
    assert [Path(layer.file).name for layer in layers] == ["2.toml"]
    assert [Path(mistake.file).name for mistake in mistakes] == ["1.toml", "3.toml"]


def test_drop_ins_that_are_no_folder_are_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "conf.d").touch()
    mistakes: list[Mistake] = []
    read_layers(tmp_path / "main.toml", tmp_path / "conf.d", mistakes)
    [mistake] = mistakes
    assert mistake.text.startswith("cannot be listed")
