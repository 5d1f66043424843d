# SPDX-License-Identifier: MIT
"""The store that hosts share: who vouches for whom, what is durable, what is said if not."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("redis")

from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.config.store import Place, StoreKeys
from fingerd_sd.serving.publishing.wire import Refused, Request
from fingerd_sd.serving.publishing.writing import scripts
from fingerd_sd.serving.publishing.writing.changing import Looked
from fingerd_sd.serving.publishing.writing.durable import UnfitError, wait_of
from fingerd_sd.serving.publishing.writing.fleet import Fleet
from fingerd_sd.store.errors import StoreError
from fingerd_sd.store.server import Server

from ...helpers.store import Running, store
from ...helpers.wire import run, until

LIMITS = PublishKeys()
PLAN = Request("publish", {"plan": "Curiouser\n"})
ALICE = ("alice", 70001)


async def refused(fleet: Fleet, login: str = "alice", uid: int = 70001) -> Refused:
    with pytest.raises(Refused) as said:
        await fleet.publish(login, uid, PLAN, LIMITS, 5)
    assert "\n" not in said.value.say
    return said.value


def fleet_of(running: Running, host: str = "login1") -> Fleet:
    return Fleet(Server(running.keys(host=host)))


def test_another_host_may_publish_a_login_only_with_the_same_uid(tmp_path: Path) -> None:
    async def scenario(running: Running) -> None:
        one, two = fleet_of(running), fleet_of(running, "login2")
        await one.publish(*ALICE, PLAN, LIMITS, 5)
        said = await refused(two, "alice", 70002)
        assert said.error == "not_allowed"
        assert "login1 has published alice with uid 70001" in said.say
        with pytest.raises(Refused, match="uid 70001"):
            await two.remove("alice", 70002)
        assert await two.person("alice", 70002) is None
        after = await two.publish(*ALICE, Request("p", {"key": "k"}), LIMITS, 6)
        assert after is not None
        assert (after.plan, after.key) == ("Curiouser\n", "k")
        assert await one.to_sweep(9) == []  # the other one vouches now
        assert await two.to_sweep(9) == [ALICE]
        assert await one.remove(*ALICE)
        await one.close()
        await two.close()

    with store(tmp_path) as running:
        run(scenario(running))


def test_a_host_with_very_many_entries_finds_them_all_a_few_at_a_time(tmp_path: Path) -> None:
    many = [(f"user{number}", 70_000 + number) for number in range(3 * scripts.SOME)]

    async def scenario(running: Running) -> None:
        fleet = fleet_of(running)
        server = Server(running.keys())
        names = server.names
        write = [
            words
            for login, uid in many
            for words in (
                ("HSET", names.person(login), "uid", uid, "host", "login1"),
                ("SADD", f"{names.tag}:by:login1", login),
            )
        ]
        await server.on_one(*write, ("SADD", f"{names.tag}:by:login1", "nobody"))
        assert sorted(await fleet.to_sweep(9)) == sorted(many)
        assert await server.call("SISMEMBER", f"{names.tag}:by:login1", "nobody") == 0
        _, _, said = (await server.call("INFO", "commandstats")).partition(b"sscan:calls=")
        assert int(said.partition(b",")[0]) > 1
        await fleet.close()
        await server.close()

    with store(tmp_path) as running:
        run(scenario(running))


def test_what_the_account_says_is_stored_and_renewed_and_a_gone_one_is_marked(
    tmp_path: Path,
) -> None:
    me = pwd.getpwuid(os.getuid())

    async def scenario(running: Running) -> None:
        server = Server(running.keys(host="login1"))
        fleet = Fleet(server)
        who = (me.pw_name, me.pw_uid)
        await fleet.publish(*who, PLAN, LIMITS, 5)
        key = server.names.person(me.pw_name)
        name = await server.call("HGET", key, "name")
        assert (name or b"").decode() == me.pw_gecos.partition(",")[0]
        uids = dict([who])
        await fleet.sweep(Looked(gecos={me.pw_name: {"name": "A"}}, uids=uids), 10)
        assert await server.call("HGET", key, "name") == b"A"
        await fleet.sweep(Looked(frozenset({who}), uids=uids), 20.5)
        assert await server.call("HGET", key, "gone") == b"20.5"
        await fleet.sweep(Looked(frozenset({who}), uids=uids), 30)
        assert await server.call("HGET", key, "gone") == b"20.5"
        await fleet.sweep(Looked(gecos={me.pw_name: {}}, uids=uids), 40)
        assert await server.call("HMGET", key, "gone", "name") == [None, None]
        await fleet.close()

    with store(tmp_path) as running:
        run(scenario(running))


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        (("--appendfsync", "everysec"), "appendfsync always"),
        (("--appendonly", "no"), "appendonly yes"),
    ],
)
def test_a_store_that_would_lose_it_is_refused_by_the_name_of_the_setting(
    tmp_path: Path, options: Sequence[str], setting: str
) -> None:
    async def scenario(running: Running) -> None:
        server = Server(running.keys(host="login1"))
        fleet = Fleet(server)
        waits = await server.call("COMMAND", "INFO", "WAITAOF") != [None]
        if waits and setting == "appendfsync always":  # it says when it is on the disk
            assert await fleet.publish(*ALICE, PLAN, LIMITS, 5) is not None
            await fleet.close()
            return
        said = await refused(fleet)
        assert said.error == "not_stored"
        assert "nothing was stored" in said.say
        assert setting in said.say
        assert setting in fleet.trouble
        assert await fleet.person(*ALICE) is None
        await fleet.close()

    with store(tmp_path, *options) as running:
        run(scenario(running))


def test_without_the_replica_it_is_not_acknowledged(tmp_path: Path) -> None:
    async def scenario(running: Running) -> None:
        fleet = Fleet(Server(running.keys(replicas=1, timeout=0.2, host="login1")))
        said = await refused(fleet)
        assert "replicas in [store] is 1" in said.say
        assert "may be stored or not" in said.say
        await fleet.close()

    with store(tmp_path) as running:
        run(scenario(running))


def test_while_the_store_is_down_nothing_is_stored_and_it_heals(tmp_path: Path) -> None:
    async def scenario(running: Running) -> None:
        fleet = fleet_of(running)
        await fleet.publish(*ALICE, PLAN, LIMITS, 5)
        running.stop()
        said = await refused(fleet)
        assert (said.error, "nothing was stored" in said.say) == ("not_stored", True)
        assert "cannot be reached" in fleet.trouble
        with pytest.raises(Refused):
            await fleet.note({"alice": {"local": 3}}, 5)
        running.start()
        await until(lambda: not fleet.trouble)
        assert (await fleet.person(*ALICE)) is not None
        await fleet.note({"alice": {"local": 1}}, 5)
        assert await fleet.asked("alice", 5) == {"times": 4, "networks": 1}
        await fleet.close()

    with store(tmp_path) as running:
        run(scenario(running))


def test_a_store_without_memory_says_so_and_nothing_was_stored(tmp_path: Path) -> None:
    async def scenario(running: Running) -> None:
        fleet = fleet_of(running)
        said = await refused(fleet)
        assert (said.error, "nothing was stored" in said.say) == ("full", True)
        assert "maxmemory" in said.say
        await fleet.close()

    with store(tmp_path, "--maxmemory", "1", "--maxmemory-policy", "noeviction") as running:
        run(scenario(running))


def test_a_malformed_entry_is_told_and_can_be_taken_back(tmp_path: Path) -> None:
    async def scenario(running: Running) -> None:
        server = Server(running.keys(host="login1"))
        fleet = Fleet(server)
        key = server.names.person("alice")
        await server.call("HSET", key, "uid", 70001, "at", "never", "host", "login2")
        assert "malformed" in (await refused(fleet)).say
        assert await fleet.remove(*ALICE)
        assert await fleet.publish(*ALICE, PLAN, LIMITS, 5) is not None
        await fleet.close()

    with store(tmp_path) as running:
        run(scenario(running))


class Answers(Server):
    """A server that says what a newer one says."""

    def __init__(self, waitaof: object, replicas: int = 0) -> None:
        keys = StoreKeys("unix:///x", Place("unix", path="/x"), replicas=replicas)
        super().__init__(keys)
        self.waitaof = waitaof

    async def call(self, *words: Any) -> Any:
        """See Server."""
        assert words == ("WAITAOF", 1, 0, 1)
        if isinstance(self.waitaof, Exception):
            raise self.waitaof
        return self.waitaof


def test_a_newer_store_says_itself_what_is_on_its_disk() -> None:
    async def scenario() -> None:
        wait = await wait_of(Answers([1, 0], replicas=1))
        assert wait.command[:3] == ("WAITAOF", 1, 1)
        said: list[tuple[list[int], bool]] = [([1, 1], True), ([0, 1], False), ([1, 0], False)]
        assert [wait.holds(reply) for reply, _ in said] == [holds for _, holds in said]
        error = StoreError("numlocal is set but appendonly is disabled", "ERR")
        with pytest.raises(UnfitError, match="appendonly yes"):
            await wait_of(Answers(error))

    run(scenario())
