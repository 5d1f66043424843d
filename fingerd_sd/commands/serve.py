# SPDX-License-Identifier: MIT
"""`fingerd-sd serve`: serve the sockets that systemd passed, or sockets of its own.

Clients wait while the process starts. So those whose answer is in memory are answered first; only
then is all the rest imported and set up (commands/roles/running.py).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # has no stubs; signal takes long to import
import faulthandler
import os
from collections.abc import Iterable, Sequence

from fingerd_sd.commands.building import FINGER, METRICS, PROXY, First, ruip_of
from fingerd_sd.commands.roles.later import postpone_tls
from fingerd_sd.commands.settings import load_from
from fingerd_sd.config.mistakes import ConfigError, File
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.process.systemd import Notifier, passed_descriptors
from fingerd_sd.serving.finger.first import answer_first


def serve(config: File | None, listen: Sequence[tuple[str, int]]) -> int:
    """Serve the sockets that systemd passed, and those at `listen`, until told to stop."""
    postpone_tls()
    faulthandler.enable()  # the watchdog's SIGABRT then puts the line that hangs into the journal
    passed = passed_descriptors(os.environ)
    first = None
    names = set(passed.values())
    if names & FINGER and names <= FINGER | {METRICS, PROXY} and not listen:
        doors = [fd for fd, name in passed.items() if name in FINGER]
        first = _answer_first(config, doors, METRICS in names)
    from fingerd_sd.commands.roles.running import run

    return run(config, listen, first)


def _counting() -> type[Ruip]:
    from fingerd_sd.serving.metrics.kept import CountingRuip

    return CountingRuip


def _answer_first(config: File | None, descriptors: Iterable[int], count: bool) -> First | None:
    """Read the configuration and, if its sources answer at once, answer whom they can. `count`: for
    the metrics. None: the configuration cannot be used, and who reads it again says why.
    """
    try:
        settings = load_from(config)
    except ConfigError:
        return None
    ruip = ruip_of(settings, _counting() if count else Ruip)
    if not ruip.directory.answers_first:
        return First(settings, ruip)
    # Until there are handlers for them: they would end the process, and its clients with it.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP))
    taken = answer_first(descriptors, ruip, settings.limits)
    notifier = Notifier(os.environ)
    notifier.tell("READY=1")
    return First(settings, ruip, taken, notifier)
