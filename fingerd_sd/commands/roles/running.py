# SPDX-License-Identifier: MIT
"""Serving with all that it takes: the log, the event loop, the life of the process.

A socket's descriptor name says what to serve on it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from fingerd_sd.commands.building import First, log_to
from fingerd_sd.commands.exits import EX_CONFIG, EX_OK, EX_UNAVAILABLE, EX_USAGE
from fingerd_sd.commands.roles.choosing import chosen
from fingerd_sd.commands.roles.later import postpone_tls
from fingerd_sd.commands.roles.role import Role, Start
from fingerd_sd.config.mistakes import ConfigError, File
from fingerd_sd.process.life import Service
from fingerd_sd.process.log.journal import Journal, open_journal
from fingerd_sd.process.systemd import ActivationError, Notifier, passed_sockets, watchdog_interval
from fingerd_sd.serving.waiting.loop import Loop
from fingerd_sd.sources import find_packages

if TYPE_CHECKING:
    from fingerd_sd.process.pressure import Pressure

log = logging.getLogger(__name__)

# Objects that may have been made, and not freed, since the last look for cycles of garbage. A query
# leaves no cycles, but the objects of 256 queries under way are more than Python's own 700, so that
# it would look at them, and keep them as old, again and again: an eighth of a first asking's time.
GARBAGE = 10_000

_NO_SOCKET = (
    "No socket to serve: systemd passed none, and there is no --listen."
    " On a machine run by systemd: systemctl enable --now finger.socket."
    " Elsewhere: fingerd-sd serve --listen 127.0.0.1:1079"
)


def run(config: File | None, listen: Sequence[tuple[str, int]], first: First | None) -> int:
    """Serve the sockets that systemd passed, and those at `listen`, until told to stop. `first`:
    what has been done already.
    """
    postpone_tls()
    find_packages()
    journal = open_journal(os.environ)
    log_to(journal, logging.INFO)
    try:
        passed = passed_sockets(os.environ)
        row = chosen(item.name for item in passed)
    except ActivationError as error:
        log.error("%s", error, extra={"event": "CONFIG_ERROR"})
        return EX_CONFIG
    if not passed and not listen:
        log.error(_NO_SOCKET, extra={"event": "CONFIG_ERROR"})
        return EX_USAGE

    role = _begun(row.begin, Start(config, journal, first, passed))
    if role is None:
        return EX_CONFIG
    try:
        listeners = [item.socket for item in passed] + [_bind(*address) for address in listen]
    except OSError as error:
        log.error("--listen: %s", error, extra={"event": "CONFIG_ERROR"})
        return EX_UNAVAILABLE
    may_idle_out = bool(passed) and os.environ.get("SYSTEMD_EXIT_ON_IDLE") != "0"
    notifier = (first and first.notifier) or Notifier(os.environ)
    return _live(role, listeners, journal, notifier, may_idle_out)


def tell_presence(config: File | None) -> int:
    """Tell the store who is logged in on this host, until told to stop."""
    from fingerd_sd.commands.roles.presence import begin

    faulthandler.enable()
    find_packages()
    journal = open_journal(os.environ)
    log_to(journal, logging.INFO)
    role = _begun(begin, Start(config, journal, None, ()))
    if role is None:
        return EX_CONFIG
    return _live(role, (), journal, Notifier(os.environ), may_idle_out=False)


def _begun(begin: Callable[[Start], Role], start: Start) -> Role | None:
    """Return the role; None: it cannot begin, and the log says why."""
    try:
        return begin(start)
    except ConfigError as error:
        for mistake in error.mistakes:
            log.error("%s", mistake, extra={"event": "CONFIG_ERROR"})
    except ActivationError as error:
        log.error("%s", error, extra={"event": "CONFIG_ERROR"})
    return None


def _live(
    role: Role,
    listeners: Sequence[socket.socket],
    journal: Journal,
    notifier: Notifier,
    may_idle_out: bool,
) -> int:
    """Let the role live until it is told to stop."""
    gc.freeze()  # what has been made so far stays: never look at it again, nor at a million users
    gc.set_threshold(GARBAGE)
    gc.enable()
    service = Service(
        listeners,
        role.serve,
        role.setup,
        role.load,
        notifier,
        journal,
        may_idle_out=may_idle_out,
        watchdog=watchdog_interval(os.environ),
        pressure=_pressure(os.environ),
    )
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(service.run())
    if role.rest is not None:
        role.rest()
    return EX_OK


def _pressure(environment: Mapping[str, str]) -> Pressure | None:
    """Return what tells when memory is short, where the environment names anything."""
    if not environment.get("MEMORY_PRESSURE_WATCH"):
        return None
    from fingerd_sd.process.pressure import opened

    return opened(environment)


def _bind(host: str, port: int) -> socket.socket:
    """Return a listening socket of our own, for a machine without systemd."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        raise OSError(f"{host} port {port}: {error.strerror}") from error
    return listener
