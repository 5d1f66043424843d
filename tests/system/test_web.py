# SPDX-License-Identifier: MIT
"""The package fingerd-sd-web on a booted machine: the socket, nginx in front, restarts, rights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ..fresh.packages import package
from ..helpers import needs
from . import finger as port_79
from . import project, roots
from .finger import PROMPT, Finger
from .machine import Machine
from .package import install
from .user import User
from .waiting import wait_for
from .web import EXAMPLES, PACKAGE, PATH, SERVICE, SOCKET, Client, Got, get

ALICE = """
[web]
domains = ["example.org"]

[[audience]]
name = "office"
networks = ["192.0.2.7"]
show = ["name", "office", "plan"]

[[source]]
type = "static"

[source.users.alice]
name = "Alice Liddell"
office = "Hill 016"
plan = "Curiouser and curiouser!"
"""
TEXT = "Login: alice          \t\t\tName: Alice Liddell\nPlan:\nCuriouser and curiouser!\n"
COLLEAGUE, SERVER = "192.0.2.7", "192.0.2.1"
RESTARTS, EXITS = 20, 20
PUBLISH = ("finger-publish.socket", "finger-publish.service")
LINK = "https://social.example/@carol"
CAROL = "/.well-known/webfinger?resource=acct:carol@example.org"


@pytest.fixture(scope="module", params=roots.RELEASES)
def booted(request: pytest.FixtureRequest, able: None) -> Iterator[Machine]:
    """A booted machine that has nginx and curl, and has never seen the project."""
    try:
        root = roots.root(request.param, packages=roots.WEB_PACKAGES)
    except roots.RootError as error:
        needs.cannot_run(str(error))
    machine = Machine(request.param, root, use="web")
    try:
        yield machine
    finally:
        machine.close()


@pytest.fixture(scope="module")
def before(booted: Machine) -> frozenset[str]:
    """The files of the machine without the packages."""
    return frozenset(project.files(booted))


def install_both(machine: Machine, later: bool = False) -> None:
    """Install both packages, of this version or a later one."""
    web = package(machine.release, later, PACKAGE)
    install(machine, package(machine.release, later), web)


@pytest.fixture
def web(booted: Machine, before: frozenset[str]) -> Finger:
    """The service as installed: neither enabled nor started, and configured by ALICE."""
    if booted.run("dpkg-query", "-W", PACKAGE, check=False).status:
        install_both(booted)
    Finger(booted).forget()
    service = Finger(booted, SOCKET, SERVICE)
    service.forget()
    service.configure(ALICE)
    return service


@pytest.fixture
def nginx(web: Finger) -> Finger:
    """The service with its socket open, and nginx in front by the example."""
    machine = web.machine
    machine.run("cp", f"{EXAMPLES}/nginx.conf", "/etc/nginx/conf.d/fingerd-sd.conf")
    machine.run("rm", "-f", "/etc/nginx/sites-enabled/default")
    for address in (COLLEAGUE, SERVER):
        machine.run("ip", "address", "replace", f"{address}/32", "dev", "lo")
    machine.run("nginx", "-t")
    machine.systemctl("restart", "nginx")
    web.listen()
    return web


def test_the_installation_opens_nothing_and_the_first_request_starts_the_process(
    web: Finger,
) -> None:
    machine = web.machine
    assert machine.systemctl("is-enabled", SOCKET, check=False).strip() == "disabled"
    assert web.state(SOCKET) == web.state() == "inactive"
    assert machine.run("test", "-e", PATH, check=False).status
    machine.systemctl("enable", "--now", SOCKET)
    assert web.state() == "inactive"
    assert get(machine, "/~alice.txt").body == TEXT
    assert web.state() == "active"
    assert get(machine, "/~bob.txt").status == 404
    wait_for(lambda: "2 requests (1 found, 1 absent)" in web.status(), "counts", note=web.status)
    assert machine.run("dpkg", "--verify", PACKAGE).stdout == ""
    verified = machine.run("systemd-analyze", "verify", SOCKET, SERVICE)
    assert verified.stdout + verified.stderr == ""
    machine.systemctl("disable", "--now", SOCKET)
    assert web.state() == "inactive"
    assert machine.run("test", "-e", PATH, check=False).status


def test_nobody_connects_but_the_proxy(web: Finger) -> None:
    web.listen()
    curl = ("curl", "--silent", "--unix-socket", PATH, "http://localhost/~alice.txt")
    for user, allowed in (("www-data", True), ("nobody", False)):
        group = web.machine.run("id", "-gn", user).stdout.strip()
        become = ("setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups")
        done = web.machine.run(*become, *curl, check=False)
        assert (done.stdout == TEXT, done.status == 0) == (allowed, allowed), user


def test_the_sandbox_leaves_little_open(web: Finger) -> None:
    web.serve(ALICE)
    said = web.machine.run("systemd-analyze", "--no-pager", "security", SERVICE).stdout
    found = re.search(r"Overall exposure level for finger-web\.service: ([0-9.]+)", said)
    assert found
    assert float(found[1]) <= 0.4
    status = web.machine.run("cat", f"/proc/{web.pid()}/status").stdout
    assert re.findall(r"^Cap\w+:\t(.*)$", status, re.MULTILINE) == ["0000000000000000"] * 5
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)
    assert get(web.machine, "/~alice").status == 200


# Prints what the process whose user it is may do to another, whose id it gets.
_TOUCH = """
import os, sys
for act in (lambda: os.kill(int(sys.argv[1]), 0), lambda: open(f"/proc/{sys.argv[1]}/mem", "rb")):
    try:
        act()
        print("done")
    except PermissionError:
        print("denied")
