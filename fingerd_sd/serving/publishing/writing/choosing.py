# SPDX-License-Identifier: MIT
"""Where entries are written: in a file, or in a store that hosts share; and how what is in the file
comes to the store. Each imports what the other need not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Generator
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

from fingerd_sd.process.threads import Pool
from fingerd_sd.sources.published.person import Row
from fingerd_sd.sources.published.store import FILE

if TYPE_CHECKING:
    from fingerd_sd.serving.publishing.writing.interface import Writing
    from fingerd_sd.store.server import Server

MOVED = (
    FILE + ".moved-"
)  # the file's name when the store has what was in it; the time stands behind

log = logging.getLogger(__name__)


def chosen(state: str, server: Server | None) -> Writing:
    """Return what writes into the store behind `server`; None: into a file in `state`."""
    if server is None:
        from fingerd_sd.serving.publishing.writing.threaded import Embedded

        return Embedded(state)
    from fingerd_sd.serving.publishing.writing.fleet import Fleet

    return Fleet(server)


async def move(state: str, writing: Writing) -> None:
    """Bring what users have published into the file in `state` to a store, if `writing` writes into
    one. The file gets another name then, which no keeper opens. What the store has of a login
    already stays as it is. If the file cannot be read, the log says so.

    Raises Refused if the store cannot take it. The file stays then, and what the store has taken is
    not brought again.
    """
    path = os.path.join(state, FILE)
    if not writing.vouches or not os.path.exists(path):
        return
    import sqlite3

    counts = {True: 0, False: 0}
    thread = Pool(1, "moving")
    try:
        with closing(_rows(state)) as rows:
            while (row := await asyncio.wrap_future(thread.submit(next, rows, None))) is not None:
                counts[await writing.take_over(row, time.time())] += 1
        moved = os.path.join(state, f"{MOVED}{datetime.now():%Y%m%dT%H%M%S.%f}")
        os.rename(path, moved)
    except (OSError, sqlite3.Error) as error:
        text = f"what users had published here before is not all in the store: {error}"
        log.error("%s", f"Not stored: {text}", extra={"event": "NOT_STORED"})
        return
    text = (
        f"The store has what {counts[True]} users had published here before; the file is {moved}"
        f" now. Left out: {counts[False]} whose account is gone, or of whom the store had an entry"
    )
    log.info("%s", text)


def _rows(state: str) -> Generator[Row, None, None]:
    """Yield the entries in the file in `state`, by one thread at a time. It mends the file first,
    if a keeper was killed while it wrote.
    """
    from fingerd_sd.serving.publishing.writing.embedded import Writer

    writer = Writer(state)
    try:
        for login, uid in writer.people():
            row = writer.person(login, uid)
            if row is not None:
                yield row
    finally:
        writer.close()
