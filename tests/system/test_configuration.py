# SPDX-License-Identifier: MIT
"""Good and bad configuration, at the start and on reload."""

from __future__ import annotations

import pytest

from .finger import CONFIGURATION, HAPPY, MOSHEZ, SERVICE, SOCKET, Finger
from .machine import read_all
from .waiting import wait_for

RELOADS = 20

# Two mistakes in two tables, and the words that their messages must have.
MISTAKES = """
[server]
idle_exitt = 600
max_query = "long"

[[source]]
type = "static"
users = { moshez = "Never seen" }
"""
WORDS = (("server.idle_exitt", "idle_exit"), ("server.max_query", "long"))
BROKEN = "[server\nidle_exit = 600\n"


def user(text: str) -> str:
    """Return a configuration that answers `text` for moshez."""
    return MOSHEZ.replace("Happy and well", text)


def test_a_reload_is_over_when_systemctl_returns(finger: Finger) -> None:
    pid = finger.serve()
    for number in range(RELOADS):
        finger.configure(user(f"version {number}"))
        finger.machine.systemctl("reload", SERVICE)
        assert finger.ask("moshez") == f"version {number}\r\n".encode()
    assert finger.pid() == pid


def test_sighup_reloads_too(finger: Finger) -> None:
    pid = finger.serve()
    finger.configure(user("changed"))
    finger.machine.run("kill", "-HUP", str(pid))
    wait_for(lambda: finger.ask("moshez") == b"changed\r\n", "the new answer", note=finger.diary)
    assert finger.pid() == pid


@pytest.mark.parametrize("text", [MISTAKES, BROKEN], ids=["mistakes", "broken"])
def test_a_bad_reload_keeps_the_old_configuration_and_says_so(finger: Finger, text: str) -> None:
    pid = finger.serve()
    finger.configure(text)
    finger.machine.systemctl("reload", SERVICE, check=False)
    assert finger.ask("moshez") == HAPPY
    assert (finger.state(), finger.pid()) == ("active", pid)
    wait_for(lambda: CONFIGURATION in finger.status(), "the error in STATUS", note=finger.status)
    assert [
        entry for entry in finger.wait_for_log(PRIORITY="3") if CONFIGURATION in entry["MESSAGE"]
    ]
    finger.configure(user("repaired"))
    finger.machine.systemctl("reload", SERVICE)
    assert finger.ask("moshez") == b"repaired\r\n"
    assert finger.pid() == pid


def test_a_bad_start_names_each_mistake_once(finger: Finger) -> None:
    finger.drop_in("[Service]\nRestart=no\n")
    finger.configure(MISTAKES)
    finger.machine.systemctl("start", SERVICE, check=False)
    finger.wait_for_state("failed")
    assert finger.machine.show(SERVICE, "ExecMainStatus") == "78"
    messages = [entry["MESSAGE"] for entry in finger.wait_for_log(len(WORDS), PRIORITY="3")]
    for words in WORDS:
        told = [text for text in messages if all(word in text for word in (CONFIGURATION, *words))]
        assert len(told) == 1, messages


def test_who_calls_before_a_bad_configuration_is_repaired_is_answered_after(
    finger: Finger,
) -> None:
    finger.configure(BROKEN)
    finger.listen()
    with finger.machine.connect() as client:
        client.sendall(b"moshez\r\n")
        finger.wait_for_log(PRIORITY="3")
        assert finger.state(SOCKET) == "active"
        finger.configure()
        assert read_all(client) == HAPPY
