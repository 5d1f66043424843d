# SPDX-License-Identifier: MIT
"""Items: units that answer for a name, through finger.service with its whole sandbox."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from .finger import ABSENT, FAILED, Finger
from .waiting import wait_for

UNITS = '[[source]]\ntype = "unit"\npath = "/run/finger/{user}"\nttl = 0\ntimeout = 2\n'
SCRIPTS = {
    "coffee": "#!/bin/sh\nset -eu\necho 2 cups\n",
    "hangs": "#!/bin/sh\nexec sleep 3600\n",
    "fails": "#!/bin/sh\necho half\nexit 3\n",
    "floods": "#!/bin/sh\nexec yes\n",
    "looks": (
        "#!/bin/sh\nls /home | wc -l\nls /sys/class/net\nid -un\nls -l /proc/self/fd | wc -l\n"
    ),
}


@pytest.fixture
def items(finger: Finger) -> Iterator[Finger]:
    """The service, with items that are enabled."""
    machine = finger.machine
    for name, script in SCRIPTS.items():
        machine.write(f"/etc/fingerd-sd/items/{name}", script, mode=0o755)
        machine.systemctl("enable", "--now", "--quiet", f"finger-item@{name}.socket")
    finger.serve(UNITS)
    try:
        yield finger
    finally:
        for name in SCRIPTS:
            machine.systemctl("disable", "--now", "--quiet", f"finger-item@{name}.socket")
            machine.systemctl("stop", f"finger-item@{name}.service", check=False)


def test_an_item_answers_again_and_again(items: Finger) -> None:
    for _ in range(60):
        assert items.ask("coffee") == b"2 cups\r\n"
    assert items.ask("tea") == items.ask("../fingerd-sd/publish") == ABSENT
    assert items.state("finger-item@coffee.socket") == "active"
    items.machine.systemctl("stop", "finger-item@coffee.socket")
    assert items.ask("coffee") == ABSENT


def test_an_item_that_hangs_keeps_no_other_from_answering(items: Finger) -> None:
    for _ in range(2):
        with items.machine.connect() as client:
            client.sendall(b"hangs\r\n")
            assert items.ask("coffee") == b"2 cups\r\n"
            assert client.recv(100) == FAILED
    unit = "finger-item@hangs.service"
    wait_for(lambda: items.state(unit) in ("inactive", "failed"), "it to end", note=items.diary)


def test_items_that_fail_are_failures(items: Finger) -> None:
    for _ in range(25):
        assert items.ask("fails") == FAILED
    assert items.ask("floods") == FAILED
    assert items.state("finger-item@fails.socket") == "active"


def test_an_item_sees_no_home_and_no_network(items: Finger) -> None:
    items.machine.run("mkdir", "-p", "/home/somebody")
    homes, *links, user, descriptors = items.ask("looks").decode().split()
    assert (homes, links) == ("0", ["lo"])
    assert user not in ("root", "fingerd-sd")
    assert int(descriptors) <= 6


def test_the_exposure_of_an_item_is_small(items: Finger) -> None:
    unit = "finger-item@coffee.service"
    said = items.machine.run("systemd-analyze", "--no-pager", "security", unit).stdout
    found = re.search(r"Overall exposure level for .*: ([0-9.]+)", said)
    print(said if found is None else found[0])
    assert found
    assert float(found[1]) <= 1
    units = (unit, "finger-item@coffee.socket")
    done = items.machine.run("systemd-analyze", "verify", *units, check=False)
    assert done.stdout + done.stderr == ""
