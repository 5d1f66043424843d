# SPDX-License-Identifier: MIT
"""What the directory says: of one user, or of several."""

from __future__ import annotations

from typing import NamedTuple

from fingerd_sd.protocol.entry import Entry


class Finding(NamedTuple):
    """What the directory says. `entries` is empty where nobody has the user; `failed`, where in
    that case a source that might have was not able to say. `lifetime`: seconds that this may be
    reused. `steps`: what each source said, for `ask --explain`.
    """

    entries: tuple[Entry, ...] = ()
    source: str = ""
    failed: bool = False
    lifetime: float = 0
    steps: tuple[str, ...] = ()


class Listing(NamedTuple):
    """Several users: what each is called, and what a query for that name finds. `asked`: whether
    any source is able to say. `failed`: whether somebody may be missing. `cut`: whether there are
    more. The rest as in Finding.
    """

    rows: tuple[tuple[str, Entry], ...] = ()
    source: str = ""
    asked: bool = False
    failed: bool = False
    cut: bool = False
    lifetime: float = 0
    steps: tuple[str, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What is known of each."""
        return tuple(entry for _, entry in self.rows)
