# SPDX-License-Identifier: MIT
"""The metrics on booted machines: two sockets of one service, under a real systemd."""

from __future__ import annotations

import re

import pytest

from .finger import ABSENT, HAPPY, MOSHEZ, SERVICE, SOCKET, Finger
from .waiting import wait_for

METRICS = "finger-metrics.socket"
PROXY = "finger-proxy.socket"
HANDOVER = "finger-handover@finger-metrics.service"
URL = "http://127.0.0.1:9079"


def curl(finger: Finger, path: str, *options: str) -> str:
    """Return what curl prints, which waits as long as a person would."""
    return finger.machine.run("curl", "-sS", "-m", "60", *options, f"{URL}{path}").stdout


def figure(finger: Finger, name: str) -> float:
    """Return one figure of the metrics; `name`: with its labels."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", curl(finger, "/metrics"), re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def found(finger: Finger) -> float:
    return figure(
        finger, 'fingerd_queries_total{audience="localhost",result="found",source="static"}'
    )


CONFIGURATION = f"""
[[audience]]
name = "localhost"
networks = ["127.0.0.0/8"]
{MOSHEZ}"""


# Until it is enough, says what clients are answered, one after the other.
ASKING = """
while [ ! -e /run/enough ]; do
    printf 'moshez\\r\\n' | nc -N 127.0.0.1 79 || echo lost
done
"""


def watched(finger: Finger) -> int:
    """Serve finger, enable the metrics while it runs, and return the process's id."""
    finger.serve(CONFIGURATION)
    finger.machine.systemctl("enable", "--now", METRICS)
    finger.wait_for_state("active")
    return finger.pid()


def test_is_off_until_it_is_enabled(finger: Finger) -> None:
    finger.serve(CONFIGURATION)
    assert finger.ask("moshez") == HAPPY
    assert finger.state(METRICS) == finger.state(HANDOVER) == "inactive"
    assert finger.machine.systemctl("is-enabled", METRICS, check=False).strip() == "disabled"
    assert finger.machine.run("curl", "-sS", URL, check=False).status == 7  # refused


def test_counts_what_was_asked(finger: Finger) -> None:
    before = finger.serve(CONFIGURATION)
    assert finger.ask("moshez") == HAPPY
    pid = watched(finger)
    assert pid not in (0, before)
    for _ in range(25):
        assert finger.ask("moshez") == HAPPY
    assert finger.ask("nobody") == ABSENT
    assert found(finger) == 25
    assert figure(finger, "fingerd_connections_total") == 26
    assert figure(finger, "fingerd_config_last_reload_successful") == 1
    assert figure(finger, "process_open_fds") < 64
    assert figure(finger, "process_resident_memory_bytes") < 128 << 20
    assert curl(finger, "/healthz") == "serving\n"
    assert curl(finger, "/healthz", "-o", "/dev/null", "-w", "%{http_code}") == "200"
    assert finger.pid() == pid

    finger.configure("[server]\nnonsense = 1\n")
    finger.machine.systemctl("reload", SERVICE)
    assert figure(finger, "fingerd_config_last_reload_successful") == 0
    assert "the configuration has mistakes" in curl(finger, "/healthz")
    assert finger.ask("moshez") == HAPPY
    assert found(finger) == 26


def test_a_scrape_starts_the_service_and_keeps_it_from_leaving(finger: Finger) -> None:
    watched(finger)
    finger.configure(f"[server]\nidle_exit = 3\n{CONFIGURATION}")
    finger.machine.systemctl("stop", SERVICE)
    assert finger.state() == "inactive"
    assert curl(finger, "/healthz") == "serving\n"
    pid = finger.pid()
    start = figure(finger, "process_start_time_seconds")
    wait_for(lambda: figure(finger, "process_cpu_seconds_total") and _age(finger) > 6, "6 seconds")
    assert (finger.pid(), figure(finger, "process_start_time_seconds")) == (pid, start)
    finger.wait_for_state("inactive")  # nobody scrapes any more
    assert "nobody called for 3 s" in finger.diary()
    assert finger.ask("moshez") == HAPPY
    assert found(finger) == 1


