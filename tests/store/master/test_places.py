# SPDX-License-Identifier: MIT
"""Where a store may be, by real servers: ports, TLS, passwords, Sentinels, clusters, full disks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.config.store import Place, StoreKeys
from fingerd_sd.store import server as server_module
from fingerd_sd.store.errors import StoreError
from fingerd_sd.store.master.fit import Work, unfit
from fingerd_sd.store.presence import telling
from fingerd_sd.store.presence.everywhere import Everywhere
from fingerd_sd.store.presence.told import Told
from fingerd_sd.store.server import Server

from ...helpers import needs
from ...helpers.fake_store import Error, fake
from ...helpers.store import store
from ...helpers.store_places import (
    MASTER,
    certify,
    empty_disk,
    fill_disk,
    free_port,
    sentinel,
    talk,
)

needs.modules("redis")

ALL: tuple[Work, ...] = ("read", "publish", "tell")
LOOPBACK = ("--bind", "127.0.0.1", "-::1")


def at(kind: str, port: int, host: str = "127.0.0.1", **place: Any) -> StoreKeys:
    """Return keys for what listens on `port`."""
    return StoreKeys("", Place(kind, ((host, port),), **place), timeout=20.0)


def asked(keys: StoreKeys, ask: Callable[[Server], Awaitable[Any]]) -> Any:
    """Return what `ask` returns of the store at `keys`; the line, if it cannot be asked."""

    async def run() -> Any:
        one = Server(keys).hold()
        try:
            return await ask(one)
        except StoreError as error:
            return str(error)
        finally:
            await one.close()

    return asyncio.run(run())


async def use(one: Server) -> list[str]:
    """Write and read there; return who is on."""
    await telling.tell(one, "login1", [Told("alice", 1000, 1.0)])
    assert await one.together(("SET", f"{one.names.tag}:x", 1)) == [b"OK"]
    sessions = Everywhere(one)
    try:
        return list(await sessions.who() or ())
    finally:
        await sessions.close()


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not what():
            await asyncio.sleep(0.02)


async def tried(do: Callable[[], Awaitable[Any]], works: bool) -> list[StoreError]:
    """Try until it works, or until it does not; return what it said against that."""
    said: list[StoreError] = []
    async with asyncio.timeout(60):
        while True:
            try:
                await do()
                if works:
                    return said
            except StoreError as error:
                said.append(error)
                if not works:
                    return said
            await asyncio.sleep(0.02)


def test_a_port(tmp_path: Path) -> None:
    port = free_port()
    with store(tmp_path, *LOOPBACK, "--port", str(port)):
        assert asked(at("redis", port), use) == ["alice"]
        assert asked(at("redis", port, database=3), use) == ["alice"]
        out_of_range = asked(at("redis", port, database=999), use)
    assert "DB index is out of range" in out_of_range
    assert "cannot be reached: Connection refused" in asked(at("redis", port), use)


def test_a_name_that_there_is_not() -> None:
    said = asked(at("redis", 1, host="store.invalid"), use)
    assert said.startswith("the store at store.invalid:1 cannot be reached: ")
    assert said.isprintable()


# --- passwords ---


@pytest.mark.parametrize(
    ("user", "credential", "told"),
    [
        ("", "right", ""),
        ("", "default:right", ""),
        ("finger", "quite:right", ""),  # of a user in url all of it is the password
        ("", "wrong", "does not take the user or the password"),
        ("finger", "right", "does not take the user or the password"),
        ("nobody", "right", "does not take the user or the password"),
        ("", "", "wants a password"),
    ],
)
def test_passwords_of_a_port(
    user: str, credential: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "secret").write_text(f"{credential}\n")
    port = free_port()
    users = ("--user", "finger", "on", ">quite:right", "~*", "&*", "+@all")
    with store(tmp_path, *LOOPBACK, "--port", str(port), "--requirepass", "right", *users):
        keys = at("redis", port, user=user)._replace(credential="secret" if credential else "")
        said = asked(keys, use)
    if told:
        assert told in said
        assert said.isprintable()
        assert credential not in said or not credential
    else:
        assert said == ["alice"]


# --- TLS ---


@pytest.mark.parametrize(
    ("name", "ca", "told"),
    [
        ("DNS:localhost", "right", ""),
        ("DNS:store.example.org", "right", "Hostname mismatch"),
        ("DNS:localhost", "wrong", "certificate verify failed"),
        ("DNS:localhost", "", "certificate verify failed"),
        ("DNS:localhost", "none", "No such file"),
        ("DNS:localhost", "broken", "cannot be reached"),
    ],
)
def test_tls_shows_who_the_store_is(name: str, ca: str, told: str, tmp_path: Path) -> None:
    needs.programs("openssl")
    right = certify(tmp_path / "right", name)
    certify(tmp_path / "wrong", name)
    (tmp_path / "broken").write_text("no certificate\n")
    files = {"right": right, "wrong": tmp_path / "wrong/ca.pem"}
    file = str(files.get(ca, tmp_path / ca)) if ca else ""
    port = free_port()
    of_tls = (
        *("--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(right)),
        *("--tls-cert-file", str(tmp_path / "right/store.pem")),
        *("--tls-key-file", str(tmp_path / "right/store.key")),
    )
    with store(tmp_path, *LOOPBACK, *of_tls):
        said = asked(at("redis", port, "localhost", tls=True)._replace(ca=file), use)
        plain = asked(at("redis", port, "localhost"), use)
    if told:
        assert told in said
        assert said.startswith("the store at localhost:")
        assert said.isprintable()
    else:
        assert said == ["alice"]
    assert "cannot be reached" in plain


# --- Sentinel ---


def test_after_a_failover_the_new_master_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "AGAIN", 0.05)
    first, second = free_port(), free_port()
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    replica = ("--replicaof", "127.0.0.1", str(first), "--repl-diskless-sync-delay", "0")

    async def scenario(keys: StoreKeys, kill: Callable[[], None]) -> None:
        one = Server(keys).hold()
        try:
            assert ["no password" in line for line in await unfit(one, ALL)] == [True]
            assert one.where == f"127.0.0.1:{first}"
            await one.on_one(("SET", "a", "kept"), ("WAIT", 1, 30_000))
            kill()
            said = await tried(lambda: one.call("SET", "b", "x"), True)
            assert all(str(error).isprintable() for error in said)
            assert one.where == f"127.0.0.1:{second}"
            assert await one.call("GET", "a") == b"kept"
        finally:
            await one.close()

    with (
        store(folders[0], *LOOPBACK, "--port", str(first)) as master,
        store(folders[1], *LOOPBACK, "--port", str(second), *replica),
        sentinel(tmp_path, first) as watch,
    ):
        asyncio.run(until(lambda: b"state=online" in talk(first, "INFO replication")))
        asyncio.run(
            until(lambda: b"num-slaves\r\n$1\r\n1" in talk(watch, f"SENTINEL MASTER {MASTER}"))
        )
        keys = at("sentinel", watch, master=MASTER)._replace(replicas=1, credential="")
        asyncio.run(scenario(keys, master.stop))
        unknown = asked(at("sentinel", watch, master="others"), use)
    assert 'no Sentinel knows a master "others"' in unknown
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events.count("STORE_FAILS") >= 1


def test_a_sentinel_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    port = free_port()
    with store(tmp_path, *LOOPBACK, "--port", str(port)), sentinel(tmp_path, port) as watch:
        hosts = (("127.0.0.1", free_port()), ("127.0.0.1", watch))
        keys = StoreKeys("", Place("sentinel", hosts, master=MASTER), timeout=20.0)
        assert asked(keys, use) == ["alice"]
        # What is no Sentinel says so.
        said = asked(at("sentinel", port, master=MASTER), use)
    assert "SENTINEL" in said.upper()
    assert said.isprintable()


# --- clusters ---


def test_a_cluster(tmp_path: Path) -> None:
    port = free_port()
    of_cluster = ("--cluster-enabled", "yes", "--cluster-config-file", str(tmp_path / "nodes.conf"))
    ports = ("--port", str(port), "--cluster-port", str(free_port()))
    with store(tmp_path, *LOOPBACK, *ports, *of_cluster) as running:
        nobody = asked(at("cluster", port), use)
        assert running.say("CLUSTER ADDSLOTSRANGE 0 16383") == "+OK"
        asyncio.run(until(lambda: b"cluster_state:ok" in talk(port, "CLUSTER INFO")))
        assert asked(at("cluster", port), use) == ["alice"]
        assert asked(at("redis", port), use) == ["alice"]  # as it has all slots
        assert "redis+cluster://" in asked(at("redis", port), lambda one: unfit(one, ALL))[0]
    assert "the cluster has nobody for these keys" in nobody
    assert asked(at("cluster", port), use).startswith(f"the store at 127.0.0.1:{port} cannot be")


def test_what_is_no_cluster_says_so(tmp_path: Path) -> None:
    port = free_port()
    with store(tmp_path, *LOOPBACK, "--port", str(port)):
        said = asked(at("cluster", port), use)
    assert "cluster support disabled" in said


def test_keys_that_another_of_the_cluster_has_are_told() -> None:
    with fake({"EVALSHA": Error("MOVED 1234 192.0.2.7:6379")}) as port:
        said = asked(at("redis", port), use)
    assert "redis+cluster://" in said


# --- what a disk, a memory, a replica do ---


async def written(one: Server) -> StoreError:
    with pytest.raises(StoreError) as error:
        await one.call("SET", "a", "x")
    return error.value


def test_a_full_disk_is_named_and_heals(tmp_path: Path) -> None:
    # The last word stands: with appendfsync always the server would end instead.
    with store(tmp_path, "--appendfsync", "everysec") as running:

        async def scenario() -> None:
            one = Server(running.keys()).hold()
            await one.call("SET", "a", "before")
            fill_disk(running)
            (error,) = await tried(lambda: one.call("SET", "b", "x" * 1000), False)
            assert error.code == "MISCONF"
            assert "make room there" in str(error)
            assert str(error).isprintable()
            assert await one.call("GET", "a") == b"before"  # it can be read all the while
            assert any("could not write to its disk" in line for line in await unfit(one, ALL))
            empty_disk(running)
            await tried(lambda: one.call("SET", "a", "after"), True)
            assert await one.call("GET", "a") == b"after"
            await one.close()

        asyncio.run(scenario())


def test_a_full_memory_is_named(tmp_path: Path) -> None:
    with store(tmp_path, "--maxmemory", "1", "--maxmemory-policy", "noeviction") as running:
        error = asked(running.keys(), written)
    assert error.code == "OOM"
    assert "maxmemory" in str(error)


def test_a_replica_that_takes_no_writes_is_named(tmp_path: Path) -> None:
    with store(tmp_path, "--replicaof", "127.0.0.1", "1") as running:
        error = asked(running.keys(), written)
    assert error.code == "READONLY"
    assert "Sentinels" in str(error)


def test_a_credential_that_nobody_may_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fingerd_sd.store.master.finding.FOLDERS", (str(tmp_path),))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    (tmp_path / "secret").mkdir()
    said = asked(at("redis", 1)._replace(credential="secret"), use)
    assert said.startswith("credential in [store]: ")
    assert said.isprintable()
