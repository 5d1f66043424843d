# SPDX-License-Identifier: MIT
"""One connection to a server that speaks Redis' protocol, over python3-redis.

This is the only module that imports redis (4.3, Debian 12's, or newer), of which it uses what all
versions have: the connections. Importing it takes a seventh of a second, so store/server.py does
when the store is first asked. What a reply means it does not know.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

import redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

__all__ = ["Command", "Door", "Link", "Lost", "Reply", "ResponseError", "key_slot"]

Word: TypeAlias = str | bytes | int | float
Command: TypeAlias = Sequence[Word]
# By the names of classes, since each version has others.
CODES = {
    "AuthenticationError": "WRONGPASS",
    "BusyLoadingError": "LOADING",
    "MaxConnectionsError": "MAXCLIENTS",
}
# From 5.0 on redis says at first what it is called, and drops the reply, whatever that says: for
# example that the server is in its protected mode.
_OWN_NAMES = "lib_name", "lib_version", "driver_info"
Reply: TypeAlias = Any  # bytes, int, None, a list of such, or a ResponseError of redis' as a value


class Lost(Exception):  # noqa: N818  # it is what has happened, as in "lost connection"
    """There is no connection, or it broke: the text says why, in one line."""


class Door(NamedTuple):
    """Where and how to connect. `path`: of a Unix socket, in place of `host` and `port`. `ca`: a
    file with the certificates to trust; "": those of the system.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool = False
    ca: str = ""
    database: int = 0
    user: str = ""
    password: str = ""


class Link:
    """An open connection. Replies are bytes, never text. One task at a time may use it; if that is
    cancelled, replies may still be on their way, and all that can be done is `close`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, door: Door) -> Link:
        """Return a connection through `door`, as its user. Raises Lost, and ResponseError with what
        the server says against the user or the password. The caller sets the deadline.
        """
        connection = _made(door)
        for name in _OWN_NAMES:
            if hasattr(connection, name):
                setattr(connection, name, None)
        try:
            await connection.connect()
        except BaseException as error:
            await _ended(connection)
            # On a Unix socket redis wraps what the server says of user and password.
            for said in (error, error.__cause__):
                if isinstance(said, ResponseError):
                    raise said from None
                if _is_refusal(said):
                    raise _as_reply(said) from None
            if isinstance(error, (RedisError, OSError, ValueError)):
                raise Lost(_said(error)) from None
            raise
        return cls(connection)

    async def exchange(self, *commands: Command) -> list[Reply]:
        """Return the reply to each command, in order; all are sent at once. A ResponseError is
        among them as a value. Raises Lost.
        """
        await self.send(*commands)
        return [await self._reply() for _ in commands]

    async def send(self, *commands: Command) -> None:
        """Send `commands`, whose replies are for `hear`: another task may be there. Raises Lost."""
        try:
            packed = self._connection.pack_commands(commands)
            await self._connection.send_packed_command(packed, check_health=False)
        except (RedisError, OSError) as error:
            raise Lost(_said(error)) from None

    async def hear(self) -> Reply:
        """Return what the server says next, however long that takes: on a connection that is
        subscribed. Raises Lost.
        """
        return await self._reply()

    async def close(self) -> None:
        """End the connection."""
        await _ended(self._connection)

    async def _reply(self) -> Reply:
        try:
            return await self._connection.read_response()
        except ResponseError as error:
            return error
        except RedisConnectionError as error:
            if _is_refusal(error):  # for example "LOADING": it is a ConnectionError there
                return _as_reply(error)
            raise Lost(_said(error)) from None
        except (RedisError, OSError) as error:
            raise Lost(_said(error)) from None


def _made(door: Door) -> Connection:
    """Return a connection that is not open. Deadlines are the caller's."""
    options: dict[str, Any] = {
        "db": door.database,
        "username": door.user or None,
        "password": door.password or None,
        "retry": Retry(NoBackoff(), 0),
    }
    if int(redis.__version__.partition(".")[0]) >= 5:  # earlier ones know no other
        options["protocol"] = 2
    if door.path:
        return UnixDomainSocketConnection(path=door.path, **options)
    options |= {"host": door.host, "port": door.port, "socket_keepalive": True}
    if not door.tls:
        return Connection(**options)
    # Before 5.0 the name in the certificate is not looked at unless this is said.
    return SSLConnection(ssl_check_hostname=True, ssl_ca_certs=door.ca or None, **options)


async def _ended(connection: Connection) -> None:
    with suppress(RedisError, OSError, asyncio.TimeoutError):
        await connection.disconnect()


def _is_refusal(error: BaseException | None) -> bool:
    """Whether `error` is what a server said, though redis takes it for a broken connection."""
    return any(kind.__name__ in CODES for kind in type(error).__mro__)


def _as_reply(error: BaseException | None) -> ResponseError:
    """Return a refusal as the server said it: redis drops the word in front."""
    word = next(
        (CODES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in CODES), ""
    )
    text = str(error)
    return ResponseError(text if text.startswith(word) else f"{word} {text}")


def _said(error: BaseException) -> str:
    """Return what `error` says in one line, without the words around it."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and (cause.strerror or str(cause)):
        if cause.errno is not None and (cause.strerror or "").startswith("Connect call failed"):
            return os.strerror(cause.errno)  # asyncio says the address in its place
        return cause.strerror or str(cause)
    return " ".join(str(error).split()) or type(error).__name__
