# SPDX-License-Identifier: MIT
"""The role web, made of a configuration: the process behind finger-web.socket."""

from __future__ import annotations

from functools import partial

from fingerd_sd.commands.building import ruip_of
from fingerd_sd.commands.roles.role import Role, Start, watched
from fingerd_sd.commands.settings import Settings, load_from
from fingerd_sd.config.web import WebKeys
from fingerd_sd.directory.answer import Answer
from fingerd_sd.policy.rules import Client
from fingerd_sd.process.hostname import names_of_this_host
from fingerd_sd.process.log.journal import Journal
from fingerd_sd.protocol.hosts import literal
from fingerd_sd.serving.web.client import Proxies
from fingerd_sd.serving.web.forms.values import Place
from fingerd_sd.serving.web.service import Setup, Web
from fingerd_sd.serving.web.site import Identity

PROTOCOL = "web"  # FINGER_PROTOCOL of the journal


def begin(start: Start) -> Role:
    """Return the role. Raises ConfigError."""
    load = partial(_load, start)
    return Role(Web, load(), load)


def _load(start: Start) -> Setup:
    loaded = watched(load_from(start.config), "read")
    keys = loaded.web or WebKeys()
    domains = keys.domains or _names(loaded)
    ruip = ruip_of(loaded)
    return Setup(
        ruip.policy,
        ruip.directory,
        Identity(Place(domains[0], f"https://{domains[0]}"), domains, keys.links),
        Proxies(keys.trusted_proxies),
        loaded.limits,
        partial(_log, start.journal) if loaded.log_queries else None,
        loaded.idle_exit,
        loaded.warnings,
    )


def _names(loaded: Settings) -> tuple[str, ...]:
    """Return what the machine is called: the names that others may know, else all of them."""
    names = names_of_this_host() if loaded.names is None else loaded.names
    known = tuple(name for name in names if "." in name and not literal(name))
    return known or names or ("localhost",)


def _log(journal: Journal, answer: Answer, client: Client, sent: int, usec: int) -> None:
    about = (answer.query, client.logged, client.audience.name, answer.result, answer.source)
    journal.query((*about, sent, usec), PROTOCOL)
