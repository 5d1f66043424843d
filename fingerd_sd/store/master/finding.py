# SPDX-License-Identifier: MIT
"""Which server to ask: the one of the address, or the master that Sentinels or a cluster name.

It is asked for each new connection, so that a connection made after a failover goes to the new
master. All keys are in one slot of a cluster, and so on one of its servers.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from fingerd_sd.config.store import StoreKeys
from fingerd_sd.store.errors import StoreError, refusal, unreachable
from fingerd_sd.store.keys import Names
from fingerd_sd.store.link import Door, Link, Lost, Reply, ResponseError, key_slot

MAX_CREDENTIAL = 4096  # octets of a file with a password
# Where systemd looks for a credential that has no path: systemd.exec(5), LoadCredential=. A command
# that root calls, such as `fingerd-sd check`, gets none from systemd, and looks there itself.
FOLDERS = ("/etc/credstore", "/run/credstore", "/usr/lib/credstore")

# Asks a server at a door which one has the data; None: it does not know.
Asking: TypeAlias = Callable[[Link, Door], Awaitable[Door | None]]


async def opened(keys: StoreKeys) -> tuple[Link, str]:
    """Return a connection to the server that has the data, and what to call that server.

    Raises StoreError. The caller sets the deadline.
    """
    place = keys.place
    user, password = credential(keys)
    shared = Door(tls=place.tls, ca=keys.ca, user=user, password=password)
    doors = [shared._replace(host=host, port=port) for host, port in place.hosts]
    if place.kind == "cluster":
        slot = key_slot(Names(keys.namespace).recent.encode())

        async def whose_slot(link: Link, door: Door) -> Door | None:
            return _owner(await _ask(link, door, "CLUSTER", "SLOTS"), slot, door)

        door = await _told(doors, whose_slot, "the cluster has nobody for these keys")
        return await _open(door), called(door)
    if place.kind == "sentinel":

        async def who_is_master(link: Link, door: Door) -> Door | None:
            said = await _ask(link, door, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", place.master)
            return _at(door, said)

        open_doors = [door._replace(user="", password="") for door in doors]
        why = f'no Sentinel knows a master "{place.master}": see url in [store]'
        found = await _told(open_doors, who_is_master, why)
        door = found._replace(user=user, password=password, database=place.database)
        return await _master(door), called(door)
    door = doors[0] if doors else shared._replace(path=place.path)
    door = door._replace(database=place.database)
    return await _open(door), called(door)


def credential(keys: StoreKeys) -> tuple[str, str]:
    """Return user and password, "" for what there is not; where `check` asks as a service would,
    the credential is the path of its file. Raises StoreError.
    """
    name, user = keys.credential, keys.place.user
    if not name:
        return user, ""
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    for folder in (given,) if given else FOLDERS:
        try:
            with open(os.path.join(folder, name), "rb") as file:
                text = file.read(MAX_CREDENTIAL).decode().strip("\r\n")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"credential in [store]: {name}: {error}") from None
        if user or ":" not in text:
            return user, text
        user, _, password = text.partition(":")
        return user, password
    if name.startswith("/"):
        raise StoreError(f"credential in [store]: there is no file {name}")
    where = f"$CREDENTIALS_DIRECTORY ({given})" if given else " or ".join(FOLDERS)
    raise StoreError(
        f'credential in [store]: there is no "{name}" in {where}; have LoadCredential={name}:FILE'
        " in the drop-in store.conf"
    )


def called(door: Door) -> str:
    """Return what a message calls the server behind `door`."""
    host = f"[{door.host}]" if ":" in door.host else door.host
    return door.path or f"{host}:{door.port}"


async def _told(doors: Sequence[Door], ask: Asking, unknown: str) -> Door:
    """Return what the first of those behind `doors` that knows it says. Raises StoreError with what
    the last one said.
    """
    failure = StoreError(unknown)
    for door in doors:
        try:
            link = await _open(door)
            try:
                found = await ask(link, door)
            finally:
                await link.close()
        except StoreError as error:
            failure = error
            continue
        if found is not None:
            return found
        failure = StoreError(f"{called(door)}: {unknown}")
    raise failure


async def _open(door: Door) -> Link:
    try:
        return await Link.open(door)
    except Lost as error:
        raise unreachable(called(door), str(error)) from None
    except ResponseError as error:
        raise refusal(called(door), error) from None


async def _master(door: Door) -> Link:
    """Return a connection to a server that takes itself for a master: after a failover the
    Sentinels may name the old one for a moment. Redis, "Guidelines for
    Redis clients with support for Redis Sentinel", step 3.
    """
    link = await _open(door)
    try:
        role = await _ask(link, door, "ROLE")
        if isinstance(role, list) and role[:1] == [b"master"]:
            return link
    except BaseException:
        await link.close()
        raise
    await link.close()
    raise StoreError(f"the Sentinels name {called(door)}, which is no master now: it passes")


async def _ask(link: Link, door: Door, *command: str) -> Reply:
    try:
        (reply,) = await link.exchange(command)
    except Lost as error:
        raise unreachable(called(door), str(error)) from None
    if isinstance(reply, ResponseError):
        raise refusal(called(door), reply)
    return reply


def _owner(slots: Reply, slot: int, door: Door) -> Door | None:
    """Return the door of who has `slot`, by the reply to CLUSTER SLOTS."""
    for row in slots if isinstance(slots, list) else ():
        if isinstance(row, list) and len(row) > 2 and row[0] <= slot <= row[1]:
            return _at(door, row[2])
    return None


def _at(door: Door, address: Reply) -> Door | None:
    """Return `door` at the host and the port in `address`; no host: the same one."""
    if not isinstance(address, list) or len(address) < 2:
        return None
    host, port = address[:2]
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else ""
    try:
        return door._replace(host=name or door.host, port=int(port))
    except (TypeError, ValueError):
        return None
