# SPDX-License-Identifier: MIT
"""Who is logged in, as systemd-logind says it over D-Bus: org.freedesktop.login1(5).

It blocks: call it in a thread. The exchange is asynchronous and has a deadline, but it runs in a
loop of its own: importing dbus-fast takes a tenth of a second, and its connect() blocks if the bus
hangs, so the loop that serves may do neither. It knows no accounts and no policy.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from dbus_fast.aio.message_bus import MessageBus

TIMEOUT = 1.0  # seconds for the whole exchange, which usually takes 3 ms
MAX_SESSIONS = 1024  # asked for; more people than one machine has at once
MAX_REQUESTS = 32  # under way at once: logind answers one after the other

SYSTEM_BUS = "/run/dbus/system_bus_socket"  # unless DBUS_SYSTEM_BUS_ADDRESS says otherwise

_NAME = "org.freedesktop.login1"
_PATH = "/org/freedesktop/login1"
_GRAPHICAL = ("x11", "wayland", "mir")


class LoggedIn(NamedTuple):
    """A session. `since`, `active`: seconds since the epoch; `active`: of the last input, as far as
    logind knows, math.inf for right now. `graphical`: the terminal's own times do not count.
    `uid`: as logind knows it; None: what kept the record has none.
    """

    user: str
    since: float
    tty: str | None = None
    host: str | None = None
    active: float | None = None
    graphical: bool = False
    uid: int | None = None


def logged_in(address: str | None = None) -> list[LoggedIn]:
    """Return the sessions of people. `address`: of the bus, None for the system's.

    Raises OSError if there is no logind, no dbus-fast, or no answer within TIMEOUT.
    """
    if not (address or "DBUS_SYSTEM_BUS_ADDRESS" in os.environ or os.path.exists(SYSTEM_BUS)):
        raise OSError("there is no system bus")  # without a tenth of a second of importing
    try:
        return asyncio.run(_logged_in(address))
    except ImportError:
        raise OSError("python3-dbus-fast is not installed") from None
    except TimeoutError:
        raise OSError("no answer in time") from None
    except EOFError:
        raise OSError("the bus hung up") from None


async def _logged_in(address: str | None) -> list[LoggedIn]:
    from dbus_fast import BusType
    from dbus_fast.aio.message_bus import MessageBus
    from dbus_fast.errors import DBusError

    # The error that dbus-fast leaves behind has been reported here already.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    bus = MessageBus(address) if address else MessageBus(bus_type=BusType.SYSTEM)
    try:
        async with asyncio.timeout(TIMEOUT):
            await bus.connect()
            body = await _call(bus, f"{_NAME}.Manager", "ListSessions", _PATH)
            gate = asyncio.Semaphore(MAX_REQUESTS)
            found = await asyncio.gather(
                *(
                    _session(bus, uid, user, path, gate)
                    for _, uid, user, _, path in body[0][:MAX_SESSIONS]
                )
            )
    except (DBusError, ValueError, TypeError, IndexError) as error:  # not in logind's form
        raise OSError(str(error)) from error
    finally:
        bus.disconnect()
        with suppress(Exception):  # it closes the socket once it has seen its end
            async with asyncio.timeout(TIMEOUT / 10):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call,unused-ignore]
    return [session for session in found if session is not None]


async def _session(
    bus: MessageBus, uid: int, user: str, path: str, gate: asyncio.Semaphore
) -> LoggedIn | None:
    """Return the session at `path`; None if it is not a person's, or has ended meanwhile."""
    async with gate:
        body = await _call(
            bus, "org.freedesktop.DBus.Properties", "GetAll", path, "s", f"{_NAME}.Session"
        )
    if not body:
        return None
    values = {name: variant.value for name, variant in body[0].items()}
    # Not people: greeter, lock-screen, background, manager (the user's own systemd, since 256).
    # Closing: the person has gone, something that was started stays.
    kind = str(values.get("Class", ""))
    if not kind.startswith("user") or kind == "user-incomplete" or values.get("State") == "closing":
        return None
    return LoggedIn(
        user=user,
        since=int(values.get("Timestamp", 0)) / 1e6,
        tty=str(values.get("TTY") or values.get("Display") or "") or None,
        host=str(values.get("RemoteHost") or "") or None,
        active=_active(values),
        graphical=values.get("Type") in _GRAPHICAL,
        uid=uid,
    )


def _active(values: Mapping[str, Any]) -> float | None:
    """Return when the session last had input. A graphical one says whether it idles, and since
    when; for others IdleSinceHint is the time of the last input, 0 where logind cannot know.
    """
    hint = int(values.get("IdleSinceHint", 0))
    if values.get("Type") in _GRAPHICAL and not values.get("IdleHint"):
        return math.inf
    return hint / 1e6 if hint else None


async def _call(
    bus: MessageBus, interface: str, member: str, path: str, signature: str = "", *body: Any
) -> list[Any]:
    """Return what a method returns; nothing if its object is gone.

    Raises OSError for any other error.
    """
    from dbus_fast import Message, MessageFlag, MessageType

    reply = await bus.call(
        Message(
            destination=_NAME,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            flags=MessageFlag.NO_AUTOSTART,  # asking must not start it
        )
    )
    if reply is None or reply.message_type != MessageType.ERROR:
        return reply.body if reply is not None else []
    if reply.error_name in (
        "org.freedesktop.DBus.Error.UnknownObject",
        f"{_NAME}.NoSuchSession",
    ):
        return []
    raise OSError(f"{reply.error_name}: {reply.body[0] if reply.body else ''}")
