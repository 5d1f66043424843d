# SPDX-License-Identifier: MIT
"""Packages of third parties that register sources: real ones, in a folder on the path."""

from __future__ import annotations

import textwrap
from pathlib import Path

GROUP = "fingerd_sd.sources"

ORACLE = '''
    """A source that knows everybody, a third party's."""

    import math
    from fingerd_sd.protocol.entry import Absent, Person


    class Oracle:
        timeout = 5.0
        lifetime = math.inf

        def __init__(self, name, words):
            self.name = name
            self.words = words

        async def find(self, user):
            if user == "fire":
                raise RuntimeError("the disk is on fire")
            if user == "nobody":
                return Absent("the oracle is silent")
            return Person(user, name=f"The {user}", plan=self.words)


    def read(table, name):
        words = table.text("words", "No words.")
        table.close()
        return Oracle(name, words)


    def explode(table, name):
        raise ValueError("not today")
'''


def install(folder: Path, entry_points: str, module: str = ORACLE) -> None:
    """Put the package `oracle` into `folder`, with `entry_points` in the group of sources."""
    (folder / "oracle.py").write_text(textwrap.dedent(module))
    about = folder / "oracle-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: oracle\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{GROUP}]\n{entry_points}\n")
