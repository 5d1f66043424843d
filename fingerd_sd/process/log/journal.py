# SPDX-License-Identifier: MIT
"""The log: journald's native protocol over a datagram that never blocks, else standard error.

libsystemd's own sending calls block while journald is stuck, and systemd-python holds the
interpreter's lock meanwhile: a stopped journald would stop every query. So entries go by the
documented protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/) over a non-blocking socket. An
entry that journald does not take at once is dropped and counted. Nothing here imports
systemd-python or knows a listening socket.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol, TypeAlias

IDENTIFIER = "fingerd-sd"
JOURNAL_SOCKET = "/run/systemd/journal/socket"

# MESSAGE_ID of each kind of event: it never changes, and the message catalog explains it.
MESSAGE_IDS = {
    "QUERY": "ac100d73c1444ca5ae881e435305c6ea",
    "STARTED": "25c3706979f647799b7a9313908954bb",
    "STOPPED": "b12fa261437e4b4aaf3c3be48d46ebed",
    "RELOADED": "71ca543dab004b10a7cb597e2f256fa0",
    "RELOAD_FAILED": "c71baec406324277a64900a8e30cef4d",
    "CONFIG_ERROR": "44eabcd2aca44e29a498efc11efd1883",
    "CONFIG_WARNING": "cec2ed86b5ea4a1787ca269cec2f0989",
    "SOURCE_FAILED": "8bb1cab27cfd410daae400ce51bbcfc6",
    "SITE_FAILS": "c014d22e6bf740dba05daa377c09c1b0",
    "SITE_BACK": "42acf22643444e0298ba4395d0b45735",
    "INTERNAL_ERROR": "bb1feaaa614746fe8cfbba23c8c7f159",
    "ACCEPT_PAUSED": "8316378d08dc47b9942ddf0f3107914e",
    "PROXY_REFUSED": "f82c2e7d183148fe8ed03dca9b78d629",
    "LIMITED": "185eb3e3ee0f4ef28eb0b2eb5939cca5",
    "LOG_DROPPED": "6e45f1e289734d2aaaf908b63c54c5b5",
    "PUBLISHED": "6b6ff8973a3740989ebf0c482fe5df22",
    "REMOVED": "0965c18af00f4748bcbae993ba0d506c",
    "REFUSED": "d2c68b7ba9c4405a9d8603b80257a0f7",
    "EXPIRED": "114661844cec45f2af9e4a19aa25de8e",
    "NOT_STORED": "ce5500e599de441a99bf9ba3b0d41b2f",
    "STORE_FAILS": "daf24ce459e24ab2a57dd91f7d11e0d7",
    "STORE_BACK": "02b596ca2dfd4742837a2927d8bf631c",
    "STORE_UNFIT": "ac80a6e05c3e4d7e8b9e042872926a93",
}
INFO = 6  # syslog(3) levels
LONG = 4096  # octets: so long an entry is not gathered; sixteen fill half of the socket's buffer
GATHERED = 16  # entries at once: systemd lets the kernel keep 512 for who reads them
MAX_FIELD = 32768  # octets of one field; a datagram must fit the socket's buffer
MAX_LINE = select.PIPE_BUF  # octets of a line on standard error: a pipe takes so many whole


# What the journal says about one query: query, client, audience, result, source, all of them
# printable and one line; the octets of the answer; the microseconds from the whole query line to
# the last octet. No NamedTuple: to make one takes longer than to write the entry of a query that
# is repeated.
Queried: TypeAlias = tuple[str, str, str, str, str, int, int]


class Journal(Protocol):
    """Where entries go. `dropped`: how many could not be written. No call blocks or raises."""

    dropped: int

    def write(
        self, priority: int, message: str, event: str | None, fields: Mapping[str, str]
    ) -> None:
        """Write an entry. `priority`: syslog(3)'s level; `event`: a key of MESSAGE_IDS."""

    def query(self, queried: Queried, protocol: str = "") -> None:
        """Write the entry of one query. `protocol`: by which it came, "" for finger."""

    def gather(self, on: bool) -> None:
        """Keep entries of queries, few at a time, from now on; or write those that were kept."""

    def give_back(self) -> None:
        """Drop what can be had again: memory is short."""


