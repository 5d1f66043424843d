# SPDX-License-Identifier: MIT
"""What this machine is called, without asking the network."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import NoReturn

import pytest

from fingerd_sd.process.hostname import MAX_HOSTS_FILE, names_of_this_host

HOSTS = """\
# vm.example.com
127.0.0.1 localhost localhost.localdomain  # vm.example.net
127.0.1.1\tVM.Example.org. vm
192.0.2.1 vm2.example.org other.example.org vm.lan

::1
"""


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("vm", ("localhost", "vm", "vm.example.org", "vm.lan")),
        ("VM.example.org", ("localhost", "vm.example.org", "vm", "vm.lan")),
        ("vm.example.org.", ("localhost", "vm.example.org", "vm", "vm.lan")),
        ("vm2", ("localhost", "vm2", "vm2.example.org")),
        ("new", ("localhost", "new")),
        ("localhost", ("localhost", "localhost.localdomain")),
    ],
)
def test_a_machine_is_called_by_its_name_and_what_hosts_makes_of_it(
    tmp_path: Path, name: str, names: tuple[str, ...]
) -> None:
    (hosts := tmp_path / "hosts").write_text(HOSTS)
    assert names_of_this_host(name, hosts) == names


@pytest.mark.parametrize("octets", [b"", b"\xff vm.\xff vm.example.org", b"\0" * 100])
def test_what_is_no_hosts_file_is_no_failure(tmp_path: Path, octets: bytes) -> None:
    (hosts := tmp_path / "hosts").write_bytes(octets)
    assert names_of_this_host("vm", hosts)[:2] == ("localhost", "vm")
    assert names_of_this_host("vm", tmp_path / "nowhere") == ("localhost", "vm")
    assert names_of_this_host("vm", tmp_path) == ("localhost", "vm")


def test_of_a_very_long_file_the_beginning_is_read(tmp_path: Path) -> None:
    (hosts := tmp_path / "hosts").write_text(
        "127.0.1.1 vm.example.org\n" + "#" * MAX_HOSTS_FILE + "\n192.0.2.1 vm.example.net\n"
    )
    assert names_of_this_host("vm", hosts) == ("localhost", "vm", "vm.example.org")


def test_the_network_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> NoReturn:
        raise AssertionError("a name is looked up")

    for name in ("getaddrinfo", "gethostbyaddr", "gethostbyname_ex", "getfqdn", "getnameinfo"):
        monkeypatch.setattr(socket, name, asked)
    assert socket.gethostname().lower() in names_of_this_host()
