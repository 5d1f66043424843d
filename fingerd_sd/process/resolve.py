# SPDX-License-Identifier: MIT
"""Names to addresses, off the loop: a name server that does not answer blocks nothing but a thread
of a bounded pool (process/threads.py), and the process can end without that thread.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TypeAlias

from fingerd_sd.process.threads import Pool

MAX_THREADS = 4  # names that one forwarder looks up at once; more wait, each within its deadline

# Family, and what connect() takes: (address, port), for IPv6 with flow and scope behind.
Endpoint: TypeAlias = tuple[int, tuple[str, int]]


async def resolve(pool: Pool, host: str, port: int, family: int = 0) -> list[Endpoint]:
    """Return the stream endpoints of `host`, a name or an address, in the order in which to try
    them: getaddrinfo(3), RFC 6724. `family`: 0 for both.

    Raises OSError if there is none.
    """
    try:
        found = await asyncio.wrap_future(
            pool.submit(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        )
    except UnicodeError as error:  # a label of more than 63 octets
        raise OSError(f"{host} is no host name") from error
    return [(kind, (str(address[0]), int(address[1]))) for kind, _, _, _, address in found]
