# SPDX-License-Identifier: MIT
"""The command fingerd-sd: serve, check, ask, compile. The composition root, which knows all.

Exit statuses are those of sysexits.h where it has one, as systemd.exec(5) names them.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fingerd_sd import __version__, ruip, settings
from fingerd_sd.config import ConfigError, Mistake
from fingerd_sd.directory import Directory
from fingerd_sd.journal import Journal, JournalHandler, StreamJournal, open_journal
from fingerd_sd.policy import Client, Policy
from fingerd_sd.ruip import Answer, Ruip
from fingerd_sd.service import Service, Setup
from fingerd_sd.settings import Settings
from fingerd_sd.systemd import ActivationError, Notifier, passed_sockets, watchdog_interval

if TYPE_CHECKING:
    from argparse import Namespace

    from fingerd_sd.forward import Forwarder

log = logging.getLogger(__name__)

EX_OK, EX_ABSENT, EX_REFUSED, EX_USAGE, EX_UNAVAILABLE, EX_CONFIG = 0, 1, 2, 64, 69, 78
FINGER = ("", "finger")  # descriptor names that are served as finger
_ASK_STATUS = {ruip.FOUND: EX_OK, ruip.ABSENT: EX_ABSENT, ruip.FAILED: EX_UNAVAILABLE}
_NO_SOCKET = (
    "No socket to serve: systemd passed none, and there is no --listen."
    " On a machine run by systemd: systemctl enable --now finger.socket."
    " Elsewhere: fingerd-sd serve --listen 127.0.0.1:1079"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (default: the process's) and return its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    match arguments:  # as a unit starts it: a client waits, and argparse would take 5 ms
        case [] | ["serve"]:
            return serve(None, ())
        case ["serve", "--config", file]:
            return serve(Path(file), ())
    options = _parse(arguments)
    if options.command == "check":
        return check(options.config)
    if options.command == "ask":
        return ask(options.config, options.address, " ".join(options.query), options.explain)
    if options.command == "compile":
        return compile_users(options.users, options.database)
    return serve(options.config, options.listen)


def load(config: Path | None) -> Settings:
    """Return the configuration: the file `config` alone, or the system's with its drop-ins.

    Raises ConfigError with every mistake.
    """
    if config is None:
        return settings.load()
    try:
        config.stat()
    except FileNotFoundError:
        text = "does not exist; check the path after --config"
        raise ConfigError([Mistake(config, "", text)]) from None
    except OSError:
        pass  # what it is, reading it will say
    return settings.load(config, None)


def _loaded(config: Path | None) -> Settings | None:
    """Return what `load` does; None, with the mistakes on standard error, where there are any."""
    try:
        return load(config)
    except ConfigError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
    return None


def check(config: Path | None) -> int:
    """Read the configuration and name every mistake on standard error."""
    loaded = _loaded(config)
    if loaded is None:
        return EX_CONFIG
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for lack in _sandbox(loaded):
        print(f"warning: {lack}", file=sys.stderr)
    names = ", ".join(mounted.source.name for mounted in loaded.sources)
    files = ", ".join(map(str, loaded.files)) or "no configuration, so the defaults"
    print(f"{files}: in order; sources: {names or 'none'}")
    return EX_OK


def _sandbox(loaded: Settings) -> Sequence[str]:
    """Return what the unit on this machine lacks for this configuration, where that can be told."""
    from fingerd_sd.directory import Needs
    from fingerd_sd.sandbox import effective_unit, missing

    sources = (mounted.source for mounted in loaded.sources)
    needs = [(source.name, getattr(source, "needs", Needs())) for source in sources]
    if any(audience.forward for audience in loaded.audiences):
        needs.append(("forward = true", Needs(network=True)))
    unit = effective_unit() if any(need != Needs() for _, need in needs) else None
    return [] if unit is None else list(missing(needs, unit))


def ask(config: Path | None, address: str, query: str, explained: bool) -> int:
    """Print what a client at `address` would get for the line `query`, with no socket."""
    _log_to(
        StreamJournal(sys.stderr.fileno() if sys.stderr else 2, prefixes=False), logging.WARNING
    )
    loaded = _loaded(config)
    if loaded is None:
        return EX_CONFIG
    policy, directory = Policy(loaded.audiences), Directory(loaded.sources)
    line = query.encode("utf-8", "surrogateescape") + b"\r\n"
    try:
        client = policy.client(address)
    except ValueError:
        print(f'fingerd-sd ask: --from "{address}" is no IPv4 or IPv6 address', file=sys.stderr)
        return EX_USAGE
    answer = asyncio.run(_ask(loaded, policy, directory, line, client, explained))
    sys.stdout.buffer.write(answer.octets)
    sys.stdout.flush()
    return _ASK_STATUS.get(answer.result, EX_REFUSED)


async def _ask(
    loaded: Settings,
    policy: Policy,
    directory: Directory,
    line: bytes,
    client: Client,
    explained: bool,
) -> Answer:
    rules = Ruip(policy, directory, time.monotonic, _forwarder(loaded))
    if len(line) > loaded.limits.max_query:
        if explained:
            print(f"query: longer than max_query, {loaded.limits.max_query}", file=sys.stderr)
        return rules.malformed(line, client)
    try:
        if explained:
            from fingerd_sd.explain import explain

            if os.geteuid() == 0:
                print("note: root may read homes that the service may not", file=sys.stderr)
            for told in await explain(policy, directory, line, client):
                print(told, file=sys.stderr)
        return await rules.answer(line, client)
    finally:
        await rules.close()


def compile_users(users: Path, database: Path) -> int:
    """Write `users`, TOML or "-" for lines of JSON on standard input, into the file `database`."""
    from fingerd_sd.sources import users_compile

    mistakes: list[Mistake] = []
    if users == Path("-"):
        tables = users_compile.from_lines(sys.stdin.buffer, mistakes)
    else:
        tables = users_compile.from_toml(users, mistakes)
    try:
        count = users_compile.write(tables, mistakes, database)
    except ConfigError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
        return EX_CONFIG
    except OSError as error:
        print(f"{database}: cannot be written: {error}", file=sys.stderr)
        return EX_UNAVAILABLE
    print(f"{database}: in order; users: {count}")
    return EX_OK


def serve(config: Path | None, listen: Sequence[tuple[str, int]]) -> int:
    """Serve the sockets that systemd passed, and those at `listen`, until told to stop."""
    faulthandler.enable()  # the watchdog's SIGABRT then puts the line that hangs into the journal
    journal = open_journal(os.environ)
    _log_to(journal, logging.INFO)
    try:
        passed = passed_sockets(os.environ)
        for item in passed:
            if item.name not in FINGER:
                raise ActivationError(
                    f'the socket unit passed a descriptor named "{item.name}", which this version'
                    " does not know; FileDescriptorName=finger is what it serves"
                )
    except ActivationError as error:
        log.error("%s", error, extra={"event": "CONFIG_ERROR"})
        return EX_CONFIG
    if not passed and not listen:
        log.error(_NO_SOCKET, extra={"event": "CONFIG_ERROR"})
        return EX_USAGE

    def load_setup() -> Setup:
        return _setup(load(config), journal)

    try:
        setup = load_setup()
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
        setup,
        load_setup,
        Notifier(os.environ),
        journal,
        may_idle_out=bool(passed) and os.environ.get("SYSTEMD_EXIT_ON_IDLE") != "0",
        watchdog=watchdog_interval(os.environ),
    )
    asyncio.run(service.run())
    return EX_OK


def _setup(loaded: Settings, journal: Journal) -> Setup:
    policy = Policy(loaded.audiences, loaded.log_client)
    directory = Directory(loaded.sources)

    def query_log(answer: Answer, client: Client, sent: int, usec: int) -> None:
        journal.query(
            answer.query,
            client.logged,
            client.audience.name,
            answer.result,
            answer.source,
            sent,
            usec,
        )

    return Setup(
        Ruip(policy, directory, time.monotonic, _forwarder(loaded)),
        loaded.limits,
        query_log if loaded.log_queries else None,
        loaded.idle_exit,
        loaded.warnings,
    )


def _forwarder(loaded: Settings) -> Forwarder | None:
    """Return the forwarder, whose deadline is the client's, less what it takes to say so; None
    where nobody may have a query relayed.
    """
    if not any(audience.forward for audience in loaded.audiences):
        return None
    from fingerd_sd.forward import Forwarder

    whole = loaded.limits.answer_timeout
    return Forwarder(max(whole - 1, whole / 2))


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


def _log_to(journal: Journal, level: int) -> None:
    logging.basicConfig(handlers=[JournalHandler(journal)], level=level, format="%(message)s")


def _parse(arguments: Sequence[str]) -> Namespace:
    from argparse import ArgumentParser, ArgumentTypeError

    class Parser(ArgumentParser):
        def error(self, message: str):  # type: ignore[no-untyped-def]  # NoReturn, as its parent
            self.print_usage(sys.stderr)
            self.exit(EX_USAGE, f"{self.prog}: {message}\n")

    def address(text: str) -> tuple[str, int]:
        host, _, port = text.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ArgumentTypeError(
                f'"{text}" is no ADDR:PORT such as 127.0.0.1:1079 or [::1]:1079'
            )
        return host.removeprefix("[").removesuffix("]"), int(port)

    parser = Parser(
        prog="fingerd-sd",
        description="A finger server (RFC 1288) for machines run by systemd.",
        epilog="Manual pages: fingerd-sd(8), fingerd.toml(5), finger.socket(5).",
    )
    parser.add_argument("--version", action="version", version=f"fingerd-sd {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, does: str, configured: bool = True) -> ArgumentParser:
        sub = commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
        if not configured:
            return sub
        sub.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            help=f"read this file only (default: {settings.MAIN}, then {settings.DROP_INS}/*.toml)",
        )
        return sub

    serving = command("serve", "serve the sockets that systemd passed (the default)")
    serving.add_argument(
        "--listen",
        type=address,
        action="append",
        default=[],
        metavar="ADDR:PORT",
        help="bind a socket of its own, for a machine without systemd; may be repeated",
    )
    command("check", "read the configuration and name every mistake in it")
    asking = command("ask", "print what a client would get for a query, with no socket")
    asking.add_argument(
        "--from",
        dest="address",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="the client's address (default: 127.0.0.1)",
    )
    asking.add_argument(
        "--explain",
        action="store_true",
        help="tell on standard error where each part comes from, or which rule hid it",
    )
    asking.add_argument(
        "query", nargs="*", metavar="QUERY", help='the query line, such as alice or "/W alice"'
    )
    compiling = command("compile", "make a database of users, for a static source", False)
    compiling.add_argument(
        "users",
        type=Path,
        metavar="USERS",
        help='a TOML file; "-": lines of JSON on standard input',
    )
    compiling.add_argument(
        "database",
        type=Path,
        metavar="DATABASE",
        help="the file to write, as a whole or not at all",
    )
    return parser.parse_args(arguments)
