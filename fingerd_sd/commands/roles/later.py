# SPDX-License-Identifier: MIT
"""TLS, imported when something of it is first used.

asyncio imports the module ssl, which takes a seventh of its own time, and memory; a finger server
has no use for it until something speaks TLS, or uses one of the loop's own calls on sockets
(`sock_recv` and the like), which look whether a socket is one of TLS. importlib.util.LazyLoader
would do, but before Python 3.12.3 two threads must not be the first to use such a module at the
same time (https://github.com/python/cpython/issues/114763).
"""

import _thread  # not threading: it is imported with asyncio
import sys
from types import ModuleType

MODULES = ("ssl", "asyncio.sslproto")  # the second makes classes of what the first has


def postpone_tls() -> None:
    """Let MODULES be imported at the first use of anything in them, unless they are there already.
    If this Python has no TLS, asyncio sees that as ever. Call it before asyncio is imported; and
    after that, for who looks for a module in its package.
    """
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    if not any(find and find("_ssl", None) for find in finders):
        return
    for name in MODULES:
        there = sys.modules.setdefault(name, Later(name))
        package, _, own = name.rpartition(".")
        if package in sys.modules:
            setattr(sys.modules[package], own, there)


class Later(ModuleType):
    """Stands for a module until something of it is used, and then has all that it has. So whoever
    only reads it need not know.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__dict__["_importing"] = _thread.RLock()

    def __getattr__(self, name: str) -> object:
        whole = self.__name__
        with self.__dict__["_importing"]:
            if sys.modules.get(whole) is self:
                del sys.modules[whole]
            __import__(whole)
        real = sys.modules[whole]
        self.__dict__.update(vars(real))
        return getattr(real, name)
