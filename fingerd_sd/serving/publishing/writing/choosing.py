# SPDX-License-Identifier: MIT
"""Where entries are written: here, or in a store that hosts share. Each imports what the other need
not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fingerd_sd.serving.publishing.writing.interface import Writing
    from fingerd_sd.store.server import Server


def chosen(state: str, server: Server | None) -> Writing:
    """Return what writes into the store behind `server`; None: into a file in `state`."""
    if server is None:
        from fingerd_sd.serving.publishing.writing.threaded import Embedded

        return Embedded(state)
    from fingerd_sd.serving.publishing.writing.fleet import Fleet

    return Fleet(server)
