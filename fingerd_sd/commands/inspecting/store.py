# SPDX-License-Identifier: MIT
"""Whether the store that hosts share can be asked, and is fit for what this host does there.

For `check` only. It asks with the credentials of the services, but not from their sandboxes: what
those lack, systemd says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from fingerd_sd.commands.inspecting.sandbox import (
    PRESENCE,
    PROXY_SOCKET,
    PUBLISH,
    PUBLISH_SOCKET,
    SOCKET,
    UNIT,
    WEB,
    WEB_SOCKET,
    credentials,
    effective_unit,
    is_enabled,
    no_network,
)
from fingerd_sd.config.store import StoreKeys
from fingerd_sd.protocol.hosts import literal
from fingerd_sd.store.errors import StoreError
from fingerd_sd.store.master.fit import Work, unfit
from fingerd_sd.store.server import Server


class Asker(NamedTuple):
    """A service that asks the store where one of `switches` is enabled, to do `works` there."""

    unit: str
    switches: Sequence[str]
    works: Sequence[Work]


ASKERS = (
    Asker(UNIT, (SOCKET, PROXY_SOCKET), ("read",)),
    Asker(WEB, (WEB_SOCKET,), ("read",)),
    Asker(PUBLISH, (PUBLISH_SOCKET,), ("read", "publish")),
    Asker(PRESENCE, (PRESENCE,), ("tell",)),
)


class Seen(NamedTuple):
    """What there is to say of a store. `unfit`: as warnings; `down`: why it cannot be asked."""

    unfit: Sequence[str] = ()
    down: Sequence[str] = ()


def askers() -> Sequence[Asker]:
    """Return the services that ask the store on this machine; finger.service if none is enabled."""
    return [one for one in ASKERS if any(map(is_enabled, one.switches))] or ASKERS[:1]


def lacking(keys: StoreKeys) -> Iterator[str]:
    """Yield what those services lack that ask the store on this machine, if systemd can say."""
    for unit, _, _ in askers():
        yield from off_the_store(keys, unit, effective_unit(unit) or {})
        known = credentials(unit)
        if keys.credential and known is not None and keys.credential not in known:
            yield (
                f"credential in [store]: {unit} does not get it: have"
                f" LoadCredential={keys.credential}:FILE in its drop-in store.conf"
            )


def off_the_store(keys: StoreKeys, name: str, unit: Mapping[str, str]) -> Iterator[str]:
    """Yield what keeps the service `name` from the store at `keys`, with the remedy. `unit`: its
    properties, as effective_unit has them.
    """
    if not unit or not keys.place.hosts:  # a Unix socket is no network
        return
    see = f"in its drop-in store.conf: {name}(5), and `systemctl edit {name}`"
    if why := no_network(unit):
        yield f"[store] needs the network, and {name} has {why}: set that otherwise {see}"
        return
    if not unit.get("IPAddressDeny"):
        return
    allowed = [ip_network(word, strict=False) for word in unit.get("IPAddressAllow", "").split()]
    if not allowed:
        yield f"[store]: {name} may reach no address: set IPAddressAllow= {see}"
    for host, _ in keys.place.hosts if allowed else ():
        address = literal(host)
        if address and not any(ip_address(address) in network for network in allowed):
            yield f"[store]: {name} may not reach {address}: add it to IPAddressAllow= {see}"


def seen(keys: StoreKeys) -> Seen:
    """Return what is to be said of the store at `keys` for those who ask it on this machine."""
    asked: dict[str, dict[Work, None]] = {}  # by the file of the credential
    for unit, _, works in askers():
        file = (credentials(unit) or {}).get(keys.credential, keys.credential)
        asked.setdefault(file, {}).update(dict.fromkeys(works))
    logging.getLogger("fingerd_sd.store").addHandler(logging.NullHandler())  # it is printed
    unfit_lines, down = [], []
    for file, does in asked.items():
        try:
            unfit_lines += asyncio.run(_ask(keys._replace(credential=file), tuple(does)))
        except StoreError as error:
            down.append(str(error))
    return Seen(tuple(dict.fromkeys(unfit_lines)), tuple(dict.fromkeys(down)))


async def _ask(keys: StoreKeys, works: Sequence[Work]) -> list[str]:
    server = Server(keys).hold()
    try:
        return await unfit(server, works)
    finally:
        await server.close()
