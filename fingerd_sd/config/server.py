# SPDX-License-Identifier: MIT
"""`[server]`: what one client and all clients together may take, and how the process behaves."""

from typing import NamedTuple, TypeAlias

from fingerd_sd.config.table import Table

DAY = 86400.0  # seconds: the longest deadline that makes sense here
YEAR = 365 * DAY  # seconds
MAX_MISS_TIME = 1.0  # seconds: who mistypes a name waits this long

# Seconds. finger.service allows 50 starts in 60 s (StartLimitBurst=, StartLimitIntervalSec=); one
# more closes the port. Leaving when idle every 30 s makes 2 starts in that time. Crashes make 20
# more at most, since RestartSec=3s. Both together stay below half of the limit; the other half is
# for restarts by hand and for upgrades.
MIN_IDLE_EXIT = 30.0


class Limits(NamedTuple):
    """What one client, and all clients together, may take: fingerd.toml(5), [server]."""

    query_timeout: float = 10  # seconds from accept to the end of the query line
    answer_timeout: float = 30  # seconds from the query to the last octet sent
    max_query: int = 1024  # octets, line end included
    max_connections: int = 4096  # open at once
    max_per_client: int = 64  # open at once from one IPv4 address or IPv6 /64
    miss_time: float = 0.02  # seconds before which an answer that tells of nobody never leaves


# limits; idle_exit: seconds, 0 for never; log_client: full, prefix or none; log_queries; names:
# what the server is called, None: what the machine is.
ServerKeys: TypeAlias = tuple[Limits, float, str, bool, tuple[str, ...] | None]


def read_server(table: Table) -> ServerKeys:
    """Return what `[server]` says; mistakes and warnings go to the table."""
    limits = Limits(
        query_timeout=table.seconds("query_timeout", 10, 0.1, DAY),
        answer_timeout=table.seconds("answer_timeout", 30, 0.1, DAY),
        max_query=table.integer("max_query", 1024, 16, 1 << 20, "octets"),
        max_connections=table.integer("max_connections", 4096, 1, 1 << 20, "connections"),
        max_per_client=table.integer("max_per_client", 64, 1, 1 << 20, "connections"),
        miss_time=table.seconds("miss_time", 0.02, 0, MAX_MISS_TIME),
    )
    if limits.miss_time >= limits.answer_timeout:
        table.wrong(
            "miss_time",
            f"is not below answer_timeout, {limits.answer_timeout:g} s: then nobody who is absent"
            " is ever answered; make it shorter, or answer_timeout longer",
        )
    idle_exit = table.seconds("idle_exit", 600, 0, YEAR)
    if 0 < idle_exit < MIN_IDLE_EXIT:
        table.unwise(
            "idle_exit",
            f"{idle_exit:g} s is so short that systemd's start limit may close the port;"
            f" {MIN_IDLE_EXIT:g} or more is safe",
        )
    log_client = table.choice("log_client", "full", ("full", "prefix", "none"))
    log_queries = table.boolean("log_queries", True)
    names = table.strings("names", ())
    named = table.value("names") is not None
    table.close()
    return limits, idle_exit, log_client, log_queries, names if named else None
