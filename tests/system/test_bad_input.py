# SPDX-License-Identifier: MIT
"""Bad input over the real socket: a clear answer or a clear log line, and the service goes on."""

from __future__ import annotations

import contextlib
import select
import socket
import threading

import pytest

from .finger import ABSENT, HAPPY, MALFORMED, MOSHEZ, SERVICE, SOCKET, Finger
from .machine import read_all

IMPATIENT = "[server]\nquery_timeout = 2\n" + MOSHEZ
DENIED = b"Finger forwarding service denied\r\n"


@pytest.mark.parametrize(
    ("octets", "answers"),
    [
        (b"x" * (1 << 20), [MALFORMED]),
        (b"x" * (1 << 16) + b"\r\n", [MALFORMED]),
        (b"\0" * 100 + b"\r\n", [MALFORMED, ABSENT]),
        (b"@" * 500 + b"\r\n", [DENIED, MALFORMED]),
        (b"a" + b"@localhost" * 90 + b"\r\n", [DENIED]),
        (b"../../etc/passwd\r\n", [ABSENT, MALFORMED]),
        (
            b"\xff\xfb\x01" * 20 + b"\r\n",
            [MALFORMED, ABSENT, b"Finger online user list denied\r\n"],
        ),
    ],
    ids=lambda value: f"{value[:12]!r}" if isinstance(value, bytes) else "",
)
def test_bad_octets_get_a_clear_answer(finger: Finger, octets: bytes, answers: list[bytes]) -> None:
    pid = finger.serve()
    with finger.machine.connect() as client:
        sender = threading.Thread(target=_send, args=(client, octets))
        sender.start()
        answer = read_all(client)
        client.close()
        sender.join()
    assert answer in answers
    assert finger.ask("moshez") == HAPPY
    assert finger.pid() == pid


def _send(client: socket.socket, octets: bytes) -> None:
    with contextlib.suppress(OSError):  # the server may close before it has read all
        client.sendall(octets)


def test_silence_is_ended_without_an_answer(finger: Finger) -> None:
    pid = finger.serve(IMPATIENT)
    with finger.machine.connect() as client:
        assert read_all(client) == b""
    finger.wait_for_log(FINGER_RESULT="timeout")
    assert finger.ask("moshez") == HAPPY
    assert finger.pid() == pid


def test_one_octet_a_while_does_not_buy_more_time(finger: Finger) -> None:
    pid = finger.serve(IMPATIENT)
    with finger.machine.connect() as client:
        for _ in range(100):
            with contextlib.suppress(OSError):
                client.sendall(b"x")
            if select.select([client], [], [], 0.2)[0]:
                break
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
    (entry,) = finger.wait_for_log(FINGER_RESULT="timeout")
    assert entry["FINGER_CLIENT"] == "127.0.0.1"
    assert finger.ask("moshez") == HAPPY
    assert finger.pid() == pid


def test_who_leaves_at_once_harms_nobody(finger: Finger) -> None:
    pid = finger.serve()
    for octets in (b"", b"mos", b"moshez\r\n") * 20:
        with finger.machine.connect() as client:
            client.sendall(octets)
    assert finger.ask("moshez") == HAPPY
    assert finger.pid() == pid


def test_a_unix_socket_is_served_like_the_port(finger: Finger) -> None:
    finger.drop_in("[Socket]\nListenStream=/run/finger.sock\n", SOCKET)
    finger.configure()
    finger.listen()
    assert finger.ask("moshez", host="/run/finger.sock") == HAPPY
    assert finger.ask("moshez") == HAPPY
    entries = finger.wait_for_log(2, FINGER_QUERY="moshez")
    assert [entry["FINGER_CLIENT"] for entry in entries] == ["local", "127.0.0.1"]
    assert finger.state(SERVICE) == "active"