def _age(finger: Finger) -> float:
    now = float(finger.machine.run("date", "+%s.%N").stdout)
    return now - figure(finger, "process_start_time_seconds")


def test_enabling_and_disabling_lose_no_client(finger: Finger) -> None:
    finger.serve(CONFIGURATION)
    asking = finger.machine.start("sh", "-c", ASKING)
    with asking:
        for _ in range(5):
            finger.machine.systemctl("enable", "--now", METRICS)
            assert curl(finger, "/healthz") == "serving\n"
            finger.machine.systemctl("disable", "--now", METRICS)
            assert finger.machine.run("curl", "-sS", URL, check=False).status == 7
        finger.machine.run("touch", "/run/enough")
        said = asking.communicate(timeout=60)[0].decode()
    finger.machine.run("rm", "/run/enough")
    assert set(said.splitlines()) == {HAPPY.decode().strip()}


def test_both_come_and_go_with_finger_socket(finger: Finger) -> None:
    watched(finger)
    systemctl = finger.machine.systemctl
    systemctl("stop", SOCKET)
    assert finger.state() == finger.state(METRICS) == finger.state(HANDOVER) == "inactive"
    refused = finger.machine.run("systemctl", "start", METRICS, check=False)
    assert refused.status != 0  # a scrape would open port 79
    assert finger.state(SOCKET) == "inactive"
    systemctl("start", SOCKET)
    finger.wait_for_state("active", METRICS)  # systemctl waits for what it was told to start alone
    assert curl(finger, "/healthz") == "serving\n"
    systemctl("restart", SOCKET)
    finger.wait_for_state("active", METRICS)
    assert finger.ask("moshez") == HAPPY
    assert found(finger) == 1
    systemctl("restart", METRICS)
    assert finger.ask("moshez") == HAPPY
    assert found(finger) == 1
    systemctl("restart", SERVICE)
    assert finger.ask("moshez") == HAPPY
    assert found(finger) == 1


def test_a_stop_of_the_metrics_alone_stays_one(finger: Finger) -> None:
    """finger.service and its socket do not start what the administrator has stopped."""
    watched(finger)
    finger.machine.systemctl("disable", METRICS)
    finger.machine.systemctl("stop", METRICS)
    assert finger.ask("moshez") == HAPPY
    assert finger.state(METRICS) == finger.state(HANDOVER) == "inactive"


def test_the_sandbox_is_as_tight_as_without(finger: Finger) -> None:
    watched(finger)
    told = finger.machine.run("systemd-analyze", "security", "--no-pager", SERVICE).stdout
    assert re.search(r"Overall exposure level for finger.service: 0\.4\b", told)
    assert finger.machine.show(SERVICE, "IPAddressDeny") != ""
    assert finger.machine.show(SERVICE, "RestrictAddressFamilies") == "AF_UNIX"
    assert finger.ask("moshez") == HAPPY
    assert found(finger) == 1


def test_a_scraper_that_never_ends_keeps_no_client_waiting(finger: Finger) -> None:
    watched(finger)
    holding = [finger.machine.connect(port=9079) for _ in range(40)]
    try:
        for connection in holding:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n")
        for _ in range(20):
            assert finger.ask("moshez") == HAPPY
        finger.machine.systemctl("stop", SERVICE)
        assert finger.machine.show(SERVICE, "Result") == "success"
        assert finger.ask("moshez") == HAPPY
    finally:
        for connection in holding:
            connection.close()
    wait_for(lambda: found(finger) >= 1, "a scrape among those who hold the socket")


def test_a_third_socket_comes_and_goes_beside_it(finger: Finger) -> None:
    watched(finger)
    finger.machine.systemctl("enable", "--now", PROXY)
    finger.wait_for_state("active")
    query = b"PROXY TCP4 127.0.0.2 127.0.0.1 50000 79\r\nmoshez"
    assert finger.ask(query, port=1079) == HAPPY
    assert found(finger) == 1
    finger.machine.systemctl("disable", "--now", PROXY)
    with pytest.raises(ConnectionRefusedError):
        finger.ask(query, port=1079)
    assert finger.state(METRICS) == "active"
    assert finger.ask("moshez") == HAPPY
    assert found(finger) == 1
