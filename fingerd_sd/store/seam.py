# SPDX-License-Identifier: MIT
"""What a source may be where several hosts share a store. It is not in directory/source, which who
has no store would import for nothing.
"""

from typing import Protocol, runtime_checkable

from fingerd_sd.directory.source import Source
from fingerd_sd.store.server import Server


@runtime_checkable
class InStore(Protocol):
    """A source that asks a store instead, where several hosts share one. It may also have
    `without_store`, the mistake that it is where they do not; None: it is none.
    """

    def in_store(self, server: Server, /) -> Source:
        """Return the source to ask in place of this one. It holds `server` until it is closed."""
