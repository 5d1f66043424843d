# SPDX-License-Identifier: MIT
"""Programs and web sites as sources, from within the sandbox, with the drop-ins and without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .finger import ABSENT, FAILED, SERVICE, Finger
from .machine import Machine
from .waiting import wait_for

EXAMPLES = "/usr/local/share/doc/fingerd-sd/examples/finger.service.d"
TOKEN = "Bearer open-sesame"

FINGER = """
[[source]]
type = "command"
argv = ["/usr/bin/finger", "-lm", "--", "{user}"]
absent_text = ": no such user."
"""
# A comment in sed's own language, so that the name changes nothing.
STATUS = """
[[source]]
type = "command"
argv = ["/usr/bin/sed", "-n", "-e", "/^Cap/p", "-e", "/^NoNewPrivs/p", "-e", "# {user}",
        "/proc/self/status"]
"""
WEB = """
[[source]]
type = "web"
url = "http://127.0.0.1:8080/~{user}"
ttl = 0

[source.headers]
Authorization = { credential = "token" }
"""
PORT = 8080

# Answers those who know the token, 404 to all but alice and hatter, who writes HTML.
SITE = f"""
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        knows = self.headers["Authorization"] == {TOKEN!r}
        html = self.path == "/~hatter"
        body = b"<h1>Tea</h1><ul><li>cup" if html else b"Working on \\x1b[1mfinger\\n"
        there = self.path in ("/~alice", "/~hatter")
        self.send_response(403 if not knows else 200 if there else 404)
        self.send_header("Content-Type", f"text/{{'html' if html else 'plain'}}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

ThreadingHTTPServer(("127.0.0.1", {PORT}), Handler).serve_forever()
"""


@pytest.fixture
def dora(machine: Machine) -> Iterator[str]:
    """An account with a plan in a home that others may search."""
    try:
        machine.run("useradd", "--create-home", "--comment", "Dora Liddell", "dora")
        machine.run("chmod", "711", "/home/dora")
        machine.write("/home/dora/.plan", "Dora's plan\n", owner="dora")
        yield "dora"
    finally:
        machine.run("userdel", "--remove", "dora", check=False)


@pytest.fixture
def site(machine: Machine) -> Iterator[None]:
    """A web site on the machine's loopback."""
    machine.write("/run/site.py", SITE)
    machine.run("systemd-run", "--quiet", "--unit=site", "python3", "/run/site.py")
    try:
        wait_for(lambda: answers(machine), "the site to answer")
        yield
    finally:
        machine.run("systemctl", "stop", "site", check=False)


def answers(machine: Machine) -> bool:
    try:
        machine.connect(port=PORT).close()
    except OSError:
        return False
    return True


def install_drop_in(finger: Finger, name: str) -> None:
    """Copy a shipped drop-in to where it says."""
    folder = f"/etc/systemd/system/{SERVICE}.d"
    finger.machine.run("install", "-D", "-m", "644", "-t", folder, f"{EXAMPLES}/{name}")
    finger.machine.systemctl("daemon-reload")


def warnings(finger: Finger) -> str:
    return finger.machine.run("fingerd-sd", "check").stderr


def test_debians_finger_answers_from_within_the_sandbox(finger: Finger, dora: str) -> None:
    install_drop_in(finger, "command.conf")
    finger.serve(FINGER)
    assert warnings(finger) == ""
    told = finger.ask(dora).decode()
    assert told.startswith("Login: dora")
    assert "Name: Dora Liddell" in told
    assert "Plan:\r\nDora's plan\r\n" in told
    for user in ("nobody-has-this-name", "-s", "--help", "/etc/passwd", "$(id)"):
        assert finger.ask(user) == ABSENT
    assert finger.state() == "active"


def test_without_its_drop_in_a_program_cannot_be_run_and_check_says_so(finger: Finger) -> None:
    finger.serve(FINGER)
    assert "command.conf" in warnings(finger)
    assert finger.ask("root") == FAILED
    (entry,) = finger.wait_for_log(FINGER_SOURCE="command", PRIORITY="3")
    assert "ExecPaths=" in entry["MESSAGE"]


def test_a_program_has_no_capability(finger: Finger) -> None:
    finger.drop_in("[Service]\nExecPaths=/usr/bin/sed\n")
    finger.serve(STATUS)
    lines = dict(line.split(":\t") for line in finger.ask("x").decode().splitlines())
    assert lines.pop("NoNewPrivs") == "1"
    assert len(lines) == 5
    assert set(lines.values()) == {"0" * 16}


def test_a_web_site_answers_with_a_credential(finger: Finger, site: None) -> None:
    install_drop_in(finger, "outbound.conf")
    finger.machine.write("/etc/fingerd-sd/token", f"{TOKEN}\n", mode=0o600)
    finger.drop_in("[Service]\nLoadCredential=token:/etc/fingerd-sd/token\n")
    finger.serve(WEB)
    assert finger.ask("alice") == b"Working on ^[[1mfinger\r\n"
    assert finger.ask("bob") == ABSENT
    assert "outbound.conf" not in warnings(finger)
    if finger.machine.run("python3", "-c", "import lxml", check=False).status == 0:
        assert finger.ask("hatter") == b"Tea\r\n\r\n* cup\r\n"
    assert TOKEN not in finger.diary()
    assert TOKEN not in finger.machine.systemctl("show", SERVICE)

    finger.machine.systemctl("stop", "site")
    told = finger.ask("alice").decode()
    assert told.startswith("Working on ^[[1mfinger\r\n[This answer is ")
    (entry,) = finger.wait_for_log(FINGER_SOURCE="web", PRIORITY="3")
    assert "http://127.0.0.1:8080 fails" in entry["MESSAGE"]
    wait_for(lambda: "asked again in" in finger.status(), "the status", note=finger.status)


def test_without_its_drop_in_a_web_site_is_out_of_reach_and_check_says_so(
    finger: Finger, site: None
) -> None:
    finger.serve(WEB.partition("[source.headers]")[0])
    assert "outbound.conf" in warnings(finger)
    assert finger.ask("alice") == FAILED


def test_a_query_is_relayed_to_a_host_that_is_named(finger: Finger) -> None:
    install_drop_in(finger, "outbound.conf")
    finger.serve(
        "[server]\nnames = []\n"  # so that it relays to itself
        '[[audience]]\nname = "local"\nnetworks = ["127.0.0.0/8"]\nforward = true\n'
        'forward_hosts = ["127.0.0.1"]\n'
        '[[source]]\ntype = "static"\nusers = { moshez = "Happy and well" }\n'
    )
    assert finger.ask("moshez@127.0.0.1") == b"Happy and well\r\n"
    assert finger.ask("moshez@localhost") == b"Finger forwarding service denied\r\n"
    assert finger.ask("moshez@127.0.0.1@127.0.0.1") == b"Happy and well\r\n"
    assert finger.ask("x" + "@127.0.0.1" * 5) == b"Finger forwarding service denied\r\n"
    relayed = [entry for entry in finger.wait_for_log() if entry.get("FINGER_SOURCE") == "forward"]
    assert {entry["FINGER_RESULT"] for entry in relayed} == {"found"}
