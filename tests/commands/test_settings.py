# SPDX-License-Identifier: MIT
"""The configuration as frozen values: `[server]`, `[[audience]]`, `[[source]]`."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.commands import settings
from fingerd_sd.commands.settings import Settings
from fingerd_sd.config.mistakes import ConfigError, Mistake
from fingerd_sd.config.server import Limits
from fingerd_sd.protocol.entry import ATOMS

from ..helpers import needs
from ..helpers.houses import networks


@pytest.fixture
def main(tmp_path: Path) -> Path:
    return tmp_path / "fingerd.toml"


def load(main: Path, toml: str) -> Settings:
    main.write_text(toml)
    return settings.load(main, None)


def mistakes(main: Path, toml: str) -> list[str]:
    """Return the mistakes in `toml`, without the file's name, which each must name."""
    with pytest.raises(ConfigError) as raised:
        load(main, toml)
    texts = [str(mistake) for mistake in raised.value.mistakes]
    assert all(text.startswith(f"{main}: ") for text in texts)
    return [text.removeprefix(f"{main}: ") for text in texts]


# --- what it says ---


def test_no_configuration_is_the_private_default(main: Path) -> None:
    loaded = settings.load(main, None)
    assert loaded.limits == Limits(10, 30, 1024, 4096, 64)
    assert (loaded.idle_exit, loaded.log_client, loaded.log_queries) == (600, "full", True)
    assert loaded.names is None
    assert (loaded.audiences, loaded.warnings) == ((), ())
    [mounted] = loaded.sources
    assert (mounted.source.name, mounted.audiences) == ("accounts", frozenset())


def test_where_hosts_share_a_store_what_is_published_is_shown_by_default(main: Path) -> None:
    needs.modules("redis")
    loaded = load(main, '[store]\nurl = "unix:///run/store"\n')
    assert [mounted.source.name for mounted in loaded.sources] == ["published", "accounts"]
    assert loaded.server is not None
    assert loaded.server.keys == loaded.store


@pytest.mark.parametrize("toml", ["", "[server]\n", "# nothing\n", "[[audience]]\n"])
def test_a_configuration_without_a_source_has_the_accounts(main: Path, toml: str) -> None:
    assert [mounted.source.name for mounted in load(main, toml).sources] == ["accounts"]


def test_a_configuration_may_have_no_source_on_purpose(main: Path) -> None:
    assert load(main, "source = []").sources == ()


def test_everything_can_be_said(main: Path) -> None:
    loaded = load(
        main,
        """
        [server]
        query_timeout = 1.5
        answer_timeout = 2
        max_query = 100
        max_connections = 200
        max_per_client = 3
        idle_exit = 60
        log_client = "prefix"
        log_queries = false

        [[audience]]
        name = "inside"
        networks = ["192.0.2.0/24"]
        show = "all"

        [[audience]]
        show = ["name"]
        rate = 60

        [[source]]
        type = "static"
        users = { moshez = "Happy and well" }
        audiences = ["inside"]

        [[source]]
        type = "static"

        [[source]]
        type = "accounts"
        visible = "all"
        audiences = ["inside", "everyone"]
        """,
    )
    assert loaded.limits == Limits(1.5, 2, 100, 200, 3)
    assert (loaded.idle_exit, loaded.log_client, loaded.log_queries) == (60, "prefix", False)
    inside, everyone = loaded.audiences
    assert (inside.name, inside.networks) == ("inside", networks("192.0.2.0/24"))
    assert inside.show == frozenset(ATOMS)
    assert (everyone.name, everyone.show, everyone.rate) == ("everyone", frozenset({"name"}), 60)
    assert [(mounted.source.name, mounted.audiences) for mounted in loaded.sources] == [
        ("static", frozenset({"inside"})),
        ("static-2", frozenset()),
        ("accounts", frozenset({"inside", "everyone"})),
    ]
    assert loaded.warnings == ()


def test_settings_do_not_change(main: Path) -> None:
    loaded: Any = settings.load(main, None)
    with pytest.raises(AttributeError):
        loaded.idle_exit = 1


