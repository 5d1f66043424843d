# SPDX-License-Identifier: MIT
"""Counts the answers that were kept and given again. The first clients of a process wait while this
is imported, so it imports nothing else (commands/serve.py).
"""

from typing import ClassVar

from fingerd_sd.directory.answer import LIMIT, Answer
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.policy.rules import Client


class CountingRuip(Ruip):
    """A Ruip that counts the kept answers that were given. `hits`: in this process, also before the
    configuration was last read.
    """

    hits: ClassVar[int] = 0

    @property
    def kept(self) -> tuple[int, int]:
        """How many answers are kept, and the octets that they take."""
        return len(self._cache), self._cache.octets

    def ready(self, line: bytes, client: Client, now: float) -> Answer | None:
        """Return what Ruip.ready does."""
        answer = super().ready(line, client, now)
        if answer is not None and answer.result != LIMIT:
            CountingRuip.hits += 1
        return answer
