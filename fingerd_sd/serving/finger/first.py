# SPDX-License-Identifier: MIT
"""The first answers of a process, before there is an event loop.

A client waits while the process starts, and importing asyncio takes longer than all that its answer
takes. So this takes what waits at the sockets that systemd passed, once, and answers what needs no
waiting, by the same `Ruip` as ever. What it could not finish it hands to `Server.adopt`: half a
line, an answer that must be waited for, one that does not fit the socket's buffer.
"""

import _socket  # to import socket, with its enumerations, takes as long as hundreds of answers
import os
import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from fingerd_sd.config.server import Limits
from fingerd_sd.directory.answer import Answer
from fingerd_sd.directory.ruip import Begun, Ruip
from fingerd_sd.policy.rules import Client, Here
from fingerd_sd.protocol.query import line_length
from fingerd_sd.serving.finger.sockets import (
    AT_ONCE,
    RECEIVE,
    connected_to,
    end_output,
    send_now,
)
from fingerd_sd.serving.waiting.taking import taker

if TYPE_CHECKING:
    import socket

MOST = 256  # connections that are taken before the loop is there: a burst; others go on waiting


class Taken:
    """A connection that was taken before there was a loop. `octets`: what has come, as from
    recv(2); None: nothing yet. `said`: what `Ruip` said to that; None: it was not asked. `sent`:
    octets of the answer that have gone. `started`, `ended`: in monotonic seconds; `ended` 0: it is
    open.
    """

    def __init__(self, sock: "socket.socket", peer: str, started: float) -> None:
        self.sock = sock
        self.peer = peer
        self.octets: bytes | None = None
        self.said: Answer | Begun | None = None
        self.sent = 0
        self.started = started
        self.ended = 0.0


def answer_first(descriptors: Iterable[int], ruip: Ruip, limits: Limits) -> list[Taken]:
    """Take what waits at the listening sockets `descriptors`, and answer what can be answered.

    The descriptors stay as they are, but for O_NONBLOCK. One that is no listening socket is left
    alone: `passed_sockets` says what is wrong with it.
    """
    taken: list[Taken] = []
    most = min(MOST, limits.max_connections, limits.max_per_client)
    for descriptor in descriptors:
        try:
            listener: Any = _socket.socket(fileno=descriptor)
        except OSError:
            continue
        try:
            os.set_blocking(descriptor, False)
            take = taker(listener)
            while sum(not one.ended for one in taken) < most and len(taken) < MOST:
                one = _served(*take(), ruip, limits)
                if one is not None:
                    taken.append(one)
        except (OSError, AttributeError):  # nothing waits any more, or this is for the loop
            pass
        finally:
            listener.detach()
    return taken


def _served(sock: "socket.socket", peer: str, ruip: Ruip, limits: Limits) -> Taken | None:
    """Return what became of a connection; None: it was reset before anything came."""
    taken = Taken(sock, peer, time.monotonic())
    try:
        taken.octets = sock.recv(RECEIVE, AT_ONCE)
    except (BlockingIOError, InterruptedError):
        pass
    except OSError:
        sock.close()
        return None
    client = ruip.policy.client(peer)
    most = limits.max_query
    said = taken.said = said_at_once(sock, taken.octets, ruip, most, client, taken.started)
    if said is not None and not isinstance(said, Begun):
        taken.sent = send_now(sock, said.octets)
        if taken.sent == len(said.octets):
            end_output(sock)
            sock.close()
            taken.ended = time.monotonic()
    return taken


def said_at_once(
    sock: "socket.socket",
    octets: bytes | None,
    ruip: Ruip,
    max_query: int,
    client: Client,
    started: float,
    here: Here | None = None,
) -> Answer | Begun | None:
    """Return what `ruip` says at once to `octets`, the first from `sock`; None if they are not one
    whole line and nothing else, and it was not asked. `started`: monotonic seconds. `here`: where
    the client has connected to, if not to `sock`.
    """
    if not octets or octets[-1] != 0x0A:
        return None
    # Only whole lines are ever ready, so that this is one line and nothing behind it.
    answer = ruip.ready(octets, client, started)
    if answer is None and line_length(octets) == len(octets) <= max_query:
        return ruip.begin(octets, client, started, here or partial(connected_to, sock))
    return answer