def test_a_source_may_be_for_everyone_else(main: Path) -> None:
    toml = '[[source]]\ntype = "static"\naudiences = ["everyone"]'
    assert load(main, toml).sources[0].audiences == {"everyone"}


@pytest.mark.parametrize(("idle_exit", "warns"), [(0, 0), (0.5, 1), (29.9, 1), (30, 0), (600, 0)])
def test_a_short_idle_exit_is_warned_of(main: Path, idle_exit: float, warns: int) -> None:
    loaded = load(main, f"[server]\nidle_exit = {idle_exit}")
    assert loaded.idle_exit == idle_exit
    assert len(loaded.warnings) == warns
    for warning in loaded.warnings:
        assert str(warning).startswith(f"{main}: server.idle_exit: ")
        assert "start limit" in warning.text
        assert "30 or more" in warning.text


@pytest.mark.parametrize(
    ("first", "second", "warns"),
    [
        ('"192.0.2.0/24"', '"192.0.2.0/25"', 1),
        ('"192.0.2.0/24"', '"192.0.2.0/24"', 1),
        ('"192.0.2.0/25"', '"192.0.2.0/24"', 0),
        ('"192.0.2.0/24", "2001:db8::/32"', '"2001:db8:1::/48", "192.0.2.1"', 1),
        ('"192.0.2.0/24"', '"192.0.2.0/25", "2001:db8::/32"', 0),
        ('"0.0.0.0/0"', '"::/0"', 0),
    ],
)
def test_an_audience_that_nobody_can_be_in_is_warned_of(
    main: Path, first: str, second: str, warns: int
) -> None:
    loaded = load(
        main,
        f'audience = [{{name = "one", networks = [{first}]}}, '
        f'{{name = "two", networks = [{second}]}}]',
    )
    assert len(loaded.warnings) == warns
    for warning in loaded.warnings:
        assert warning.key == "audience[2].networks"
        assert '"one" before it holds them all' in warning.text


def test_settings_name_the_files_that_were_read(tmp_path: Path, main: Path) -> None:
    drop_ins = tmp_path / "conf.d"
    drop_ins.mkdir()
    assert settings.load(main, drop_ins).files == ()
    main.write_text("[server]\n")
    (drop_ins / "1.toml").write_text("[[audience]]\n")
    assert settings.load(main, drop_ins).files == (main, str(drop_ins / "1.toml"))
    assert settings.load(main, None).files == (main,)


