# SPDX-License-Identifier: MIT
"""Counts the answers that were kept and given again. The first clients of a process wait while this
is imported, so it imports nothing else (commands/serve.py).
"""

from typing import ClassVar

from fingerd_sd.directory.answer import LIMIT, Answer
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.policy.rules import Client


class CountingRuip(Ruip):
    """A Ruip that counts the kept answers that were given."""

    # Of this process, also before the configuration was last read. In a list, since Python forgets
    # what it knows of a class whenever an attribute of it is set.
    _hits: ClassVar[list[int]] = [0]

    @property
    def hits(self) -> int:
        """How many of the answers that were given had been kept."""
        return self._hits[0]

    @property
    def kept(self) -> tuple[int, int]:
        """How many answers are kept, and the octets that they take."""
        return len(self._cache), self._cache.octets

    def ready(self, line: bytes, client: Client, now: float) -> Answer | None:
        """Return what Ruip.ready does."""
        answer = Ruip.ready(self, line, client, now)  # super() takes longer
        if answer is not None and answer.result != LIMIT:
            self._hits[0] += 1
        return answer
