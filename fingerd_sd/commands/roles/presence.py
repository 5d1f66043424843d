# SPDX-License-Identifier: MIT
"""The role presence, made of a configuration: the process of finger-presence.service."""

from __future__ import annotations

from functools import partial

from fingerd_sd.commands.roles.role import Role, Start
from fingerd_sd.commands.settings import MAIN, load_from
from fingerd_sd.config.mistakes import ConfigError, File, Mistake
from fingerd_sd.serving.presence.service import Presence, Setup


def begin(start: Start) -> Role:
    """Return the role. Raises ConfigError."""
    load = partial(load_setup, start.config)
    return Role(Presence, load(), load)


def load_setup(config: File | None) -> Setup:
    """Return where to tell who is here. Raises ConfigError."""
    loaded = load_from(config)
    if loaded.store is None or loaded.server is None:
        text = "is missing, and `fingerd-sd presence` tells who is logged in to the store at it"
        raise ConfigError([Mistake(config or MAIN, "store.url", text)])
    return Setup(loaded.store, loaded.server.host, loaded.warnings)
