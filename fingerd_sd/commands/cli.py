# SPDX-License-Identifier: MIT
"""The command fingerd-sd: parses its arguments, and calls the one command that they name."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace

    from fingerd_sd.config.mistakes import File


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (default: the process's) and return its exit status.

    Each command is imported only where it is called: a client waits for `serve`.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    match arguments:  # as a unit starts it: argparse would take 5 ms
        case [] | ["serve"]:
            return _serve(None, ())
        case ["serve", "--config", file]:
            return _serve(file, ())
        case ["presence"]:
            return _presence(None)
        case ["item", program] if not program.startswith("-"):
            return _item(program)
    from fingerd_sd.sources import find_packages

    find_packages()
    options = _parse(arguments)
    match options.command:
        case "check":
            from fingerd_sd.commands.inspecting.check import check

            return check(options.config)
        case "ask":
            from fingerd_sd.commands.inspecting.ask import ask

            query = " ".join(options.query)
            return ask(options.config, options.address, query, options.explain)
        case "item":
            return _item(options.program)
        case "presence":
            return _presence(options.config)
        case "compile":
            from fingerd_sd.commands.compile import compile_users

            return compile_users(options.users, options.database)
        case "publish":
            from fingerd_sd.commands.publish.command import publish
            from fingerd_sd.commands.publish.options import Wanted

            return publish(Wanted(**{key: getattr(options, key) for key in Wanted._fields}))
    return _serve(options.config, options.listen)


def _serve(config: File | None, listen: Sequence[tuple[str, int]]) -> int:
    gc.disable()  # nothing that a start makes is garbage; roles/running.py enables it
    from fingerd_sd.commands.serve import serve

    return serve(config, listen)


def _presence(config: File | None) -> int:
    from fingerd_sd.commands.roles.running import tell_presence

    return tell_presence(config)


def _item(program: str) -> int:
    from fingerd_sd.sources.unit.item import answer

    return answer(program)


def _parse(arguments: Sequence[str]) -> Namespace:
    from argparse import ArgumentParser, ArgumentTypeError
    from pathlib import Path

    from fingerd_sd import __version__
    from fingerd_sd.commands.exits import EX_USAGE
    from fingerd_sd.commands.settings import DROP_INS, MAIN
    from fingerd_sd.serving.publishing.client import SOCKET

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
        epilog="Manual pages: fingerd-sd(8), fingerd-sd-publish(1), fingerd.toml(5), "
        "finger.socket(5).",
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
            help=f"read this file only (default: {MAIN}, then {DROP_INS}/*.toml)",
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
    command("presence", "tell a store that hosts share who is logged in here, until stopped")
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
    item = command("item", "answer one question with what a program says, for a unit source", False)
    item.add_argument("program", metavar="PROGRAM", help="the program's path")
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
    publishing = command("publish", "publish your plan, your project and your key", False)
    for option, metavar, does in (
        ("--plan", "FILE", 'publish this file as your plan; "-": standard input'),
        ("--status", "TEXT", 'publish a line that stands above the plan; "": drop it'),
        ("--until", "WHEN", "when the status ends, such as 18:00, +2h or 2026-12-24 09:00"),
    ):
        publishing.add_argument(option, metavar=metavar, help=does)
    publishing.add_argument(
        "--link",
        action="append",
        nargs="+",
        metavar=("REL HREF", "TYPE"),
        help="publish this link, such as: me https://example.net/; may be repeated",
    )
    for option, does in (
        ("--no-links", "take back all links"),
        ("--edit", "edit the plan that is published, with $VISUAL or $EDITOR"),
        ("--show", "show what is published, and what each audience gets"),
        ("--who", "with --show: how often it was asked for"),
        ("--remove", "take back all that is published"),
        (
            "--mirror",
            "as the files are; where none is left, take them back (for finger-publish.path)",
        ),
        ("--json", "say it as one line of JSON"),
    ):
        publishing.add_argument(option, action="store_true", help=does)
    publishing.add_argument(
        "--socket",
        default=SOCKET,
        metavar="PATH",
        help=f"the keeper's socket (default: {SOCKET})",
    )
    return parser.parse_args(arguments)
