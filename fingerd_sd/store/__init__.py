# SPDX-License-Identifier: MIT
"""The directory that several hosts share: all that is known here of Redis and its like."""

import asyncio
from concurrent.futures import Future
from functools import cache
from types import ModuleType

from fingerd_sd.process.threads import Pool


async def imported() -> ModuleType:
    """Return the module that finds servers. Redis is imported with it, in a thread, since that
    takes a while. Raises StoreError if it cannot be.
    """
    return await asyncio.shield(asyncio.wrap_future(_importing()))


@cache
def _importing() -> "Future[ModuleType]":
    return Pool(1, "redis").submit(_import)


def _import() -> ModuleType:
    try:
        from fingerd_sd.store.master import finding
    except ImportError as error:
        from fingerd_sd.store.errors import StoreError

        _importing.cache_clear()
        raise StoreError(
            f"the store needs the Python module {error.name}, which cannot be imported: install"
            " python3-redis"
        ) from None
    return finding
