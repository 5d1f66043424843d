# SPDX-License-Identifier: MIT
"""The Debian package is upgraded while 64 clients ask: none is refused, lost or answered wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ...fresh.packages import package
from ..finger import HAPPY, MOSHEZ, SERVICE, SOCKET, Finger
from ..machine import Machine
from ..package import DROP_IN, install, version
from .load import Load
from .programs import Asking

CLIENTS = 64
QUERIES = 2000  # at least; an upgrade is over before that, or it is not


@pytest.fixture
def finger(packaged: Machine, clean: frozenset[str]) -> Finger:
    """The package, with one user, its port open."""
    install(packaged, package(packaged.release))
    packaged.write(DROP_IN, MOSHEZ)
    packaged.systemctl("enable", "--now", SOCKET)
    return Finger(packaged)


def test_an_upgrade(finger: Finger, tell: Callable[[str, str], None]) -> None:
    questions = [("moshez", HAPPY.decode()), ("nobody", "No such user\r\n")]
    later = package(finger.machine.release, later=True)
    with Asking(finger.machine, Load(questions, CLIENTS, least=QUERIES)) as asking:
        finger.wait_for_state("active")
        before = finger.pid()
        install(finger.machine, later)
        found = asking.found()
    assert found.failed == []
    assert version(finger.machine) == "99-1"
    assert finger.pid() not in (0, before)
    assert finger.machine.show(SERVICE, "NRestarts") == "0"
    tell(f"1 upgrade of the package under {CLIENTS} clients", f"0 of {found.asked:,} lost")
