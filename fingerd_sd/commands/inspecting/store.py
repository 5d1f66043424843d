# SPDX-License-Identifier: MIT
"""Whether the store that hosts share can be asked, and is fit for what this host does there.

For `check` only, which asks it from where it is called: not from the sandbox of a service.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from fingerd_sd.commands.inspecting.sandbox import (
    PRESENCE,
    PUBLISH,
    PUBLISH_SOCKET,
    UNIT,
    WEB,
    WEB_SOCKET,
    effective_unit,
    is_enabled,
    no_network,
)
from fingerd_sd.config.store import StoreKeys
from fingerd_sd.protocol.hosts import literal
from fingerd_sd.store.errors import StoreError
from fingerd_sd.store.master.fit import Work, unfit
from fingerd_sd.store.server import Server


class Seen(NamedTuple):
    """What there is to say of a store. `unfit`: as warnings; `down`: why it cannot be asked."""

    unfit: Sequence[str] = ()
    down: str = ""


def lacking(keys: StoreKeys) -> Iterator[str]:
    """Yield what those services lack that ask the store on this machine, if systemd can say."""
    for name, socket in ((UNIT, ""), (WEB, WEB_SOCKET), (PUBLISH, PUBLISH_SOCKET), (PRESENCE, "")):
        if name == UNIT or is_enabled(socket or name):
            yield from off_the_store(keys, name, effective_unit(name) or {})


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
    works: list[Work] = ["read"]
    if is_enabled(PUBLISH_SOCKET):
        works.append("publish")
    if is_enabled(PRESENCE):
        works.append("tell")

    async def ask() -> list[str]:
        server = Server(keys).hold()
        try:
            return await unfit(server, works)
        finally:
            await server.close()

    logging.getLogger("fingerd_sd.store").addHandler(logging.NullHandler())  # it is printed
    try:
        return Seen(asyncio.run(ask()))
    except StoreError as error:
        return Seen(down=str(error))
