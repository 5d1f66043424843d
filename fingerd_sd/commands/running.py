# SPDX-License-Identifier: MIT
"""Serving with all that it takes: the log, the event loop, the life of the process.

A socket's descriptor name says what to serve on it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from fingerd_sd.commands.building import FINGER, First, log_to, ruip_of
from fingerd_sd.commands.exits import EX_CONFIG, EX_OK, EX_UNAVAILABLE, EX_USAGE
from fingerd_sd.commands.settings import Settings, load_from
from fingerd_sd.config.mistakes import ConfigError, File
from fingerd_sd.directory.answer import FOUND, Answer
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.policy.rules import Client
from fingerd_sd.process.journal import Journal, open_journal
from fingerd_sd.process.life import Service
from fingerd_sd.process.systemd import ActivationError, Notifier, passed_sockets, watchdog_interval
from fingerd_sd.protocol.query import parse
from fingerd_sd.serving.finger.server import QueryLog
from fingerd_sd.serving.finger.service import Finger, Setup
from fingerd_sd.serving.waiting.loop import Loop
from fingerd_sd.sources import find_packages

if TYPE_CHECKING:
    from fingerd_sd.process.pressure import Pressure
    from fingerd_sd.serving.publishing.tally import Tally

log = logging.getLogger(__name__)

PUBLISH = "publish"  # the descriptor name of the keeper's socket

_NO_SOCKET = (
    "No socket to serve: systemd passed none, and there is no --listen."
    " On a machine run by systemd: systemctl enable --now finger.socket."
    " Elsewhere: fingerd-sd serve --listen 127.0.0.1:1079"
)


def run(config: File | None, listen: Sequence[tuple[str, int]], first: First | None) -> int:
    """Serve the sockets that systemd passed, and those at `listen`, until told to stop. `first`:
    what has been done already.
    """
    find_packages()
    journal = open_journal(os.environ)
    log_to(journal, logging.INFO)
    try:
        passed = passed_sockets(os.environ)
        publishing = _is_for_publishing([item.name for item in passed])
    except ActivationError as error:
        log.error("%s", error, extra={"event": "CONFIG_ERROR"})
        return EX_CONFIG
    if not passed and not listen:
        log.error(_NO_SOCKET, extra={"event": "CONFIG_ERROR"})
        return EX_USAGE

    try:
        role = _publishing(config) if publishing else _finger(config, journal, first)
    except ConfigError as error:
        for mistake in error.mistakes:
            log.error("%s", mistake, extra={"event": "CONFIG_ERROR"})
        return EX_CONFIG
    try:
        listeners = [item.socket for item in passed] + [_bind(*address) for address in listen]
    except OSError as error:
        log.error("--listen: %s", error, extra={"event": "CONFIG_ERROR"})
        return EX_UNAVAILABLE
    service = Service(
        listeners,
        *role,
        (first and first.notifier) or Notifier(os.environ),
        journal,
        may_idle_out=bool(passed) and os.environ.get("SYSTEMD_EXIT_ON_IDLE") != "0",
        watchdog=watchdog_interval(os.environ),
        pressure=_pressure(os.environ),
    )
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(service.run())
    if _tally.cache_info().currsize:
        _tally().rest()
    return EX_OK


def _is_for_publishing(names: Sequence[str]) -> bool:
    """Whether sockets of these names are the keeper's; else they are finger's. Raises
    ActivationError if they are neither, or both: each has a unit with the rights that it needs.
    """
    for name in names:
        if name not in FINGER and name != PUBLISH:
            raise ActivationError(
                f'the socket unit passed a descriptor named "{name}", which this version does not'
                f" know; FileDescriptorName=finger and {PUBLISH} are what it serves"
            )
    if PUBLISH in names and set(names) != {PUBLISH}:
        raise ActivationError(
            "the sockets of finger.socket and finger-publish.socket were passed to one process;"
            " Sockets= and Service= of the units have to keep them apart"
        )
    return PUBLISH in names


def _publishing(config: File | None) -> tuple[Any, Any, Any]:
    """Return what _finger does, for the keeper. Raises ConfigError."""
    from fingerd_sd.commands.publish.keeping import load_setup
    from fingerd_sd.serving.publishing.service import Publishing

    return Publishing, load_setup(config), partial(load_setup, config)


def _finger(config: File | None, journal: Journal, first: First | None) -> tuple[Any, Any, Any]:
    """Return the role, its first setup, and how to load the next. Raises ConfigError."""

    def load() -> Setup:
        loaded = load_from(config)
        return _setup(loaded, ruip_of(loaded), journal)

    setup = _setup(first.settings, first.ruip, journal) if first else load()
    return partial(Finger, taken=first.taken if first else ()), setup, load


def _setup(loaded: Settings, ruip: Ruip, journal: Journal) -> Setup:
    def query_log(answer: Answer, client: Client, sent: int, usec: int) -> None:
        journal.query(
            (
                answer.query,
                client.logged,
                client.audience.name,
                answer.result,
                answer.source,
                sent,
                usec,
            )
        )

    log_query: QueryLog | None = query_log if loaded.log_queries else None
    if loaded.publish is not None and loaded.publish.who:
        log_query = _counting(_tally(), log_query)
    return Setup(
        ruip,
        loaded.limits,
        log_query,
        loaded.idle_exit,
        loaded.warnings,
    )


def _counting(tally: Tally, log_query: QueryLog | None) -> QueryLog:
    """Return a query log that also counts who was asked for, of those who have published."""

    def count(answer: Answer, client: Client, sent: int, usec: int) -> None:
        if answer.result == FOUND and answer.source.startswith("published"):
            tally.count(parse(answer.query.encode()).user, client.address)
        if log_query is not None:
            log_query(answer, client, sent, usec)

    return count


@cache
def _tally() -> Tally:
    """Return the one tally of this process, however often the configuration is read."""
    from fingerd_sd.serving.publishing.tally import Tally

    return Tally()


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