class NativeJournal:
    """journald, by its native protocol."""

    def __init__(self, path: str = JOURNAL_SOCKET) -> None:
        self.dropped = 0
        self._path = path
        self._socket: socket.socket | None = None
        self._gathers = False
        self._gathered: deque[bytes] = deque()

    def write(
        self, priority: int, message: str, event: str | None, fields: Mapping[str, str]
    ) -> None:
        """Write an entry; see Journal."""
        all_fields = {
            "MESSAGE": message,
            "PRIORITY": str(priority),
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            **fields,
        }
        if event is not None:
            all_fields["MESSAGE_ID"] = MESSAGE_IDS[event]
        self._send_gathered()
        self._send(b"".join(_field(name, value) for name, value in all_fields.items()))

    def query(self, queried: Queried, protocol: str = "") -> None:
        """Write the entry of one query; see Journal."""
        told = f"\nFINGER_PROTOCOL={protocol}\n".encode() if protocol else b"\n"
        entry = _about(*queried[:6]) + b"%d" % queried[6] + told
        if not self._gathers:
            self._send(entry)
            return
        self._gathered.append(entry)
        if len(self._gathered) >= GATHERED or len(entry) > LONG:
            self._send_gathered()

    def gather(self, on: bool) -> None:
        """Keep entries, or write them, since each that finds nobody reading wakes journald, which
        takes longer than to send it; see Journal.
        """
        self._gathers = on
        if not on:
            self._send_gathered()

    def give_back(self) -> None:
        """Drop the texts of entries; see Journal."""
        _about.cache_clear()

    def _send_gathered(self) -> None:
        while self._gathered:
            self._send(self._gathered.popleft())

    def _send(self, datagram: bytes) -> None:
        try:
            if self._socket is None:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                try:
                    sock.connect(self._path)
                except OSError:
                    sock.close()
                    raise
                self._socket = sock
            self._socket.send(datagram)
        except BlockingIOError:
            self.dropped += 1
        except OSError:  # journald is being restarted, or is gone: connect anew next time
            self.dropped += 1
            if self._socket is not None:
                self._socket.close()
                self._socket = None


@lru_cache(256)  # of 12 KiB each at the most, where clients send the longest lines
def _about(query: str, client: str, audience: str, result: str, source: str, octets: int) -> bytes:
    """Return what stays the same when a client repeats a query, which is most common."""
    return (
        f"MESSAGE={_line(query, client, result)}\n"
        f"MESSAGE_ID={MESSAGE_IDS['QUERY']}\nPRIORITY=6\nSYSLOG_IDENTIFIER=fingerd-sd\n"
        f"FINGER_QUERY={query}\nFINGER_CLIENT={client}\nFINGER_AUDIENCE={audience}\n"
        f"FINGER_RESULT={result}\nFINGER_SOURCE={source}\n"
        f"FINGER_BYTES={octets}\nFINGER_USEC="
    ).encode()


def _line(query: str, client: str, result: str) -> str:
    """Return the text of a query's entry. {C} is RFC 1288's name of a query without a user."""
    asked = query or ("nothing" if result == "timeout" else "{C}")
    return f"{asked} from {client}: {result}"


def _field(name: str, value: str) -> bytes:
    """Return one field in the protocol's form; a value with a line end is preceded by its
    length.
    """
    octets = _cut(value, MAX_FIELD)
    if b"\n" in octets:
        return name.encode() + b"\n" + struct.pack("<Q", len(octets)) + octets + b"\n"
    return name.encode() + b"=" + octets + b"\n"


def _cut(text: str, limit: int) -> bytes:
    """Return at most `limit` octets of `text` in UTF-8, without half a character at the end:
    journalctl would show the whole field as a blob.
    """
    octets = text.encode("utf-8", "backslashreplace")
    if len(octets) <= limit:
        return octets
    return octets[:limit].decode("utf-8", "ignore").encode("utf-8")


class StreamJournal:
    """Standard error, or another descriptor: a terminal, a pipe, a file. Its lines are for people
    and have no level (sd-daemon(3)): journald, which would read levels, gets entries with fields.
    """

    def __init__(self, fd: int) -> None:
        self.dropped = 0
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(
        self, priority: int, message: str, event: str | None, fields: Mapping[str, str]
    ) -> None:
        """Write an entry as lines; see Journal. The fields are left out."""
        for line in message.splitlines():
            octets = _cut(line, MAX_LINE - 1) + b"\n"
            try:
                # A pipe that says it is ready takes PIPE_BUF octets without blocking: pipe(7).
                if self._poll.poll(0):
                    os.write(self._fd, octets)
                    continue
            except OSError:  # the reader is gone
                pass
            self.dropped += 1

    def query(self, queried: Queried, protocol: str = "") -> None:
        """Write the entry of one query as a line; see Journal."""
        query, client, _, result, *_ = queried
        self.write(INFO, _line(query, client, result), None, {})

    def gather(self, on: bool) -> None:
        """Lines are written at once; see Journal."""

    def give_back(self) -> None:
        """Nothing is kept; see Journal."""


def open_journal(environment: Mapping[str, str]) -> Journal:
    """Return journald if standard error leads to it, else standard error.

    JOURNAL_STREAM holds device and inode of the stream that systemd connected: systemd.exec(5).
    """
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or replaced by something without one
        return StreamJournal(2)
    if environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}":
        return NativeJournal()
    return StreamJournal(sys.stderr.fileno())
