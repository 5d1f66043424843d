# SPDX-License-Identifier: MIT
"""What a role is made of, and what it is made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fingerd_sd.commands.building import First
from fingerd_sd.commands.settings import Settings
from fingerd_sd.config.mistakes import File
from fingerd_sd.process.log.journal import Journal
from fingerd_sd.process.systemd import Passed

if TYPE_CHECKING:
    from fingerd_sd.store.master.fit import Work


class Start(NamedTuple):
    """What a role is made from. `config`: the file that was asked for, None for the system's.
    `first`: what has been done before the event loop. `passed`: the sockets from systemd; more may
    come by --listen.
    """

    config: File | None
    journal: Journal
    first: First | None
    passed: Sequence[Passed]


class Role(NamedTuple):
    """What a process serves. `serve(loop, setup)` makes its Served, by `setup` at first. `load()`
    returns the setup after a reload, and raises ConfigError. `rest()` is called at the end.
    """

    serve: Any  # for each role its own Setup: process/served.py
    setup: Any
    load: Callable[[], Any]
    rest: Callable[[], None] | None = None


def watched(loaded: Settings, *works: Work) -> Settings:
    """Return `loaded`, for a process that does `works` in the store: the journal will have what is
    wrong with it.
    """
    if loaded.server is not None:
        from fingerd_sd.store.master.fit import looking

        loaded.server.look = looking(*works)
    return loaded
