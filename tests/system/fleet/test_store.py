# SPDX-License-Identifier: MIT
"""What is taken for granted of Debian's own stores: nothing that they acknowledge is lost."""

from __future__ import annotations

from ..waiting import wait_for
from .network import REPLICA, STORE
from .store import Store

LARGE = "x" * 8192
TIMES = 7  # more than systemd restarts by itself


def test_is_refused_at_a_full_disk_and_loses_nothing(store: Store) -> None:
    assert store.tell("SET", "before", "1") == "OK"
    store.fill()
    # It ends rather than say that it has stored what it has not, and systemd starts it again.
    for times in range(TIMES):
        assert store.tell("SET", "meanwhile", LARGE, check=False) != "OK"
        wait_for(lambda: store.restarts() > times, "the store to have ended")  # noqa: B023
        store.wait()
        assert store.tell("GET", "before") == "1"
    store.empty()
    assert store.tell("SET", "after", LARGE) == "OK"
    assert store.tell("GET", "before") == "1"
    assert store.tell("GET", "meanwhile") == ""


def test_a_failover_loses_nothing_that_the_replica_has(store: Store) -> None:
    store.watch()
    assert store.master() == STORE
    assert store.tell("SET", "before", "1") == "OK"
    store.tell("SET", "also", "1")
    wait_for(lambda: store.tell("GET", "also", name="replica") == "1", "the replica to have it")
    store.stop()
    wait_for(lambda: store.master() == REPLICA, "a failover")
    assert store.tell("GET", "before", name="replica") == "1"
    wait_for(
        lambda: store.tell("SET", "after", "1", name="replica", check=False) == "OK",
        "the replica to be the master",
    )
