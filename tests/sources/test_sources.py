# SPDX-License-Identifier: MIT
"""The types of source: the built-in ones, and those that other packages register."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fingerd_sd import sources
from fingerd_sd.commands import cli, settings
from fingerd_sd.config.mistakes import ConfigError
from fingerd_sd.sources.accounts import source as accounts
from fingerd_sd.sources.static import source as static

from ..helpers.houses import ruip
from ..helpers.third_party import install
from ..helpers.wire import run, serving


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for packages that Python finds."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("oracle", None)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "fingerd.toml"


def mistake(config: Path) -> str:
    with pytest.raises(ConfigError) as raised:
        settings.load(config, None)
    [found] = raised.value.mistakes
    return f"{found.key}: {found.text}"


def test_the_built_in_types_are_there() -> None:
    assert sources.factory("static") is static.read
    assert sources.factory("accounts") is accounts.read
    assert sources.factory("oracle") is None
    assert {"static", "accounts"} <= set(sources.known())


def test_a_registered_type_is_known(packages: Path) -> None:
    install(packages, "oracle = oracle:read")
    assert "oracle" in sources.known()
    factory = sources.factory("oracle")
    assert factory is not None
    assert factory.__name__ == "read"


def test_a_built_in_type_cannot_be_replaced(packages: Path) -> None:
    install(packages, "static = oracle:read\naccounts = oracle:read")
    assert sources.factory("static") is static.read
    assert sources.known().count("static") == 1


def test_a_registered_source_answers_through_the_whole_house(
    packages: Path, config: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    install(packages, "oracle = oracle:read")
    config.write_text('[[source]]\ntype = "oracle"\nwords = "Know thyself."\n')
    answer = b"Login: delphi         \t\t\tName: The delphi\r\nPlan:\r\nKnow thyself.\r\n"
    for query, status, told in (
        ("delphi", 0, answer),
        ("nobody", 1, b"No such user\r\n"),
        ("fire", 69, b"Internal error in server\r\n"),
    ):
        assert cli.main(["ask", "--config", str(config), query]) == status
        assert capfdbinary.readouterr().out == told


def test_a_registered_source_is_served_and_remembered_like_any_other(
    packages: Path, config: Path
) -> None:
    install(packages, "oracle = oracle:read")
    config.write_text('[[source]]\ntype = "oracle"\n')

    async def scenario() -> None:
        [mounted] = settings.load(config, None).sources
        async with serving(ruip(mounted.source)) as house:
            for _ in range(2):
                assert b"The delphi" in await house.ask(b"delphi\r\n")
                await house.settled()
            assert house.server.held == 1
            assert {logged.answer.source for logged in house.log} == {"oracle"}

    run(scenario())


def test_two_sources_of_a_registered_type_have_names_of_their_own(
    packages: Path, config: Path
) -> None:
    install(packages, "oracle = oracle:read")
    config.write_text('[[source]]\ntype = "oracle"\n' * 2)
    names = [mounted.source.name for mounted in settings.load(config, None).sources]
    assert names == ["oracle", "oracle-2"]


def test_mistakes_in_its_options_are_reported_like_any_other(packages: Path, config: Path) -> None:
    install(packages, "oracle = oracle:read")
    config.write_text('[[source]]\ntype = "oracle"\nwrods = "x"\n')
    assert mistake(config) == 'source[1].wrods: unknown key; did you mean "words"?'
    config.write_text('[[source]]\ntype = "oracl"\n')
    assert 'did you mean "oracle"?' in mistake(config)


@pytest.mark.parametrize(
    "entry", ["oracle = oracle:explode", "oracle = oracle:missing", "oracle = missing:read"]
)
def test_a_package_that_fails_is_named(packages: Path, config: Path, entry: str) -> None:
    install(packages, entry)
    config.write_text('[[source]]\ntype = "oracle"\n')
    assert mistake(config).startswith('source[1].type: the package that provides "oracle" fails: ')


def test_a_package_whose_import_fails_is_named(packages: Path, config: Path) -> None:
    install(packages, "oracle = oracle:read", "raise ImportError('half installed')")
    config.write_text('[[source]]\ntype = "oracle"\n')
    assert "half installed" in mistake(config)
