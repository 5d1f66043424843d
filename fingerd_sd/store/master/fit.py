# SPDX-License-Identifier: MIT
"""Whether a server is fit to be the store: warnings of a line each, which name the setting and the
remedy. `check` prints them, and the journal has them once a service has reached the store.

What a server tells of itself is text of the store, and may be of another who is there in its place.
So only numbers and words that are expected are read, and nothing of it is repeated but those.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from fingerd_sd.store.errors import StoreError, code_of, late, refusal, unreachable

if TYPE_CHECKING:
    from fingerd_sd.store.keys import Names
    from fingerd_sd.store.link import Command, Link, Reply
    from fingerd_sd.store.server import Look, Server

log = logging.getLogger(__name__)

Work: TypeAlias = Literal["read", "publish", "tell"]  # what a service does there: `tell` who is on
OLDEST = (6, 2)
MAX_INFO = 65_536  # octets that are read of what a server says of itself: it is a tenth of that

_LINE = re.compile(r"([a-z_]{1,64}):([0-9A-Za-z._-]{1,64})\r?\n")
_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")


class _Said(NamedTuple):
    """What a server said. `info`: to INFO. `denied`: the commands that its user may not send.
    `waits`: to WAITAOF, and `sync`: to CONFIG GET; None: it was not asked.
    """

    info: Reply
    denied: Sequence[str]
    waits: Reply = None
    sync: Reply = None


async def unfit(server: Server, works: Collection[Work]) -> list[str]:
    """Return what is wrong with `server` for who does `works` there. Raises StoreError if it cannot
    be asked. It changes nothing there.
    """
    link = await server.connection()
    from fingerd_sd.store.link import Lost

    try:
        async with asyncio.timeout(server.keys.timeout):
            said = await _ask(link, server, works)
    except TimeoutError:
        raise late(server.where, server.keys.timeout) from None
    except Lost as error:
        raise unreachable(server.where, str(error)) from None
    finally:
        await link.close()
    return [f"the store at {server.where} {line}" for line in _lines(server, works, said)]


async def _ask(link: Link, server: Server, works: Collection[Work]) -> _Said:
    (lives,) = await link.exchange(("PING",))
    # At a full disk a server says so even here, and can be asked all the same.
    if isinstance(lives, Exception) and code_of(lives) not in ("NOPERM", "MISCONF"):
        raise refusal(server.where, lives)
    info, began = await link.exchange(("INFO",), ("MULTI",))
    denied = ["MULTI"] if _is_denied(began) else []
    if began == b"OK":  # what follows is looked at by the server, and thrown away
        commands = _commands(server.names, works)
        replies = await link.exchange(*commands, ("DISCARD",))
        pairs = zip(commands, replies, strict=False)
        denied = [_called(command) for command, reply in pairs if _is_denied(reply)]
    waits = sync = None
    if "publish" in works:
        (waits,) = await link.exchange(("WAITAOF", 1, 0, 1))
    if _lacks(waits):
        (sync,) = await link.exchange(("CONFIG", "GET", "appendfsync"))
    return _Said(info, list(dict.fromkeys(denied)), waits, sync)


def looking(*works: Work) -> Look:
    """Return what logs, each time that it is called, what is wrong with a server for who does
    `works` there, but for what it has logged before.
    """
    told: set[str] = set()

    async def look(server: Server) -> None:
        try:
            lines = await unfit(server, works)
        except StoreError as error:
            lines = [] if error.told else [f"not known whether the store is fit: {error}"]
        for line in lines:
            if line not in told:
                told.add(line)
                log.warning("%s", line, extra={"event": "STORE_UNFIT"})

    return look


def _lines(server: Server, works: Collection[Work], said: _Said) -> Iterator[str]:
    info, denied, waits, sync = said
    if _is_denied(info) or not isinstance(info, bytes):
        yield (
            "does not say what it is, so that its version, maxmemory-policy and appendonly cannot"
            " be seen: give its user +info, as the example users.acl does"
        )
    else:
        yield from _of_itself(server, works, info)
    if _lacks(waits):
        yield from _of_log(sync)
    if denied:
        yield (
            f"does not allow {', '.join(denied)} to its user, who needs that to"
            f" {' and '.join(works)}: see `ACL LIST` there, and the example users.acl"
        )


def _of_itself(server: Server, works: Collection[Work], info: bytes) -> Iterator[str]:
    found: Mapping[str, str] = dict(_LINE.findall(info[:MAX_INFO].decode("ascii", "replace")))
    version = _VERSION.match(found.get("redis_version", ""))
    if version is None:
        yield "does not say which version it is: at least Redis 6.2 is needed, or Valkey"
    elif tuple(map(int, version.groups())) < OLDEST:
        yield f"is Redis {version[0]}, and at least 6.2 is needed: upgrade it"
    writes = "publish" in works or "tell" in works
    if found.get("role", "master") != "master":
        what = "which takes no writes" if writes else "which may be behind"
        yield (
            f"is a replica, {what}: have url in [store] name the master, or the Sentinels"
            " (redis+sentinel://)"
        )
    kind = server.keys.place.kind
    if found.get("cluster_enabled") == "1" and kind != "cluster":
        yield "is part of a cluster: write redis+cluster:// in url of [store]"
    policy = found.get("maxmemory_policy", "noeviction")
    if found.get("maxmemory", "0") != "0" and policy != "noeviction":
        yield (
            f"drops what has been published when its memory is full, by maxmemory-policy {policy}:"
            " set maxmemory-policy noeviction there"
        )
    if found.get("aof_enabled") == "0":
        yield (
            "loses what was published when it ends, since it writes no log of what it takes: set"
            " appendonly yes and appendfsync always there"
        )
    if "err" in (found.get("aof_last_write_status"), found.get("rdb_last_bgsave_status")):
        yield "could not write to its disk last: make room there, and see its log"
    replicas = server.keys.replicas
    if "publish" in works and int_of(found.get("connected_slaves")) < replicas:
        yield (
            f"has fewer replicas than the {replicas} that must have each publish, so that none is"
            " acknowledged: see replicas in [store], and its replicaof"
        )
    if not server.keys.credential and kind != "unix":
        yield (
            "asks for no password, so that everybody who reaches it may write: set up users as in"
            " the example users.acl, and name the file of the password by credential in [store]"
        )


def int_of(digits: str | None) -> int:
    """Return the number that `digits` are; 0 if they are none."""
    return int(digits) if digits is not None and re.fullmatch(r"[0-9]{1,9}", digits) else 0


def _of_log(sync: Reply) -> Iterator[str]:
    """Yield what is wrong with when the log is written, by the reply to CONFIG GET."""
    if _is_denied(sync):
        yield (
            "does not say whether appendfsync is always, without which a publish is refused: give"
            " its user +config|get, or use one with WAITAOF (Redis 7.2, Valkey)"
        )
    elif not isinstance(sync, list) or sync[1:2] != [b"always"]:
        yield (
            "would lose what it has just taken if its machine failed, so that a publish is refused:"
            " set appendfsync always there, or use one with WAITAOF (Redis 7.2, Valkey)"
        )


def _lacks(reply: Reply) -> bool:
    """Whether a server has no WAITAOF, by its reply. With another error it has: for example where
    it writes no log, which INFO says too.
    """
    return isinstance(reply, Exception) and (
        "unknown command" in str(reply).lower() or _is_denied(reply)
    )


def _is_denied(reply: Reply) -> bool:
    return isinstance(reply, Exception) and code_of(reply) == "NOPERM"


def _called(command: Command) -> str:
    """Return what a message calls `command`: with its second word where that is a part of it."""
    return " ".join(map(str, command[: 2 if command[0] == "CLIENT" else 1]))


def _commands(names: Names, works: Collection[Work]) -> list[Command]:
    """Return a command of each kind that who does `works` sends, some of them in scripts. Each is
    as many words as it needs, since the server looks at that first.
    """
    person, hosts, told = names.person("a"), names.hosts, names.told
    sessions, by = names.sessions_of("a"), names.by("a")
    scripts: list[Command] = [("EVAL", "return 1", 1, hosts), ("EVALSHA", "0" * 40, 1, hosts)]
    found: dict[Work, list[Command]] = {
        "read": [
            *(("TYPE", person), ("HSTRLEN", person, "plan"), ("HMGET", person, "plan")),
            *(("ZREVRANGE", names.recent, 0, 0), ("ZRANGEBYSCORE", told, 0, 0), ("TIME",)),
            *(("GETRANGE", sessions, 0, 0), ("CLIENT", "ID"), ("CLIENT", "TRACKING", "OFF")),
            *(("SUBSCRIBE", "__redis__:invalidate"), ("PING",), *scripts),
        ],
        "publish": [
            *(("HSET", person, "plan", "a"), ("HDEL", person, "plan"), ("DEL", person)),
            *(("ZADD", names.recent, 0, "a"), ("ZREM", names.recent, "a"), ("ZCARD", hosts)),
            *(("SADD", by, "a"), ("SREM", by, "a"), ("SSCAN", by, 0), ("EXISTS", person)),
            *(("INCR", names.spent(0, 0)), ("EXPIRE", names.spent(0, 0), 1)),
            *(("SET", names.hashing, "a"), ("GET", names.hashing)),
            *(("HINCRBY", names.asked("a"), "a", 1), ("HKEYS", person), ("HGETALL", person)),
            *(("HGET", person, "plan"), ("HMGET", person, "plan"), ("HSTRLEN", person, "plan")),
            *(("TYPE", person), ("WAIT", 0, 1), *scripts),
        ],
        "tell": [
            *(("TIME",), ("GET", sessions), ("SET", sessions, "a"), ("EXPIRE", sessions, 1)),
            *(("DEL", sessions), ("ZADD", told, 0, "a"), ("ZREM", hosts, "a")),
            *(("ZRANGEBYSCORE", hosts, 0, 0), ("ZREVRANGE", told, 0, 0), ("ZSCORE", hosts, "a")),
            *(("SET", names.began, "a"), *scripts),
        ],
    }
    return list(dict.fromkeys(command for work in works for command in found[work]))