# --- mistakes ---


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("sever = {}", 'sever: unknown section; did you mean "server"?'),
        ("max_query = 5", "max_query: stands outside any table; did you mean it under [server]?"),
        ("[sorce]", 'sorce: unknown section; did you mean "source"?'),
        ("server = 1", "server: expected a table, [server]"),
        ("[[server]]", "server: expected a table, [server]"),
        (
            "[audience]",
            "audience: expected an array of tables: write [[audience]], with two brackets",
        ),
        ("source = 1", "source: expected an array of tables: write [[source]], with two brackets"),
        ("source = [1]", "source: expected an array of tables: write [[source]], with two"),
        ("server.max_qeury = 1", 'server.max_qeury: unknown key; did you mean "max_query"?'),
        (
            "server.max_query = 1",
            "server.max_query: expected a whole number of octets from 16 to 1048576, not 1",
        ),
        (
            "server.query_timeout = 0",
            "server.query_timeout: expected a number of seconds from 0.1 to 86400, not 0",
        ),
        (
            "server.answer_timeout = nan",
            "server.answer_timeout: expected a number of seconds from 0.1 to 86400, not nan",
        ),
        ("server.answer_timeout = '1'", "server.answer_timeout: expected a number of seconds"),
        ("server.max_connections = 0", "server.max_connections: expected a whole number of conne"),
        ("server.max_per_client = 0", "server.max_per_client: expected a whole number of connec"),
        (
            "server.miss_time = 1.5",
            "server.miss_time: expected a number of seconds from 0 to 1, not 1.5",
        ),
        (
            "server = {answer_timeout = 0.5, miss_time = 0.5}",
            "server.miss_time: is not below answer_timeout, 0.5 s",
        ),
        (
            "server.idle_exit = -1",
            "server.idle_exit: expected a number of seconds from 0 to 31536000, not -1",
        ),
        (
            "server.log_client = 'some'",
            'server.log_client: expected "full" or "prefix" or "none", not "some"',
        ),
        ("server.names = 'localhost'", "server.names: expected an array"),
        ("server.names = ['*.example.org']", "server.names: expected names or addresses of this"),
        ("server.names = ['']", "server.names: expected names or addresses of this server, such"),
        ("server.names = ['a b']", "server.names: expected names or addresses of this server"),
        ("server.names = ['192.0.2.0/24']", "server.names: expected names or addresses of this"),
        ("server.log_queries = 1", "server.log_queries: expected true or false, not 1"),
        ("audience = [{shwo = []}]", 'audience[1].shwo: unknown key; did you mean "show"?'),
        (
            "audience = [{name = 'a'}, {name = 'a'}]",
            'audience[2].name: "a" stands a second time; names are unique',
        ),
        ("audience = [{}, {}]", 'audience[2].name: "everyone" stands a second time; names are'),
        (
            "source = [{}]",
            "source[1].type: is missing; known are: accounts, command, published, static",
        ),
        ("source = [{type = 1}]", "source[1].type: expected a string, not 1"),
        ("source = [{type = ''}]", "source[1].type: "),
        (
            "source = [{type = 'statc'}]",
            'source[1].type: unknown type "statc"; did you mean "static"?',
        ),
        ("source = [{type = 'command'}]", "source[1].argv: is missing; such as "),
        (
            "source = [{type = 'static', usrs = {}}]",
            'source[1].usrs: unknown key; did you mean "users"?',
        ),
        (
            "source = [{type = 'static', audiences = ['inside']}]",
            'source[1].audiences: no audience "inside"; known are: everyone',
        ),
        (
            "audience = [{name = 'inside', networks = []}]\n"
            "source = [{type = 'static', audiences = ['insde']}]",
            'source[1].audiences: no audience "insde"; did you mean "inside"?',
        ),
        ("source = [{type = 'static', audiences = 'x'}]", "source[1].audiences: expected an array"),
    ],
)
def test_a_mistake_names_its_key_and_what_is_expected(main: Path, toml: str, expected: str) -> None:
    [mistake] = mistakes(main, toml)
    assert mistake.startswith(expected)


def test_all_mistakes_are_found_in_one_run(tmp_path: Path, main: Path) -> None:
    drop_ins = tmp_path / "conf.d"
    drop_ins.mkdir()
    (tmp_path / "users.toml").write_text("alice = 1\nbob = true\n")
    main.write_text(
        """
        [server]
        max_query = "x"
        idle_exti = 1
        [[audience]]
        show = ["nmae"]
        [[source]]
        type = "static"
        file = "users.toml"
        [[source]]
        type = "accounts"
        min_uid = 5
        max_uid = 4
        """
    )
    (drop_ins / "1.toml").write_text("[[source]]\ntype = 'statc'\n[serve]\n")
    (drop_ins / "2.toml").write_text("[broken")
    with pytest.raises(ConfigError) as raised:
        settings.load(main, drop_ins)
    found = {(Path(mistake.file).name, mistake.key) for mistake in raised.value.mistakes}
    assert found == {
        ("fingerd.toml", "server.max_query"),
        ("fingerd.toml", "server.idle_exti"),
        ("fingerd.toml", "audience[1].show"),
        ("users.toml", "alice"),
        ("users.toml", "bob"),
        ("fingerd.toml", "source[2].min_uid"),
        ("1.toml", "source[1].type"),
        ("1.toml", "serve"),
        ("2.toml", ""),
    }


@pytest.mark.parametrize(
    "toml",
    [
        f"server.max_query = {'9' * 5000}",
        f"server.max_query = 0x{'f' * 5000}",
        f"server.idle_exit = 0x{'f' * 5000}",
        f"server.log_client = 0x{'f' * 5000}",
        'source = [{type = "static", file = "a\\u0000b"}]',
    ],
    ids=["decimal", "hexadecimal", "seconds", "choice", "file"],
)
def test_what_python_cannot_handle_is_a_mistake_as_well(main: Path, toml: str) -> None:
    [mistake] = mistakes(main, toml)
    assert "the package that provides" not in mistake


