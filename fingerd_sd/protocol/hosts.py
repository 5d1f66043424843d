# SPDX-License-Identifier: MIT
"""The hosts of a {Q2}: how they are compared, and which it may be relayed to: names, patterns, the
length of a chain. RFC 1288 §3.2.1.

Sans-I/O: serving/finger/forward.py turns a name into addresses.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from fingerd_sd.config.table import Table

MAX_HOSTS = 4  # of one {Q2}: long chains hide who asks, or keep hosts busy with each other

# A host name (RFC 1123 §2.1, and the underscores that there are) or an IP address; no zone.
_HOST = "[0-9a-z:](?:[0-9a-z._:-]{0,251}[0-9a-z:])?"
_PATTERN = "[0-9a-z*:._-]{1,253}"


def check_patterns(table: Table, forward: bool, patterns: Sequence[str], everybody: bool) -> None:
    """Report to an `[[audience]]` table what would make an open relay, or a relay to no host.
    `everybody`: whether the audience holds all addresses.
    """
    for pattern in patterns:
        if not re.fullmatch(_PATTERN, pattern):
            table.wrong(
                "forward_hosts",
                'expected host names such as "*.example.org" or "finger.example.net", not'
                f' "{pattern}"',
            )
    if forward and not patterns:
        table.wrong(
            "forward_hosts",
            "is missing, and forward = true needs it: an array of the hosts that may be relayed to,"
            ' such as ["*.example.org", "finger.example.net"]; a relay to everywhere is misused',
        )
    if forward and everybody and any(not pattern.strip("*.:-_") for pattern in patterns):
        table.wrong(
            "forward_hosts",
            "would let everybody relay to everywhere; name the hosts, or give this audience the"
            " networks that may",
        )
    if patterns and not forward:
        table.unwise("forward_hosts", "does nothing while forward = false")


def check_names(table: Table, names: Sequence[str]) -> None:
    """Report to `[server]` those of `names`, what this server is called, that no host can have."""
    for name in names:
        if not literal(name) and not re.fullmatch(_HOST, same_name(name)):
            table.wrong(
                "names",
                'expected names or addresses of this server, such as "finger.example.org" or'
                f' "192.0.2.1", not "{name}"',
            )


def denied(hosts: Sequence[str], patterns: Sequence[str]) -> str:
    """Return why a query for `hosts`, left to right as received, is not relayed; "" if it is.
    `patterns`: names as `same_name` has them, "*" for any characters.
    """
    if len(hosts) > MAX_HOSTS:
        return f"more than {MAX_HOSTS} hosts in the query"
    names = [same_name(host) for host in hosts]
    if not all(re.fullmatch(_HOST, name) for name in names):
        return "what is no host name"
    if not any(
        re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), names[-1]) for pattern in patterns
    ):
        return f"forward_hosts without {hosts[-1]}"
    return ""


def names_literally(patterns: Sequence[str], host: str) -> bool:
    """Whether one of `patterns` names `host` without "*"."""
    return same_name(host) in patterns


def literal(host: str) -> str:
    """Return the IP address that `host` is, so that it can be compared: without brackets and zone,
    IPv4 if it is IPv4-mapped. "": it is none.
    """
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]").partition("%")[0])
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if address.version == 6 else None
    return str(mapped or address)


def same_name(host: str) -> str:
    """Return a host's name as names are compared: in lower case, without the root's dot; an IP
    address in its usual form.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower().removesuffix(".")
