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
    "calls": (
        "#!/usr/bin/python3\nimport socket\n"
        "for family in socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK:\n"
        "    try:\n        socket.socket(family)\n        print('a socket')\n"
        "    except OSError as error:\n        print(error.errno)\n"
    ),
    "writes": (
        "#!/bin/sh\nfor place in /etc /run /run/finger /var/lib; do\n"
        "    (echo x >$place/x) && echo $place\ndone\nexit 0\n"
    ),
    "forks": "#!/bin/sh\nsleep 3600 &\nsleep 3600 &\necho forked\n",
}
EXAMPLES = "/usr/local/share/doc/fingerd-sd/examples"
LISTED = UNITS + '[[audience]]\nname = "all"\nnetworks = ["0.0.0.0/0", "::/0"]\nlist = true\n'
NO_SUCH_FAMILY = b"97\r\n"  # EAFNOSUPPORT


@pytest.fixture
def items(finger: Finger) -> Iterator[Finger]:
    """The service, with items that are enabled."""
    machine = finger.machine
    for name, script in SCRIPTS.items():
        machine.write(f"/etc/fingerd-sd/items/{name}", script, mode=0o755)
    sockets = [f"finger-item@{name}.socket" for name in SCRIPTS]
    machine.systemctl("enable", "--now", "--quiet", *sockets)
    finger.serve(UNITS)
    try:
        yield finger
    finally:
        machine.systemctl("disable", "--now", "--quiet", *sockets)
        machine.systemctl("stop", "finger-item@*.service", check=False)


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


def test_an_item_can_open_no_socket_of_the_network(items: Finger) -> None:
    assert items.ask("calls") == 3 * NO_SUCH_FAMILY


def test_a_drop_in_opens_the_network_for_one_item(items: Finger) -> None:
    machine, folder = items.machine, "/run/systemd/system/finger-item@calls.service.d"
    machine.run("mkdir", "-p", folder)
    try:
        machine.run("cp", f"{EXAMPLES}/finger-item@.service.d/network.conf", folder)
        machine.systemctl("daemon-reload")
        assert items.ask("calls") == 2 * b"a socket\r\n" + NO_SUCH_FAMILY
        assert machine.show("finger-item@looks.service", "PrivateNetwork") == "yes"
    finally:
        machine.run("rm", "-r", folder)
        machine.systemctl("daemon-reload")


def test_an_item_can_write_nothing_that_stays(items: Finger) -> None:
    assert items.ask("writes") == ABSENT  # it has said nothing, and ended well


def test_an_item_leaves_no_process(items: Finger) -> None:
    assert items.ask("forks") == b"forked\r\n"
    unit = "finger-item@forks.service"
    wait_for(lambda: items.state(unit) in ("inactive", "failed"), "it to end", note=items.diary)
    assert items.machine.run("ps", "-C", "sleep", check=False).status == 1


def test_an_item_is_bounded(items: Finger) -> None:
    unit = "finger-item@coffee.service"
    bounds = {"TasksMax": "16", "MemoryMax": str(64 << 20), "RuntimeMaxUSec": "15s"}
    assert {name: items.machine.show(unit, name) for name in bounds} == bounds


def test_a_list_has_the_items_that_answer(items: Finger) -> None:
    items.serve(LISTED)
    items.machine.systemctl("reload", "finger.service")
    said = items.ask("").decode()
    assert "2 cups" in said
    assert "tea" not in said


def test_the_example_of_an_item_answers(items: Finger) -> None:
    example = f"{EXAMPLES}/items/coffee"
    items.machine.run("install", "-m", "755", example, "/etc/fingerd-sd/items/coffee")
    assert re.fullmatch(
        r"Coffee machine, asked at \d\d:\d\d\.\r\nEspresso  12 cups\r\nTea       sold out\r\n",
        items.ask("coffee").decode(),
    )


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
