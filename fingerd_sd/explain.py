# SPDX-License-Identifier: MIT
"""`ask --explain`: why a client gets the answer that it gets, for the administrator's eyes only."""

from __future__ import annotations

from fingerd_sd.directory import Directory
from fingerd_sd.entry import ATOMS, Entry, Text
from fingerd_sd.forward import relayed
from fingerd_sd.policy import Audience, Client, Policy
from fingerd_sd.query import QueryError, parse


async def explain(policy: Policy, directory: Directory, line: bytes, client: Client) -> list[str]:
    """Return lines that tell the audience, what each source said of the query `line`, and for each
    atom where it came from or which rule hid it.
    """
    audience = client.audience
    networks = ", ".join(map(str, audience.networks))
    lines = [f'audience: "{audience.name}" ({client.address} is in {networks})']
    try:
        query = parse(line)
    except QueryError as error:
        return [*lines, f"query: malformed: {error}"]
    refusal = policy.refusal(query, audience)
    if refusal is not None:
        why = policy.forwarding_denied(query, audience) if query.hosts else "list = false"
        return [*lines, f'query: refused: the audience "{audience.name}" has {why}']
    if query.hosts:
        hosts = ", ".join(audience.forward_hosts)
        return [*lines, f"forward: to {query.hosts[-1]}, allowed by {hosts}: {relayed(query)!r}"]
    finding = await directory.find(query.user, audience.name)
    lines += [f"source: {step}" for step in finding.steps]
    for entry in finding.entries:
        lines += _atoms(entry, audience)
    return lines


def _atoms(entry: Entry, audience: Audience) -> list[str]:
    if isinstance(entry, Text):
        return [f"text: {entry.origin or 'the source'}, verbatim"]
    lines = []
    for atom in ATOMS:
        origin = entry.origins.get(atom)
        if getattr(entry, atom, None) is None:
            why = f"nothing to show: {origin}" if origin else "nothing to show"
        elif atom not in audience.show:
            why = f'hidden: not in show of the audience "{audience.name}"'
        else:
            why = origin or "the source"
        lines.append(f"{atom}: {why}")
    return lines
