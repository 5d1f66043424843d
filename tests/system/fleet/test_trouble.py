# SPDX-License-Identifier: MIT
"""Whatever happens to the store: nothing that was acknowledged is lost, and each answer is right,
or says that it is old, or that there is none.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ...helpers.ended import Ended
from ..torture.load import Found, Load
from ..waiting import wait_for
from .fleet import Fleet
from .network import REPLICA, STORE
from .plans import FAILED, NOTE, Numbers, Plans, answer
from .sharing import SENTINEL
from .store import AS_ADMIN, Store

AWAY = 20  # seconds
NUMBERED = "ben", "cyd"
# What others ask of the store meanwhile. It ends by itself.
NOISE = """
touch /run/noise
for round in $(seq 300); do
    [ -e /run/noise ] || break
    timeout 10 {make}-benchmark -h {store} {user} -q -c 8 -n 1000 -t ping,get,set,incr \\
        >/dev/null 2>&1 || true
    sleep 0.3
done
"""


class Noise(Ended):
    """A few clients that keep the store busy."""

    def __init__(self, store: Store) -> None:
        self._hub = store.hub
        script = NOISE.format(make=store.make, store=STORE, user=shlex.join(AS_ADMIN))
        self._process: subprocess.Popen[bytes] = self._hub.start("sh", "-c", script)
        wait_for(lambda: store.tell("EXISTS", "key:__rand_int__") == "1", "noise")

    def leave(self, failed: bool = False) -> None:
        """Let it end."""
        self._hub.run("rm", "-f", "/run/noise")
        self._process.communicate()


class Trouble:
    """What goes on meanwhile: ada's plan stays, ben and cyd publish numbers, and all are asked for.
    `found`: how that went, at the end.
    """

    def __init__(self, fleet: Fleet, plans: Plans, numbers: list[Numbers]) -> None:
        self.fleet, self.plans, self.numbers = fleet, plans, numbers
        self.found = Found()

    def wait_for_more(self) -> None:
        """Wait until what is published now is stored, and shown."""
        for one in self.numbers:
            one.wait_for_more()
            one.check()
        self.plans.wait_for_answers("ada", answer("ada"))

    def wait_for_refusals(self) -> None:
        """Wait until what is published now is refused."""
        for one in self.numbers:
            one.wait_for_refusal()


@contextmanager
def trouble(fleet: Fleet, store: Store, plans: Plans) -> Iterator[Trouble]:
    """What goes on meanwhile; in the end all is as it should be."""
    old = f"(?:{NOTE})?"
    questions = [("ada", f"{answer('ada', more=old)}|{FAILED}")]
    questions += [(login, f"{answer(login, 'number [0-9]+', old)}|{FAILED}") for login in NUMBERED]
    assert plans.publish("ada") == ""
    with Noise(store), Numbers(plans, "ben") as ben, Numbers(plans, "cyd") as cyd:
        now = Trouble(fleet, plans, [ben, cyd])
        now.wait_for_more()
        with fleet.asking(Load(questions, 8, (0.05, 0.2))) as asking:
            yield now
            now.wait_for_more()
            now.found = asking.found()
    # So the balancer took a server for well all the time: a slow check may take one away for a
    # moment, but without both nobody would have had an answer.
    assert now.found.failed == []


@pytest.fixture
def plans(fleet: Fleet, store: Store) -> Iterator[Plans]:
    """The users of PEOPLE have an empty store to publish into."""
    with Plans(fleet) as plans:
        yield plans


def test_a_store_that_is_away(fleet: Fleet, store: Store, plans: Plans) -> None:
    with trouble(fleet, store, plans) as now:
        store.stop()
        began = time.monotonic()
        now.wait_for_refusals()
        plans.wait_for_answers("ada", answer("ada", more=NOTE))
        assert fleet.ask("dan") == FAILED
        for server in plans.servers:
            wait_for(lambda: "the store at" in server.status(), "a status")  # noqa: B023
        time.sleep(max(0.0, began + AWAY - time.monotonic()))
        store.start()
        now.wait_for_more()
    for server in plans.servers:
        wait_for(lambda: "the store at" not in server.status(), "a status")  # noqa: B023
    assert fleet.ask("dan") == "No such user\r\n"


def test_a_store_that_is_restarted(fleet: Fleet, store: Store, plans: Plans) -> None:
    with trouble(fleet, store, plans) as now:
        for _ in range(2):
            store.hub.systemctl("restart", store.unit())
            now.wait_for_more()


def test_a_store_whose_disk_is_full(fleet: Fleet, store: Store, plans: Plans) -> None:
    with trouble(fleet, store, plans) as now:
        store.fill()
        now.wait_for_refusals()
        store.empty()
        now.wait_for_more()


def test_a_store_that_fails_over(fleet: Fleet, store: Store) -> None:
    store.watch()
    with Plans(fleet, SENTINEL) as plans, trouble(fleet, store, plans) as now:
        store.stop()
        wait_for(lambda: store.master() == REPLICA, "a failover")
        for one in now.numbers:
            one.check()
        store.start()
        now.wait_for_more()
