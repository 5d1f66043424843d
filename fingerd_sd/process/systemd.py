# SPDX-License-Identifier: MIT
"""systemd: the sockets it passed, notifications, the watchdog, and whether somebody logs in or out.

This is the only module that imports systemd-python, and it does so only if the environment says
that systemd is there: without systemd the process starts faster and needs no package. It knows no
finger.

Notifications do not use systemd-python: libsystemd's call blocks while PID 1 is busy and its queue
is full, and the binding holds the interpreter's lock meanwhile. The protocol is one datagram, of
documented and stable form: sd_notify(3), NOTES.
"""

import errno
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket  # else where it is needed: first clients are answered before

UNNAMED = ("", "unknown")  # sd_listen_fds_with_names(3): names of a socket without a name
FIRST = 3  # the first descriptor that systemd passes: sd_listen_fds(3)
ACCEPTED = "connection"  # what a socket unit with Accept=yes passes
STATES = ("READY=1", "RELOADING=1", "STOPPING=1")  # systemd waits for these: none may be lost
MISSING = (
    "the Python module systemd is not installed: install python3-systemd (Debian, Fedora),"
    " python-systemd (Arch), systemd-python (PyPI)"
)


class ActivationError(Exception):
    """A socket that systemd passed cannot be served; the text says what to change."""


class Passed:
    """A listening stream socket that was passed, and its name ("" where it has none)."""

    def __init__(self, name: str, socket: "socket.socket") -> None:
        self.name = name
        self.socket = socket


def passed_descriptors(environment: Mapping[str, str]) -> dict[int, str]:
    """Return the descriptors that systemd passed to this process, with their own names; none if the
    environment makes no sense. It needs no module and looks at nothing: `passed_sockets` does.
    """
    count, names = environment.get("LISTEN_FDS", ""), environment.get("LISTEN_FDNAMES", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return {}
    named = names.split(":") if names else [""] * int(count)
    if len(named) != int(count):
        return {}
    return {fd: _own(name) for fd, name in enumerate(named, FIRST)}


def passed_sockets(environment: Mapping[str, str]) -> list[Passed]:
    """Return the sockets that systemd passed to this process; sd_listen_fds_with_names(3).

    They are inherited: never bind, listen on, shut down or flush one. A socket that has its unit's
    name has no name of its own. Raises ActivationError if one is not a listening stream socket, or
    if systemd-python is missing.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    import socket

    daemon = _daemon()
    if daemon is None:
        raise ActivationError(f"systemd passed sockets, but {MISSING}")
    try:
        descriptors = daemon.listen_fds_with_names(unset_environment=True)
    except OSError as error:
        raise ActivationError(f"LISTEN_FDS and LISTEN_FDNAMES do not fit: {error}") from error
    passed = []
    for fd, name in sorted(descriptors.items()):
        if name == ACCEPTED or not daemon.is_socket(fd, type=socket.SOCK_STREAM, listening=1):
            raise ActivationError(
                f'descriptor {fd}, "{name}", is no listening stream socket: the socket unit needs'
                " ListenStream= and Accept=no"
            )
        passed.append(Passed(_own(name), socket.socket(fileno=fd)))
    return passed


def _own(name: str) -> str:
    return "" if name in UNNAMED or name.endswith(".socket") else name


def name_of(listener: "socket.socket") -> str:
    """Return where `listener` listens, as a person writes it: "[::]:79", a path."""
    import socket

    address = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return str(address)
    host, port = address[:2]
    return f"[{host}]:{port}" if listener.family == socket.AF_INET6 else f"{host}:{port}"


def names_of(listeners: "Iterable[socket.socket]") -> str:
    """Return where all of `listeners` listen, in words."""
    return ", ".join(map(name_of, listeners)) or "without a socket"


class Notifier:
    """Tells systemd how the service is: sd_notify(3). Without systemd it does nothing."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        import socket

        path = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path  # abstract: unix(7)
        self._unsent: list[str] = []
        # Kept open: a process that is out of descriptors must still feed the watchdog.
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_UNIX, kind) if path else None

    @property
    def heard(self) -> bool:
        """Whether anybody reads: a message costs 0.2 ms, so the caller may skip making one."""
        return self._socket is not None

    def close(self) -> None:
        """Send nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def tell(self, *assignments: str) -> bool:
        """Send `assignments`, such as "READY=1", in one message. Return whether systemd has taken
        all of them. It never waits: if systemd does not read now, a change of state goes before the
        next message, and everything else is dropped. So is a message that can never be sent.
        """
        if self._socket is None:
            return True
        self._unsent.append("\n".join(assignments))
        while self._unsent:
            message = self._unsent[0].encode("utf-8", "backslashreplace")
            try:
                self._socket.sendto(message, self._address)
            except OSError as error:  # EAGAIN: its queue is full; ENOENT, ECONNREFUSED: it is gone
                if error.errno != errno.EMSGSIZE:
                    if assignments[0] not in STATES:
                        self._unsent.pop()
                    return False
            del self._unsent[0]
        return True


def watchdog_interval(environment: Mapping[str, str]) -> float | None:
    """Return the seconds between two pings, half of what systemd allows, or None if systemd does
    not watch this process. sd_watchdog_enabled(3).
    """
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        usec = int(environment.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return usec / 2e6 if usec > 0 else None


class LoginMonitor:
    """Tells whether somebody has logged in or out: sd_login_monitor_new(3).

    Raises OSError if there is no logind or no systemd-python.
    """

    def __init__(self) -> None:
        try:
            from systemd import login
        except ImportError as error:
            raise OSError(str(error)) from error
        import select

        self._monitor: Any = login.Monitor("session")
        self._poll = select.poll()
        self._poll.register(self._monitor.fileno(), self._monitor.get_events())

    def fileno(self) -> int:
        """Return the descriptor that can be read when there may have been a change."""
        return int(self._monitor.fileno())

    def changed(self) -> bool:
        """Whether there was a change since the last call. It does not wait."""
        if not self._poll.poll(0):
            return False
        self._monitor.flush()
        return True


def _daemon() -> Any:  # systemd-python has no types
    try:
        from systemd import daemon
    except ImportError:
        return None
    return daemon
