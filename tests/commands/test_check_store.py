# SPDX-License-Identifier: MIT
"""What `check` says of the store that hosts share, and of the services that ask it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fingerd_sd.commands.exits import EX_OK, EX_UNAVAILABLE
from fingerd_sd.commands.inspecting.check import check
from fingerd_sd.commands.inspecting.store import off_the_store
from fingerd_sd.config.store import Place, StoreKeys

from ..helpers import needs
from ..helpers.store import store

CONFIG = '[store]\nurl = "unix://{path}"\ntimeout = 30\n[[source]]\ntype = "static"\n'
NEEDED = {
    "PrivateNetwork": "no",
    "RestrictAddressFamilies": "AF_INET AF_INET6",
    "IPAddressDeny": "::/0 0.0.0.0/0",
    "IPAddressAllow": "192.0.2.0/24 2001:db8::5/128",
}


def configured(folder: Path, path: str) -> Path:
    """Return a configuration with the store at the socket `path`."""
    file = folder / "fingerd.toml"
    file.write_text(CONFIG.format(path=path))
    return file


def test_a_fit_store_needs_no_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with store(tmp_path) as running:
        assert check(configured(tmp_path, running.socket)) == EX_OK
    said = capsys.readouterr()
    assert said.err == ""
    assert "in order" in said.out


def test_what_is_unwise_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with store(tmp_path, "--appendonly", "no") as running:
        assert check(configured(tmp_path, running.socket)) == EX_OK
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: the store at ")
    assert "appendonly yes" in line


def test_a_store_that_is_not_there_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs.modules("redis")
    assert check(configured(tmp_path, str(tmp_path / "none"))) == EX_UNAVAILABLE
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert "cannot be reached" in line
    assert "in order" in said.out  # the configuration is


def test_a_wrong_password_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "secret").write_text("finger:wrong")
    with store(tmp_path, "--user", "finger", "on", ">right", "~*", "&*", "+@all") as running:
        config = configured(tmp_path, running.socket)
        config.write_text(config.read_text().replace("[store]", '[store]\ncredential = "secret"'))
        assert check(config) == EX_UNAVAILABLE
    (line,) = capsys.readouterr().err.splitlines()
    assert "credential in [store]" in line
    assert "wrong\n" not in line


@pytest.mark.parametrize(
    ("host", "changed", "told"),
    [
        ("192.0.2.5", {}, ""),
        ("2001:db8::5", {}, ""),
        ("store.example.org", {}, ""),
        ("198.51.100.5", {}, "may not reach 198.51.100.5"),
        ("2001:db8::6", {}, "may not reach 2001:db8::6"),
        ("198.51.100.5", {"IPAddressDeny": ""}, ""),
        ("store.example.org", {"IPAddressAllow": ""}, "no address"),
        ("192.0.2.5", {"PrivateNetwork": "yes"}, "PrivateNetwork=yes"),
        ("192.0.2.5", {"RestrictAddressFamilies": "AF_UNIX"}, "RestrictAddressFamilies=AF_UNIX"),
    ],
)
def test_a_service_without_a_way_to_the_store_is_told(
    host: str, changed: dict[str, str], told: str
) -> None:
    keys = StoreKeys("", Place("redis", ((host, 6379),)))
    lacks = list(off_the_store(keys, "finger.service", {**NEEDED, **changed}))
    assert [told in lack and "store.conf" in lack for lack in lacks] == [True] * bool(told)


def test_a_socket_needs_no_network() -> None:
    keys = StoreKeys("", Place("unix", path="/run/redis/redis.sock"))
    assert not list(off_the_store(keys, "finger.service", {**NEEDED, "PrivateNetwork": "yes"}))
    somewhere = keys._replace(place=Place("redis", (("192.0.2.5", 6379),)))
    assert not list(off_the_store(somewhere, "finger.service", {}))  # no systemd to ask


SYSTEMCTL = """#!/bin/sh
case $2 in
finger.socket | finger-publish.socket) printf 'UnitFileState=enabled\\nActiveState=active\\n' ;;
finger.service | finger-publish.service) printf 'LoadState=loaded\\nPrivateNetwork=yes\\n' ;;
esac
"""
BUSCTL = """#!/bin/sh
case $3 in
*/finger_2eservice) echo 'a(ss) 2 "other" "/none" "secret" "{folder}/reader"' ;;
*/finger_2dpublish_2eservice) echo 'a(ss) {there}' ;;
*) exit 1 ;;
esac
"""
READER = ["--user", "reader", "on", ">one", "~*", "&*", "+@all", "-@write"]
WRITER = ["--user", "writer", "on", ">two", "~*", "&*", "+@all"]


@pytest.mark.parametrize(
    ("there", "file", "told"),
    [
        ('1 "secret" "{folder}/writer"', "writer:two", ""),
        ('1 "secret" "{folder}/writer"', "writer:three", "WRONGPASS"),
        ('1 "secret" "{folder}/writer"', "reader:one", "does not allow"),
        ('1 "secret" "{folder}/none"', "writer:two", "there is no file"),
        (
            "0",
            "writer:two",
            "finger-publish.service does not get it: have LoadCredential=secret:FILE",
        ),
    ],
)
def test_it_asks_with_the_credential_of_each_service(
    there: str,
    file: str,
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    busctl = BUSCTL.format(folder=tmp_path, there=there.format(folder=tmp_path))
    for name, text in (("systemctl", SYSTEMCTL), ("busctl", busctl)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "reader").write_text("reader:one\n")
    (tmp_path / "writer").write_text(f"{file}\n")
    with store(tmp_path, *READER, *WRITER) as running:
        config = configured(tmp_path, running.socket)
        config.write_text(config.read_text().replace("[store]", '[store]\ncredential = "secret"'))
        check(config)
    said = capsys.readouterr().err.splitlines()
    assert any(told in line for line in said) == bool(told), said
    assert bool(said) == bool(told)