# --- several files ---


def test_a_later_key_wins_and_tables_append(tmp_path: Path, main: Path) -> None:
    drop_ins = tmp_path / "conf.d"
    drop_ins.mkdir()
    main.write_text(
        "[server]\nmax_query = 100\nidle_exit = 60\n"
        "[[source]]\ntype = 'static'\nusers = { a = 'main' }\n"
        "[[audience]]\nname = 'one'\nnetworks = []\n"
    )
    (drop_ins / "10.toml").write_text(
        "[server]\nmax_query = 200\n[[source]]\ntype = 'static'\n[[audience]]\nname = 'two'\n"
    )
    (drop_ins / "20.toml").write_text(
        "[server]\nmax_query = 300\n[[source]]\ntype = 'accounts'\naudiences = ['one', 'two']\n"
    )
    (drop_ins / "30.toml.bak").write_text("[server]\nmax_query = 400\n")
    loaded = settings.load(main, drop_ins)
    assert (loaded.limits.max_query, loaded.idle_exit) == (300, 60)
    assert [audience.name for audience in loaded.audiences] == ["one", "two"]
    assert [mounted.source.name for mounted in loaded.sources] == ["static", "static-2", "accounts"]


def test_drop_ins_are_read_where_there_is_no_main_file(tmp_path: Path, main: Path) -> None:
    drop_ins = tmp_path / "conf.d"
    drop_ins.mkdir()
    (drop_ins / "1.toml").write_text("[server]\nmax_query = 200\n")
    assert settings.load(main, drop_ins).limits.max_query == 200
    assert settings.load(main, None).limits.max_query == 1024


def test_a_users_file_is_found_beside_the_file_that_names_it(tmp_path: Path, main: Path) -> None:
    drop_ins = tmp_path / "conf.d"
    drop_ins.mkdir()
    (drop_ins / "users.toml").write_text("")  # a drop-in of its own as well, and an empty one
    (drop_ins / "1.toml").write_text('[[source]]\ntype = "static"\nfile = "users.toml"')
    assert [mounted.source.name for mounted in settings.load(main, drop_ins).sources] == ["static"]


# --- anything ---

_KNOWN = """
    server audience source name networks show list rate type users file audiences visible min_uid
    aliases links plan static accounts max_query idle_exit log_client x
"""
_KEYS = st.sampled_from(sorted(_KNOWN.split())) | st.text(max_size=3)
_SCALARS = (
    st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, 2**64, -(2**64)])
    | st.floats()
    | st.just(math.nan)
    | st.text(max_size=5)
    | st.sampled_from(["static", "accounts", "command", "all", "opt-in", "0.0.0.0/0", ".", "\0"])
    | st.dates()
    | st.datetimes()
    | st.times()
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_TABLES = st.dictionaries(_KEYS, _VALUES, max_size=6)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "server": _TABLES | _VALUES,
            "audience": st.lists(_TABLES, max_size=3) | _VALUES,
            "source": st.lists(
                st.builds(
                    lambda kind, more: {**more, **kind},
                    st.fixed_dictionaries(
                        {}, optional={"type": st.sampled_from(["static", "accounts", "web", ""])}
                    ),
                    _TABLES,
                ),
                max_size=3,
            )
            | _VALUES,
        },
    )
    | _TABLES
)
def test_any_tables_give_settings_or_a_config_error_and_nothing_else(
    tables: dict[str, Any],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tomllib, "loads", lambda _: tables)
        try:
            outcome: object = settings.load(Path(__file__), None)
        except ConfigError as error:
            outcome = error.mistakes[0]
    assert isinstance(outcome, (Settings, Mistake))


@pytest.mark.parametrize(
    "names", [[], ["localhost"], ["finger.example.org", "192.0.2.1", "2001:db8::1", "[::1]"]]
)
def test_a_server_is_called_what_it_was_told(main: Path, names: list[str]) -> None:
    assert load(main, f"[server]\nnames = {names}\n").names == tuple(names)
