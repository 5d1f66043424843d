# SPDX-License-Identifier: MIT
"""What `check` says of the unit, and what the shipped drop-ins make of it."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from pathlib import Path

import pytest

from fingerd_sd.commands.exits import EX_OK
from fingerd_sd.commands.inspecting.check import check
from fingerd_sd.commands.inspecting.sandbox import WEB_SOCKET, effective_unit, is_enabled, missing
from fingerd_sd.directory.source import Needs

from ..helpers import needs

UNITS = Path(__file__).parents[2] / "units"
INSTALLED = {
    "PrivateNetwork": "yes",
    "RestrictAddressFamilies": "AF_UNIX",
    "NoExecPaths": "/",
    "ExecPaths": "/usr/bin/fingerd-sd /usr/bin/python3 /usr/lib -/usr/lib64",
}
WEB = ("web", Needs(network=True))
FINGER = ("command", Needs(programs=("/usr/bin/finger",)))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "PrivateNetwork=yes"),
        ({"PrivateNetwork": "no"}, "RestrictAddressFamilies=AF_UNIX"),
        ({"PrivateNetwork": "no", "RestrictAddressFamilies": "none"}, "=none"),
        ({"PrivateNetwork": "no", "RestrictAddressFamilies": "~AF_INET AF_INET6"}, "~AF_INET"),
        ({"PrivateNetwork": "no", "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6"}, ""),
        ({"PrivateNetwork": "no", "RestrictAddressFamilies": "~AF_PACKET"}, ""),
        ({"PrivateNetwork": "no", "RestrictAddressFamilies": ""}, ""),
    ],
)
def test_the_network_is_missed_where_it_is_not(changed: dict[str, str], told: str) -> None:
    lacks = list(missing([WEB, FINGER, ("static", Needs())], {**INSTALLED, **changed}))
    assert len(lacks) == 1 + bool(told)
    assert ("web" in lacks[0] and "outbound.conf" in lacks[0] and told in lacks[0]) == bool(told)


@pytest.mark.parametrize(
    ("paths", "may"),
    [
        ({}, False),
        ({"ExecPaths": "/usr/bin/finger"}, True),
        ({"ExecPaths": "/usr/bin"}, True),
        ({"ExecPaths": "-/usr/bin/finger"}, True),
        ({"ExecPaths": "/usr/bin/fing"}, False),
        ({"ExecPaths": "/usr", "NoExecPaths": "/usr/bin"}, False),
        ({"NoExecPaths": ""}, True),
    ],
)
def test_a_program_is_missed_where_it_may_not_be_run(paths: dict[str, str], may: bool) -> None:
    lacks = list(missing([FINGER], {**INSTALLED, **paths}))
    assert bool(lacks) != may
    assert all("command.conf" in lack and "/usr/bin/finger" in lack for lack in lacks)


def test_without_systemd_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert effective_unit() is None
    assert not is_enabled(WEB_SOCKET)


STAND_IN = """#!/bin/sh
case $2 in
finger-web.socket) printf 'UnitFileState=%s\\nActiveState=inactive\\n' "$WEB" ;;
*) printf 'LoadState=loaded\\nPrivateNetwork=yes\\n' ;;
esac
"""


@pytest.mark.parametrize(("state", "units"), [("enabled", 2), ("disabled", 1), ("", 1)])
def test_each_unit_that_serves_is_looked_at(
    state: str,
    units: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    needs.modules("aiohttp", "lxml")
    (tmp_path / "systemctl").write_text(STAND_IN)
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("WEB", state)
    config = tmp_path / "fingerd.toml"
    config.write_text('[[source]]\ntype = "web"\nurl = "https://example.org/{user}"\n')
    assert check(config) == EX_OK
    warnings = capsys.readouterr().err.splitlines()
    assert ["finger.service has PrivateNetwork=yes" in line for line in warnings][:1] == [True]
    assert ["finger-web.service has" in line for line in warnings] == [False, True][:units]


@pytest.mark.parametrize(
    ("drop_ins", "most"),
    [
        ([], 0.4),
        (["static-only.conf"], 0.2),
        (["command.conf"], 0.4),
        (["outbound.conf"], 1.2),
        (["outbound.conf", "command.conf"], 1.2),
        (["outbound.conf", "static-only.conf"], 1.1),
    ],
)
@pytest.mark.parametrize("unit", ["finger", "finger-web"])
def test_the_exposure_of_a_unit_with_drop_ins(
    tmp_path: Path, unit: str, drop_ins: list[str], most: float
) -> None:
    needs.programs("systemd-analyze")
    for file in (f"{unit}.service", f"{unit}.socket"):
        shutil.copy(UNITS / file, tmp_path)
    (tmp_path / f"{unit}.service.d").mkdir()
    for name in drop_ins:
        shutil.copy(UNITS / "finger.service.d" / name, tmp_path / f"{unit}.service.d")
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager",
         f"--threshold={most * 10:.0f}", str(tmp_path / f"{unit}.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr


SHARING = ("finger", "finger-web", "finger-publish", "finger-presence")


@pytest.mark.parametrize("unit", SHARING)
def test_the_way_to_a_store_is_the_only_one(tmp_path: Path, unit: str) -> None:
    needs.programs("systemd-analyze")
    shutil.copy(UNITS / f"{unit}.service", tmp_path)
    shutil.copytree(UNITS / f"{unit}.service.d", tmp_path / f"{unit}.service.d")
    for name in ("outbound.conf", "command.conf", "static-only.conf"):
        (tmp_path / f"{unit}.service.d" / name).unlink(missing_ok=True)
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=12",
         str(tmp_path / f"{unit}.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr


def test_every_drop_in_is_tried_here() -> None:
    shipped = {path.name for path in (UNITS / "finger.service.d").iterdir()}
    assert shipped == {"static-only.conf", "command.conf", "outbound.conf", "store.conf"}
    assert sorted(path.parent.name for path in UNITS.glob("*/store.conf")) == sorted(
        f"{unit}.service.d" for unit in SHARING
    )


def test_the_drop_ins_for_a_store_differ_in_what_they_must() -> None:
    for unit in SHARING:
        text = (UNITS / f"{unit}.service.d/store.conf").read_text()
        writes = unit in ("finger-publish", "finger-presence")
        assert f"/etc/credstore/fingerd-sd-{'writer' if writes else 'reader'}\n" in text
        said = text.replace(f"{unit}.service", "X").replace("writer", "reader")
        ours = (UNITS / "finger.service.d/store.conf").read_text().replace("finger.service", "X")
        assert said.replace("Who may write", "Who may read") == ours


def test_the_addresses_that_are_allowed_are_all_but_the_dangerous() -> None:
    text = (UNITS / "finger.service.d/outbound.conf").read_text()
    lines = [line for line in text.splitlines() if line.startswith("IPAddressAllow=")]
    networks = [ipaddress.ip_network(n) for line in lines for n in line.split("=")[1].split()]
    whole = ipaddress.ip_network("0.0.0.0/0")
    left = [net for net in networks if net.version == 4]
    allowed = sum(net.num_addresses for net in ipaddress.collapse_addresses(left))
    assert allowed == whole.num_addresses - 2**28 * 2 - 2**16  # multicast, class E, link-local
    for dangerous in ("169.254.169.254", "224.0.0.1", "fe80::1", "ff02::1"):
        address = ipaddress.ip_address(dangerous)
        assert not any(address in net for net in networks if net.version == address.version)
