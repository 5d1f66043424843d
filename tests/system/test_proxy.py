# SPDX-License-Identifier: MIT
"""HAProxy in front of the service on a booted machine: clients keep their addresses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .far import ALICE, configuration
from .finger import HAPPY, SERVICE, Finger
from .waiting import wait_for

PROXY = "finger-proxy.socket"
EXAMPLE = "/usr/local/share/doc/fingerd-sd/examples/haproxy/haproxy.cfg"
HERE, THERE = "192.0.2.1", "192.0.2.7"
CONFIGURATION = configuration(THERE)
# A network namespace for clients, so that their addresses are none of this machine.
FAR = f"""
ip netns add far
ip link add near type veth peer name far netns far
ip address add {HERE}/24 dev near
ip link set near up
ip -n far address add {THERE}/24 dev far
ip -n far link set far up
"""
# The example, with the balancer and the one server on this machine.
BALANCER = f"""
set -e
sed -e 's/bind :79/bind {HERE}:7979/' -e 's/192[.]0[.]2[.]11:1079/127.0.0.1:1079/' \\
    -e '/server two/d' {EXAMPLE} > /run/example.cfg
{{ printf 'global\\ndefaults\\n'; cat /run/example.cfg; }} > /etc/haproxy/haproxy.cfg
haproxy -c -f /etc/haproxy/haproxy.cfg
systemctl restart haproxy.service
"""
ASKING = f"""
n=0
while [ $n -lt 300 ]; do
    n=$((n + 1))
    printf 'moshez\\r\\n' | ip netns exec far nc -w 30 {HERE} 7979 || echo lost
done
"""
RESTARTS = 5
# A second server on the same machine, which answers otherwise, and clients with own addresses.
SECOND = """
set -e
printf '[[source]]\ntype = "static"\nusers.moshez = "Well too"\n' > /run/second.toml
systemd-run --quiet --unit=second systemd-socket-activate --listen=127.0.0.1:1080 --fdname=proxy \\
    fingerd-sd serve --config /run/second.toml
for last in $(seq 20 39); do ip -n far address add 192.0.2.$last/24 dev far; done
sed -i -e '/server one/p' -e 's/server one 127.0.0.1:1079/server two 127.0.0.1:1080/' \\
    /etc/haproxy/haproxy.cfg
haproxy -c -f /etc/haproxy/haproxy.cfg
systemctl restart haproxy.service
"""
EACH = f"""
for last in $(seq 20 39); do
    for time in 1 2 3 4; do
        printf 'moshez\\r\\n' | ip netns exec far nc -w 30 -s 192.0.2.$last {HERE} 7979
    done | sort -u
done
"""


@pytest.fixture
def balanced(finger: Finger) -> Iterator[Finger]:
    """The service with the socket for balancers, and HAProxy in front."""
    machine = finger.machine
    machine.run("sh", "-c", FAR)
    finger.serve(CONFIGURATION)
    machine.systemctl("enable", "--now", PROXY)
    try:
        machine.run("sh", "-c", BALANCER)
        yield finger
    finally:
        machine.systemctl("stop", "haproxy.service")
        machine.run("sh", "-c", "ip link delete near; ip netns delete far")


def ask(finger: Finger, line: str, port: int = 7979) -> str:
    """Return the answer that the client in the other network gets."""
    netcat = ("ip", "netns", "exec", "far", "nc", "-w", "30", HERE, str(port))
    return finger.machine.run(*netcat, stdin=f"{line}\r\n").stdout


def test_is_off_until_it_is_enabled(finger: Finger) -> None:
    finger.serve(CONFIGURATION)
    assert finger.ask("moshez") == HAPPY
    assert finger.machine.systemctl("is-enabled", PROXY, check=False).strip() == "disabled"
    assert finger.state(PROXY) == "inactive"
    show = finger.machine.show
    assert set(show(PROXY, "IPAddressAllow").split()) == {"127.0.0.0/8", "::1/128"}
    assert set(show(PROXY, "IPAddressDeny").split()) == {"0.0.0.0/0", "::/0"}


def test_the_client_behind_haproxy_keeps_its_address(balanced: Finger) -> None:
    assert ask(balanced, "alice") == ALICE
    assert ask(balanced, f"alice@{HERE}") == ALICE
    entries = balanced.wait_for_log(2, FINGER_CLIENT=THERE)
    assert {entry["FINGER_AUDIENCE"] for entry in entries} == {"far"}
    # The health check is HAProxy's own query.
    wait_for(lambda: "health-check from 127.0.0.1: absent" in balanced.diary(), "a health check")


def test_nobody_is_lost_while_the_service_restarts(balanced: Finger) -> None:
    machine = balanced.machine
    machine.run("sh", "-c", f"({ASKING}) > /run/answers 2>&1 & echo $! > /run/asking")
    pids = set()
    for _ in range(RESTARTS):
        machine.systemctl("restart", SERVICE)
        pids.add(balanced.pid())
    wait_for(
        lambda: machine.run("sh", "-c", "kill -0 $(cat /run/asking)", check=False).status != 0,
        "the last answer",
    )
    assert machine.run("cat", "/run/answers").stdout == "Happy and well\r\n" * 300
    assert len(pids) == RESTARTS


def test_all_queries_of_a_client_go_to_one_server(balanced: Finger) -> None:
    machine = balanced.machine
    machine.run("sh", "-c", SECOND)
    try:
        wait_for(lambda: ask(balanced, "moshez") != "", "an answer through the balancer")
        told = machine.run("sh", "-c", EACH).stdout
    finally:
        machine.systemctl("stop", "second.service")
    assert len(told.splitlines()) == 20, told  # one answer each, four times
    assert set(told.splitlines()) == {"Happy and well", "Well too"}
