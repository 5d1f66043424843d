# SPDX-License-Identifier: MIT
"""Which role a process has, by the names of the sockets that it was passed."""

from __future__ import annotations

import re
from importlib import util
from typing import cast

import pytest

from fingerd_sd.commands.roles.choosing import ROWS, chosen
from fingerd_sd.commands.roles.role import Start
from fingerd_sd.process.systemd import ActivationError


@pytest.mark.parametrize("names", [[], [""], ["finger"], ["finger", "", "finger"]])
def test_finger_is_what_needs_no_name(names: list[str]) -> None:
    assert chosen(names).socket == "finger.socket"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.socket)
def test_each_name_belongs_to_the_unit_that_passes_it(row: object) -> None:
    assert row in ROWS
    for name in ROWS[ROWS.index(row)].names:
        assert chosen([name]) is row


def test_no_name_belongs_to_two() -> None:
    names = [name for row in ROWS for name in row.names]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", ROWS[1:], ids=lambda row: row.socket)
def test_one_process_never_has_two_roles(row: object) -> None:
    other = ROWS[ROWS.index(row)]
    with pytest.raises(ActivationError, match=rf"finger\.socket and {re.escape(other.socket)}"):
        chosen([*other.names, "finger"])


def test_a_name_that_is_not_known_is_told_with_those_that_are() -> None:
    with pytest.raises(ActivationError, match=r'"gopher".*=finger.*publish'):
        chosen(["gopher", "finger"])


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("fingerd_sd.serving.web", "fingerd-sd-web"),
        ("aiohttp", "python3-aiohttp"),
        ("jinja2", "python3-jinja2"),
    ],
)
def test_what_the_web_lacks_is_named(
    module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == module else object())
    begin = chosen(["web"]).begin
    with pytest.raises(ActivationError, match=rf"module {re.escape(module)} .*{package}"):
        begin(cast(Start, None))