"""


def test_what_parses_http_cannot_touch_what_serves_port_79(web: Finger) -> None:
    port = Finger(web.machine)
    port.serve(ALICE)
    web.serve(ALICE)
    ours, theirs = (web.machine.show(unit, "User") for unit in (SERVICE, port_79.SERVICE))
    assert {ours, theirs} == {"fingerd-web", "fingerd-sd"}
    for user, target, said in (
        (theirs, port.pid(), "done"),
        (ours, port.pid(), "denied"),
        (theirs, web.pid(), "denied"),
    ):
        become = ("setpriv", f"--reuid={user}", "--regid=fingerd-sd", "--clear-groups")
        told = web.machine.run(*become, "/usr/bin/python3", "-c", _TOUCH, str(target)).stdout
        assert told.split()[0] == said
        assert "done" not in told or said == "done"


def test_what_serves_port_79_has_nothing_of_http_in_memory(web: Finger) -> None:
    port = Finger(web.machine)
    port.serve(ALICE)
    web.serve(ALICE)
    assert port.ask("alice").decode() == TEXT.replace("\n", "\r\n")
    assert get(web.machine, "/~alice").status == 200
    maps = {
        unit: web.machine.run("cat", f"/proc/{pid}/maps").stdout
        for unit, pid in (("web", web.pid()), ("port", port.pid()))
    }
    for name in ("aiohttp", "multidict", "yarl", "markupsafe"):
        assert f"/{name}/" in maps["web"]
        assert f"/{name}/" not in maps["port"]


# --- nginx in front ---


def through(machine: Machine, path: str, source: str = "", *options: str) -> Got:
    """Ask nginx for `path`, by a connection from the address `source`."""
    host = "[::1]" if ":" in source else SERVER
    at = ("--interface", source) if source else ()
    return get(machine, f"http://{host}{path}", *at, "-H", "Host: example.org", *options)


def test_nginx_passes_pages_and_webfinger_on(nginx: Finger) -> None:
    machine = nginx.machine
    page = through(machine, "/~alice")
    assert (page.status, "text/html" in page.head) == (200, True)
    assert "Curiouser and curiouser!" in page.body
    told = through(machine, "/.well-known/webfinger?resource=acct:alice%40example.org")
    assert (told.status, "application/jrd+json" in told.head) == (200, True)
    assert '"acct:alice@example.org"' in told.body
    assert through(machine, "/style.css").status == 200
    (tag,) = re.findall(r"(?im)^etag: (.*?)\r?$", page.head)
    assert through(machine, "/~alice", "", "-H", f"If-None-Match: {tag}").status == 304
    assert through(machine, "/~alice%2f..%2f", "").status in (400, 404)
    assert "Curiouser" in machine.run("w3m", "-dump", f"http://{SERVER}/~alice").stdout


@pytest.mark.parametrize("source", [COLLEAGUE, "127.0.0.1", "::1"])
def test_the_address_behind_nginx_decides_about_the_audience(nginx: Finger, source: str) -> None:
    office = source == COLLEAGUE
    told = through(nginx.machine, "/~alice.txt", source)
    assert ("Hill 016" in told.body) is office
    (entry,) = nginx.wait_for_log(FINGER_QUERY="/~alice.txt")
    assert entry["FINGER_PROTOCOL"] == "web"
    assert entry["FINGER_CLIENT"] == source
    assert entry["FINGER_AUDIENCE"] == ("office" if office else "everyone")
    assert entry["FINGER_RESULT"] == "found"
    assert int(entry["FINGER_BYTES"]) >= len(told.body)


def test_what_a_client_claims_to_be_goes_no_further_than_nginx(nginx: Finger) -> None:
    lies = ("X-Forwarded-For: {}", "Forwarded: for={}", "X-Real-IP: {}", "x-forwarded-for: {},{}")
    for lie in lies:
        claim = lie.format(COLLEAGUE, COLLEAGUE)
        told = through(nginx.machine, "/~alice.txt", "127.0.0.1", "-H", claim)
        assert told.body == TEXT, claim
    told = through(
        nginx.machine,
        *("/~alice.txt", "127.0.0.1", "-H", lies[0].format(COLLEAGUE)),
        *("-H", lies[1].format(COLLEAGUE)),
    )
    assert told.body == TEXT
    entries = nginx.wait_for_log(len(lies) + 1)
    clients = {entry["FINGER_CLIENT"] for entry in entries if "FINGER_CLIENT" in entry}
    assert clients == {"127.0.0.1"}


def test_a_port_of_its_own_believes_the_connection_alone(web: Finger) -> None:
    machine = web.machine
    folder = f"/etc/systemd/system/{SOCKET}.d"
    machine.run("mkdir", "-p", folder)
    machine.run("cp", f"{EXAMPLES}/{SOCKET}.d/port.conf", folder)
    machine.systemctl("daemon-reload")
    web.listen()
    for host in ("127.0.0.1", "[::1]"):
        told = get(machine, f"http://{host}:8079/~alice.txt", "-H", f"X-Forwarded-For: {COLLEAGUE}")
        assert told.body == TEXT
    assert machine.run("test", "-e", PATH, check=False).status


# --- the life of the process ---


def test_a_reload_shows_what_is_new_and_a_mistake_keeps_what_was(web: Finger) -> None:
    pid = web.serve(ALICE)
    web.configure(ALICE.replace("Curiouser", "Older"))
    web.machine.systemctl("reload", SERVICE)
    assert "Older and curiouser!" in get(web.machine, "/~alice.txt").body
    web.configure(ALICE.replace("domains", "domain"))
    web.machine.systemctl("reload", SERVICE)
    assert "Older and curiouser!" in get(web.machine, "/~alice.txt").body
    wait_for(lambda: "domains" in web.status(), "the mistake in STATUS=", note=web.status)
    assert web.pid() == pid


@contextmanager
def asking(web: Finger, host: str) -> Iterator[list[Client]]:
    """Two clients ask for alice meanwhile; afterwards none may have lost an answer."""
    clients = [Client(web, host, "/~alice.txt", TEXT.encode()) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        for client in clients:
            client.enough.set()
        for client in clients:
            client.join()
    print([client.asked for client in clients], "requests")
    assert [client.lost for client in clients] == [[], []]
    assert all(client.asked > 1 for client in clients)


@pytest.mark.parametrize("host", [PATH, "127.0.0.1"], ids=["socket", "nginx"])
def test_restarts_lose_no_request(nginx: Finger, host: str) -> None:
    nginx.drop_in(PROMPT)
    with asking(nginx, host):
        for _ in range(RESTARTS):
            nginx.machine.systemctl("restart", SERVICE)


def test_an_idle_process_leaves_and_no_request_is_lost(nginx: Finger) -> None:
    nginx.configure("[server]\nidle_exit = 0.05\n" + ALICE)
    nginx.drop_in(PROMPT)
    seen = set()
    for _ in range(EXITS):
        assert through(nginx.machine, "/~alice.txt").body == TEXT
        seen.add(nginx.machine.show(SERVICE, "InvocationID"))
        nginx.wait_for_state("inactive")
    assert len(seen) == EXITS
    assert nginx.machine.show(SERVICE, "Result") == "success"


def test_the_watchdog_replaces_a_stopped_process_and_a_waiting_client_is_answered(
    nginx: Finger,
) -> None:
    nginx.drop_in(PROMPT + "WatchdogSec=5s\n")
    pid = nginx.serve(ALICE)
    nginx.machine.run("kill", "-STOP", str(pid))
    assert through(nginx.machine, "/~alice.txt").body == TEXT
    assert nginx.pid() not in (0, pid)


# --- what else is on the machine ---


def test_what_a_user_publishes_is_on_the_web_at_once_and_gone_at_once(web: Finger) -> None:
    machine = web.machine
    web.configure("[web]\ndomains = ['example.org']\n")
    web.listen()
    user = User(machine, "carol")
    try:
        assert get(machine, "/~carol.txt").status == 404
        machine.systemctl("start", PUBLISH[0])
        wait_for(lambda: get(machine, "/~carol.txt").status == 404, "the reload")
        assert user.publish("--plan", "-", stdin="Off with her head\n").status == 0
        wait_for(lambda: "Off with" in get(machine, "/~carol.txt").body, "the plan on the web")
        assert user.publish("--plan", "-", stdin="Back on Monday\n").status == 0
        assert "Back on Monday" in get(machine, "/~carol").body
        assert user.publish("--link", "me", LINK).status == 0
        assert LINK in get(machine, CAROL).body
        assert LINK in get(machine, "/~carol").body
        assert user.publish("--no-links").status == 0
        assert LINK not in get(machine, CAROL).body
        assert user.publish("--remove").status == 0
        assert get(machine, "/~carol").status == 404
        assert get(machine, CAROL).status == 404
    finally:
        machine.systemctl("stop", *PUBLISH)
        machine.run("sh", "-c", "rm -rf /var/lib/fingerd-sd/*")
        user.drop()


@pytest.mark.parametrize(
    ("away", "said"),
    [
        ("fingerd_sd/serving/web", "fingerd-sd-web"),
        ("jinja2", "python3-jinja2"),
        ("aiohttp", "python3-aiohttp"),
    ],
)
def test_what_is_not_installed_is_named_once(web: Finger, away: str, said: str) -> None:
    machine = web.machine
    site = "/usr/lib/python3/dist-packages"
    machine.run("mv", f"{site}/{away}", "/root/away")
    try:
        web.listen()
        machine.systemctl("start", SERVICE, check=False)
        told = web.wait_for_log(PRIORITY="3")
        assert machine.show(SERVICE, "ExecMainStatus") == "78"
        starts = {entry["_PID"] for entry in told}
        assert len(told) == len(starts)
        assert all(said in entry["MESSAGE"] for entry in told), told
        assert all("Traceback" not in entry["MESSAGE"] for entry in web.log())
    finally:
        machine.run("mv", "/root/away", f"{site}/{away}")


# --- the packages ---


def test_upgrades_lose_no_request(nginx: Finger) -> None:
    with asking(nginx, "127.0.0.1"):
        for later in (True, False):
            install_both(nginx.machine, later)
            assert get(nginx.machine, "/~alice.txt").body == TEXT


def test_finger_does_without_the_package_and_purging_leaves_no_file(
    nginx: Finger, before: frozenset[str]
) -> None:
    machine = nginx.machine
    machine.systemctl("enable", "--now", SOCKET, port_79.SOCKET)
    assert get(machine, "/~alice.txt").body == TEXT
    machine.run("apt-get", "remove", "--yes", PACKAGE)
    assert nginx.state(SOCKET) == nginx.state() == "inactive"
    assert machine.run("test", "-e", PATH, check=False).status
    assert through(machine, "/~alice").status == 502
    assert b"Curiouser" in Finger(machine).ask("alice")
    install_both(machine)
    assert get(machine, "/~alice.txt").body == TEXT  # enabled it was, and so it is again
    machine.run("rm", "/etc/nginx/conf.d/fingerd-sd.conf")
    machine.run("apt-get", "purge", "--yes", "fingerd-sd", PACKAGE)
    assert sorted(project.files(machine) - before) == []
    assert machine.show(SERVICE, "LoadState") == "not-found"
