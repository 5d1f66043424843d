# SPDX-License-Identifier: MIT
"""`fingerd-sd ask`: print what a client would get for a query, with no socket."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

from fingerd_sd.commands.building import loaded, log_to, ruip_of
from fingerd_sd.commands.exits import (
    EX_ABSENT,
    EX_CONFIG,
    EX_OK,
    EX_REFUSED,
    EX_UNAVAILABLE,
    EX_USAGE,
)
from fingerd_sd.commands.inspecting.explain import explain
from fingerd_sd.directory.answer import ABSENT, FAILED, FOUND, Answer
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.policy.rules import Client
from fingerd_sd.process.log.journal import StreamJournal

_STATUS = {FOUND: EX_OK, ABSENT: EX_ABSENT, FAILED: EX_UNAVAILABLE}


def ask(config: Path | None, address: str, query: str, explained: bool) -> int:
    """Print what a client at `address` would get for the line `query`, with no socket."""
    log_to(StreamJournal(sys.stderr.fileno() if sys.stderr else 2), logging.WARNING)
    configuration = loaded(config)
    if configuration is None:
        return EX_CONFIG
    rules = ruip_of(configuration)
    line = query.encode("utf-8", "surrogateescape") + b"\r\n"
    try:
        client = rules.policy.client(address)
    except ValueError:
        print(f'fingerd-sd ask: --from "{address}" is no IPv4 or IPv6 address', file=sys.stderr)
        return EX_USAGE
    answer = asyncio.run(_ask(rules, configuration.limits.max_query, line, client, explained))
    sys.stdout.buffer.write(answer.octets)
    sys.stdout.flush()
    return _STATUS.get(answer.result, EX_REFUSED)


async def _ask(
    rules: Ruip,
    max_query: int,
    line: bytes,
    client: Client,
    explained: bool,
) -> Answer:
    if len(line) > max_query:
        if explained:
            print(f"query: longer than max_query, {max_query}", file=sys.stderr)
        return rules.malformed(line, client)
    try:
        if explained:
            if os.geteuid() == 0:
                print("note: root may read homes that the service may not", file=sys.stderr)
            for told in await explain(rules.policy, rules.directory, line, client):
                print(told, file=sys.stderr)
        return await rules.answer(line, client)
    finally:
        await rules.close()
