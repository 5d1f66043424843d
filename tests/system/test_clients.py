# SPDX-License-Identifier: MIT
"""Clients that people use, as they come with Debian, and what they make of a host in the query.

Emacs's `M-x finger` sends `alice@HOST`, and so does, here, whoever can be told what to send.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .finger import Finger

ADDRESS, ADDRESS6 = "192.0.2.77", "2001:db8:77::1"
HOSTS = ("localhost", "127.0.0.1", "::1", ADDRESS, ADDRESS6)
CONFIGURATION = '[[source]]\ntype = "static"\nusers = { alice = "Curiouser and curiouser!" }\n'
TOLD = "Curiouser and curiouser!"
DENIED = "Finger forwarding service denied"


@pytest.fixture
def served(finger: Finger) -> Iterator[Finger]:
    """A service on a machine called vm, with an address of either family."""
    addresses = (ADDRESS, ADDRESS6)
    finger.serve(CONFIGURATION)
    try:
        for address in addresses:
            finger.machine.run("ip", "address", "add", address, "dev", "lo", "nodad")
        yield finger
    finally:
        for address in addresses:
            finger.machine.run("ip", "address", "delete", address, "dev", "lo", check=False)


def shell(finger: Finger, script: str) -> str:
    """Return what `script` says, in bash."""
    return finger.machine.run("bash", "-c", script, check=False).stdout.replace("\r", "")


def test_finger(served: Finger) -> None:
    """It sends the line without the last host."""
    for host in HOSTS:
        assert TOLD in shell(served, f"finger alice@{host}")
        assert TOLD in shell(served, f"finger alice@{host}@{host}")
        assert TOLD in shell(served, f"finger -l alice@vm@localhost@{host}")
        assert DENIED in shell(served, f"finger alice@example.org@{host}")
        assert DENIED in shell(served, f"finger alice@localhost@example.org@{host}")


def test_netcat_and_bash_say_what_emacs_does(served: Finger) -> None:
    for host in HOSTS:
        for sent in (f"alice@{host}", f"/W alice@{host}", f"alice@{host}@LocalHost.", "alice@VM"):
            assert shell(served, f"printf '{sent}\\n' | nc -N {host} 79") == f"{TOLD}\n"
            script = f"exec 3<>/dev/tcp/{host}/79; printf '{sent}\\r\\n' >&3; cat <&3"
            assert shell(served, script) == f"{TOLD}\n"


def test_an_address_that_the_client_did_not_connect_to_is_another_host(served: Finger) -> None:
    for _ in range(2):
        for host, address in (("127.0.0.1", ADDRESS), (ADDRESS, "127.0.0.1"), ("::1", ADDRESS6)):
            told = shell(served, f"printf 'alice@{address}\\n' | nc -N {host} 79")
            assert told == f"{DENIED}\n"
            told = shell(served, f"printf 'alice@{address}\\n' | nc -N {address} 79")
            assert told == f"{TOLD}\n"


def test_lynx(served: Finger) -> None:
    """It sends the user alone."""
    for host in ("localhost", ADDRESS, f"[{ADDRESS6}]"):
        for path in (f"{host}/alice", f"alice@{host}", f"{host}/w/alice"):
            assert TOLD in shell(served, f"TERM=dumb lynx -dump finger://{path}")
