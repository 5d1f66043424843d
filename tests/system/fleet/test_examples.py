# SPDX-License-Identifier: MIT
"""The example files of a store, as an administrator copies them: they work, and content `check`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..finger import CONFIGURATION, SERVICE
from ..machine import Machine
from ..user import User
from ..waiting import wait_for
from . import network
from .fleet import Fleet
from .store import PORT, Store

TREE = Path(__file__).parents[3]
EXAMPLES = TREE / "packaging/example/store"
NAME = "store.example.org"
PRESENCE, KEEPER = "finger-presence.service", "finger-publish.service"
UNITS = {SERVICE: "reader", KEEPER: "writer", PRESENCE: "writer"}
SWITCHES = ("finger.socket", "finger-publish.socket", PRESENCE)
# Of the example, what differs on each machine.
SERVER = """
include /etc/{make}/{make}.conf
dir /var/lib/{make}/main
logfile ""
pidfile /run/{make}-main/{make}-server.pid
"""
CONFIG = f"""
[store]
url = "redis://{NAME}:{PORT}"
credential = "fingerd-sd-store"

[[audience]]
show = "all"
list = true

[[source]]
type = "published"
"""
UNFIT = "the store at "


@pytest.fixture
def example(booted: Fleet, stores: Store) -> Iterator[Machine]:
    """A login host and a store that are set up by the examples; yield the host."""
    hub, make = booted.hub, stores.make
    stores.renew()
    users = (EXAMPLES / "users.acl").read_text()
    for user in ("admin", "reader", "writer", "replica", "sentinel"):
        users = users.replace(f"#{user} ", f"#{hashlib.sha256(user.encode()).hexdigest()} ")
    if make == "redis":  # before 7.2, as redis.conf says
        users = users.replace("+zrem\n", "+zrem +config|get\n")
    hub.write(f"/etc/{make}/users.acl", users, mode=0o640, owner=make)
    conf = (EXAMPLES / "redis.conf").read_text().replace("/etc/redis", f"/etc/{make}")
    conf = conf.replace("192.0.2.10 2001:db8::10", network.STORE)
    main = SERVER.format(make=make) + conf
    hub.write(f"/etc/{make}/{make}-main.conf", main, mode=0o640, owner=make)
    hub.systemctl("start", stores.unit())
    host = booted.machines["login1"]
    hosts = host.run("cat", "/etc/hosts").stdout
    try:
        host.write("/etc/hosts", f"{hosts}\n{network.STORE} {NAME}\n")
        for user in ("reader", "writer"):
            host.write(f"/etc/credstore/fingerd-sd-{user}", f"fingerd-{user}:{user}\n", mode=0o600)
        host.write(CONFIGURATION, CONFIG)
        yield host
    finally:
        for unit in UNITS:
            host.run("rm", "-f", _drop_in(unit))
        host.systemctl("daemon-reload")
        host.systemctl("disable", "--now", "finger-publish.socket", PRESENCE)
        host.systemctl("stop", SERVICE, KEEPER)
        host.write("/etc/hosts", hosts)
        stores.renew()


def _drop_in(unit: str) -> str:
    return f"/run/systemd/system/{unit}.d/store.conf"


def test_the_examples_work_and_check_is_content(booted: Fleet, example: Machine) -> None:
    since = example.cursor()
    example.run("sh", "-c", f"rm -f {' '.join(map(_drop_in, UNITS))}")
    example.systemctl("daemon-reload")
    example.systemctl("enable", "--now", "finger-publish.socket", "finger.socket")
    example.systemctl("enable", PRESENCE)
    lacks = example.run("fingerd-sd", "check", check=False).stderr
    for unit in UNITS:
        assert f"[store] needs the network, and {unit} has PrivateNetwork=yes" in lacks
        assert f"{unit} does not get it: have LoadCredential=fingerd-sd-store:FILE" in lacks

    for unit, who in UNITS.items():
        text = (TREE / f"units/{unit}.d/store.conf").read_text()
        assert f"fingerd-sd-{who}" in text
        example.write(_drop_in(unit), text.replace("192.0.2.10 2001:db8::10", network.STORE))
    example.systemctl("daemon-reload")
    example.systemctl("restart", SERVICE, PRESENCE)
    said = wait_for(lambda: example.run("fingerd-sd", "check"), "check to be content")
    assert said.stderr == ""

    user = User(example, "eve", 2777)
    try:
        published = user.publish("--plan", "-", stdin="Sandboxed\n")
        assert (published.status, published.stderr) == (0, "")
        asked = wait_for(
            lambda: "Sandboxed" in example.run("finger", "eve@127.0.0.1").stdout,
            "her plan",
            note=lambda: example.systemctl("status", SERVICE, KEEPER, PRESENCE, check=False),
        )
        assert asked
        wait_for(
            lambda: "0 sessions on login1" in example.show(PRESENCE, "StatusText"),
            "presence to have told",
            note=lambda: example.show(PRESENCE, "StatusText"),
        )
        assert user.publish("--remove").status == 0
    finally:
        user.drop()
    messages = [str(entry.get("MESSAGE")) for entry in example.journal(since)]
    assert not [line for line in messages if UNFIT in line]


def test_a_password_that_is_wrong_is_one_line(example: Machine) -> None:
    for unit in UNITS:
        text = (TREE / f"units/{unit}.d/store.conf").read_text()
        example.write(_drop_in(unit), text.replace("192.0.2.10 2001:db8::10", network.STORE))
    example.systemctl("daemon-reload")
    example.write("/etc/credstore/fingerd-sd-reader", "fingerd-reader:wrong\n", mode=0o600)
    said = example.run("fingerd-sd", "check", check=False)
    assert said.status == 69
    (line,) = said.stderr.splitlines()
    assert "see url and credential in [store]" in line
    since = example.cursor()
    example.systemctl("restart", SERVICE)
    example.run("finger", "eve@127.0.0.1", check=False)
    wait_for(
        lambda: [entry for entry in example.journal(since) if UNFIT in str(entry.get("MESSAGE"))],
        "the journal to say so",
    )
    wait_for(lambda: "credential in [store]" in example.show(SERVICE, "StatusText"), "the status",
             note=lambda: example.show(SERVICE, "StatusText"))  # fmt: skip
