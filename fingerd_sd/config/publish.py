# SPDX-License-Identifier: MIT
"""`[publish]`: what users may store of themselves, and how much of it."""

from typing import NamedTuple

from fingerd_sd.config.table import Table

MAX_SIZE = 1 << 20  # octets: more is no plan
MAX_PEOPLE = 10_000_000


class PublishKeys(NamedTuple):
    """All of `[publish]`. `max_size`: octets of all texts of one user; `max_people`: users with an
    entry; `per_hour`: how often a user may publish in an hour, 0 for no limit. `who`: whether users
    are told how often they were asked for.
    """

    max_size: int = 65536
    max_people: int = 10_000
    per_hour: int = 60
    who: bool = False


def read_publish(table: Table) -> PublishKeys:
    """Return what `[publish]` says; mistakes go to the table."""
    standard = PublishKeys()
    keys = PublishKeys(
        max_size=table.integer("max_size", standard.max_size, 1024, MAX_SIZE, "octets"),
        max_people=table.integer("max_people", standard.max_people, 1, MAX_PEOPLE, "people"),
        per_hour=table.integer("per_hour", standard.per_hour, 0, 1_000_000, "publishes"),
        who=table.boolean("who", False),
    )
    table.close()
    return keys
