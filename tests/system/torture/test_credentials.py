# SPDX-License-Identifier: MIT
"""A web site's secret, by LoadCredential=: used under the real unit, and left nowhere, whatever the
site does.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import pytest

from ..finger import ABSENT, FAILED, SERVICE, Finger
from ..machine import Machine
from ..test_backends import answers, install_drop_in
from ..waiting import wait_for
from .traces import exported, files_with, holding, told

SECRET = "open-sesame-4711-XyZ"
TOKEN = f"Bearer {SECRET}"
FILE = "/etc/fingerd-sd/token"
PASSED = f"/run/credentials/{SERVICE}/token"
LOAD = f"[Service]\nLoadCredential=token:{FILE}\n"
FORMS = [
    SECRET.lower().encode(),
    SECRET.encode().hex().encode(),
    base64.b64encode(TOKEN.encode()).lower(),
]
WEB = """
[[source]]
type = "web"
url = "http://127.0.0.1:8080/~{user}"
ttl = 0
timeout = 2

[source.headers]
Authorization = { credential = "token" }
"""

# Two sites. Each writes down who asked for what, and whether the right secret came along.
SITE = f"""
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = open({FILE!r}).read().strip()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        port, user = self.server.server_port, self.path.removeprefix("/~")
        sent = self.headers.get("Authorization")
        word = "nothing" if sent is None else "it" if sent == TOKEN else "wrong"
        with open("/run/sites.log", "a") as log:
            log.write(f"{{port}} {{user}} {{word}}\\n")
        status, place, body = 404, "", b"Happy and well\\n"
        if sent != TOKEN:
            status = 403
        elif user == "alice":
            status = 200
        elif user == "moved":
            status, place = 301, "/~alice"
        elif user == "away":
            status, place = 302, "http://127.0.0.1:8081/~alice"
        elif user == "nowhere":
            status, place = 307, "http://[x:y]:zz/"
        elif user == "broken":
            status = 500
        elif user == "junk":
            self.wfile.write(b"what? \\xff\\r\\n\\r\\n")
            return
        elif user == "silent":
            threading.Event().wait(30)
            return
        self.send_response(status)
        if place:
            self.send_header("Location", place)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body) + (user == "cut")))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

other = ThreadingHTTPServer(("127.0.0.1", 8081), Handler)
threading.Thread(target=other.serve_forever, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""
HAPPY = b"Happy and well\r\n"
FINE = {"alice": HAPPY, "moved": HAPPY, "nobody": ABSENT}
BAD = ("away", "nowhere", "broken", "junk", "silent")


@pytest.fixture
def sites(finger: Finger) -> Iterator[None]:
    """The service with a way out, the secret's file, and the sites that know it."""
    machine = finger.machine
    install_drop_in(finger, "outbound.conf")
    machine.write(FILE, f"{TOKEN}\n", mode=0o600)
    machine.write("/run/sites.py", SITE)
    machine.write("/run/sites.log", "")
    start_sites(machine)
    try:
        yield
    finally:
        machine.run("systemctl", "stop", "sites", check=False)
        machine.run("rm", "-f", "/run/sites.py", "/run/sites.log", check=False)


def start_sites(machine: Machine) -> None:
    machine.run("systemd-run", "--quiet", "--unit=sites", "python3", "/run/sites.py")
    wait_for(lambda: answers(machine), "the site to answer")


def by_hand(finger: Finger, *arguments: str, passed: bool = True) -> str:
    """Return all that the command says to an administrator; `passed`: who gives it the secret."""
    folder = [f"CREDENTIALS_DIRECTORY={PASSED.rpartition('/')[0]}"] if passed else []
    said = finger.machine.run("env", *folder, "fingerd-sd", *arguments, check=False)
    return said.stdout + said.stderr


def asked_by_hand(finger: Finger) -> str:
    """Return what `check` and `ask` say of all users, with the secret and without."""
    said = ""
    for passed in (True, False):
        said += by_hand(finger, "check", passed=passed)
        for user in (*FINE, *BAD):
            said += by_hand(finger, "ask", "--explain", user, passed=passed)
    assert by_hand(finger, "ask", "alice") == HAPPY.decode()
    return said


def test_a_secret_is_sent_to_its_site_and_left_nowhere(
    finger: Finger, sites: None, tell: Callable[[str, str], None]
) -> None:
    machine = finger.machine
    finger.drop_in(LOAD)
    pid = finger.serve(WEB)
    for user, answer in FINE.items():
        assert finger.ask(user) == answer
    for user in BAD:
        assert finger.ask(user) == FAILED
        assert finger.ask("alice") == HAPPY  # so it is no site that fails, and is asked again
    finger.wait_for_log(FINGER_SOURCE="web", PRIORITY="3")
    environment = machine.run("cat", f"/proc/{pid}/environ", f"/proc/{pid}/cmdline").stdout
    everything = told(finger) + asked_by_hand(finger) + environment

    machine.systemctl("stop", "sites")
    assert b"[This answer is" in finger.ask("alice")
    everything += finger.status() + by_hand(finger, "ask", "--explain", "alice")
    start_sites(machine)
    machine.systemctl("reload", SERVICE)
    assert finger.ask("alice") == HAPPY
    machine.run("kill", "-ABRT", str(finger.pid()))  # what a crash leaves in the journal, too
    wait_for(lambda: machine.show(SERVICE, "NRestarts") != "0", "the restart")
    assert finger.ask("alice") == HAPPY
    everything += told(finger) + exported(finger)

    assert "CREDENTIALS_DIRECTORY=" in environment
    assert holding(everything, FORMS) == []
    assert set(files_with(machine, FORMS)) == {FILE, PASSED}
    requests = machine.run("cat", "/run/sites.log").stdout.split("\n")[:-1]
    assert not [line for line in requests if line.startswith("8081")]  # never sent elsewhere
    assert not [line for line in requests if line.endswith("wrong")]
    sent = sum(line.endswith(" it") for line in requests)
    assert sent >= len(FINE) + 2 * len(BAD)
    tell(
        "a credential for a web site: 8 kinds of pages, site down, reload, crash; then a search",
        f"sent {sent} times to its site, 0 to another; in 0 of {len(everything):,} characters",
    )


def test_a_secret_that_is_not_passed_is_named_with_file_key_and_remedy(
    finger: Finger, sites: None, tell: Callable[[str, str], None]
) -> None:
    finger.serve(WEB)
    assert finger.ask("alice") == FAILED
    (warning,) = finger.wait_for_log(PRIORITY="4")
    (failure,) = finger.wait_for_log(FINGER_SOURCE="web", PRIORITY="3")
    remedy = 'the credential "token" was not passed to this process: finger.service needs'
    key = f"/etc/fingerd-sd/fingerd.toml: source[1].headers: {remedy} LoadCredential=token:"
    assert key in warning["MESSAGE"]
    assert key in by_hand(finger, "check", passed=False)
    assert f"{remedy} LoadCredential=token:" in failure["MESSAGE"]
    assert finger.machine.run("cat", "/run/sites.log").stdout == ""
    tell("a credential that is not passed", "named with file, key and remedy; no request without")
