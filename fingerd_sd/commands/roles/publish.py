# SPDX-License-Identifier: MIT
"""The role publish, made of a configuration: the keeper, behind finger-publish.socket."""

from __future__ import annotations

import pwd
from functools import partial

from fingerd_sd.commands.building import ruip_of
from fingerd_sd.commands.roles.role import Role, Start, watched
from fingerd_sd.commands.settings import load_from
from fingerd_sd.config.mistakes import File
from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.policy.audience import Audience
from fingerd_sd.serving.publishing.keeper import Rules
from fingerd_sd.serving.publishing.service import Publishing, Setup
from fingerd_sd.serving.publishing.views import Seen

SERVER = "fingerd-sd"  # the user of finger.service


def begin(start: Start) -> Role:
    """Return the role. Raises ConfigError."""
    return Role(Publishing, load_setup(start.config), partial(load_setup, start.config))


def load_setup(config: File | None) -> Setup:
    """Return what the keeper goes by. The uids that may publish are those of the first source that
    shows what is published. Raises ConfigError.
    """
    loaded = watched(load_from(config), "read", "publish")
    uids = (getattr(mounted.source, "uids", None) for mounted in loaded.sources)
    keys = loaded.publish or PublishKeys()
    rules = Rules(keys, *next(filter(None, uids), ()))
    if keys.who:
        rules = rules._replace(server_uid=_uid_of(SERVER))
    audiences = loaded.audiences
    if not any(audience.name == Audience().name for audience in audiences):
        audiences = (*audiences, Audience())
    seen = Seen(audiences, ruip_of(loaded).directory)
    return Setup(rules, seen, loaded.idle_exit, loaded.warnings, loaded.server)


def _uid_of(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None
