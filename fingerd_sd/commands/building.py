# SPDX-License-Identifier: MIT
"""What `serve` and `ask` share: making a Ruip of a configuration, and logging to a journal."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fingerd_sd.commands import settings
from fingerd_sd.commands.settings import Settings
from fingerd_sd.config.mistakes import ConfigError, File
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.policy.rules import Policy
from fingerd_sd.process.hostname import names_of_this_host

if TYPE_CHECKING:
    from fingerd_sd.directory.relay import Relay
    from fingerd_sd.process.log.journal import Journal
    from fingerd_sd.process.systemd import Notifier
    from fingerd_sd.serving.finger.first import Taken

FINGER = frozenset(("", "finger"))  # descriptor names that are served as finger
METRICS, PROXY = "metrics", "proxy"  # those that may come with them


class First:
    """What has been done before the event loop: the configuration and its `ruip`, connections that
    were taken, and whom systemd hears from.
    """

    def __init__(
        self,
        settings: Settings,
        ruip: Ruip,
        taken: "Sequence[Taken]" = (),
        notifier: "Notifier | None" = None,
    ) -> None:
        self.settings = settings
        self.ruip = ruip
        self.taken = taken
        self.notifier = notifier


def loaded(config: File | None) -> Settings | None:
    """Return the configuration, as settings.load_from does. If there are mistakes, print them on
    standard error and return None.
    """
    try:
        return settings.load_from(config)
    except ConfigError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
    return None


def ruip_of(loaded: Settings, kind: type[Ruip] = Ruip) -> Ruip:
    """Return the Ruip that answers by the configuration `loaded`, made as `kind`."""
    names = names_of_this_host() if loaded.names is None else loaded.names
    directory = Directory(loaded.sources)
    hosts = loaded.store.hosts if loaded.store is not None and directory.tells_hosts() else None
    policy = Policy(loaded.audiences, loaded.log_client, names, hosts)
    return kind(policy, directory, time.monotonic, _forwarder(loaded))


def _forwarder(loaded: Settings) -> "Relay | None":
    """Return the forwarder, or None if no audience may forward. Its deadline is the client's, less
    the time that it takes to send an answer.
    """
    if not any(audience.forward for audience in loaded.audiences):
        return None
    from fingerd_sd.serving.finger.forward import Forwarder

    whole = loaded.limits.answer_timeout
    return Forwarder(max(whole - 1, whole / 2))


def log_to(journal: "Journal", level: int) -> None:
    """Write the records of the logging module to `journal`, from `level` up."""
    import logging

    from fingerd_sd.process.log.records import JournalHandler

    logging.basicConfig(handlers=[JournalHandler(journal)], level=level, format="%(message)s")
