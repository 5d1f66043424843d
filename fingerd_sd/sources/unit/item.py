# SPDX-License-Identifier: MIT
"""The other end of a unit source: one question, answered with what a program says.

systemd starts this for each question, with the listening socket as standard input
(StandardInput=socket, Accept=no). The question is taken from the connection only once the program
has ended well. So the connection is reset, and the source knows, if the program fails or anything
is killed: unix(7), closing a socket with unread octets.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys

EX_OK, EX_USAGE, EX_UNAVAILABLE = 0, 64, 69  # sysexits.h
QUESTION = 5000  # milliseconds that a question may take to come
_PASSED = ("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET")


def answer(program: str) -> int:
    """Answer one connection to the listening socket that is standard input; return the exit status
    of the command.
    """
    try:
        listening = socket.socket(fileno=0)
        if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError
    except OSError:
        _tell("Standard input is no listening socket: StandardInput=socket")
        return EX_USAGE
    while True:
        try:
            connection, _ = listening.accept()
        except BlockingIOError:
            return EX_OK  # whoever called has gone
        with connection:
            if _asks(connection):
                return _answer(connection, program)


def _asks(connection: socket.socket) -> bool:
    """Whether the whole question has come, from somebody who still waits."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return any(not event & select.POLLHUP for _, event in poll.poll(QUESTION))


def _answer(connection: socket.socket, program: str) -> int:
    environment = {name: value for name, value in os.environ.items() if name not in _PASSED}
    try:
        child = subprocess.Popen(  # noqa: S603  # no shell; the administrator's program
            [program],
            stdin=subprocess.DEVNULL,
            stdout=connection.fileno(),
            env=environment,
            cwd="/",
        )
    except OSError as error:
        _tell(f"{program}: cannot be run: {error.strerror}")
        return EX_UNAVAILABLE
    poll = select.poll()
    ended = os.pidfd_open(child.pid)
    poll.register(ended, select.POLLIN)
    poll.register(connection, 0)  # the client has gone: POLLHUP
    if all(descriptor != ended for descriptor, _ in poll.poll()):
        child.kill()  # nobody waits for it any more
        return EX_OK
    if status := child.wait():
        _tell(f"{program}: exit status {status}")
        return EX_UNAVAILABLE
    connection.setblocking(False)
    try:
        while connection.recv(4096):
            pass
    except BlockingIOError:
        pass
    return EX_OK


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
