# SPDX-License-Identifier: MIT
"""Rude clients, as a program that runs inside a machine: silent, slow, greedy, gone, scanning.

`python3 rude.py KIND...`: all of these at once, each with its number of clients. It says "here"
once each client has come as far as it means to, goes on until standard input ends, and then prints
how often each kind did what it does. It talks to nobody but its own machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import resource
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable

HOSTS = ("127.0.0.1", "::1")
PORT = 79
FILES = 16384  # descriptors
SECONDS = 240.0  # after which it ends in any case
LINE = b"moshez\r\n"
LARGE = b"large\r\n"  # a query whose answer is more than a socket's buffers hold
MEGABYTE = b"x" * (1 << 20)
AWAY = "10.79.0.1"  # an address of the loopback interface, which comes and goes
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: socket(7)
BURST = 50  # ports, or connections, of a scan at once


class Rude:
    """The clients of one kind. `turn`: what each does again and again, told its own number."""

    def __init__(self, name: str) -> None:
        self.clients, self._turn = KINDS[name]
        self.done = 0
        self.failed = 0
        self.all_here = asyncio.Event()
        self._here: set[int] = set()

    async def run(self, number: int) -> None:
        """Be one client."""
        while True:
            try:
                await self._turn(self, number)
            except OSError:  # the service has closed, or reset: that is its right
                self.failed += 1
                await asyncio.sleep(0.1)
            self.done += 1
            self.here(number)

    def here(self, number: int) -> None:
        """Client `number` has come as far as it means to."""
        self._here.add(number)
        if len(self._here) == self.clients:
            self.all_here.set()


def new_socket(host: str = HOSTS[0]) -> socket.socket:
    """Return a socket to ask `host` by."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setblocking(False)
    return made


async def connect(buffer: int = 0) -> socket.socket:
    """Return a new connection to the service; `buffer`: octets that it keeps unread, 0: many."""
    host = random.choice(HOSTS)
    made = new_socket(host)
    try:
        if buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        await asyncio.get_running_loop().sock_connect(made, (host, PORT))
    except BaseException:
        made.close()
        raise
    return made


async def send(sock: socket.socket, octets: bytes) -> None:
    """Send all octets."""
    await asyncio.get_running_loop().sock_sendall(sock, octets)


async def receive(sock: socket.socket, octets: int = 65536) -> bytes:
    """Return what comes next, at most so many octets; b"" at the end."""
    return await asyncio.get_running_loop().sock_recv(sock, octets)


async def read_all(sock: socket.socket) -> None:
    """Read up to the end."""
    while await receive(sock):
        pass


async def silent(rude: Rude, number: int) -> None:
    """Connect, and send nothing until the service has had enough."""
    with await connect() as sock:
        rude.here(number)
        await read_all(sock)


async def slow(rude: Rude, number: int) -> None:
    """Send one octet a second."""
    with await connect() as sock:
        rude.here(number)
        while True:
            await send(sock, b"x")
            await asyncio.sleep(1)


async def deaf(rude: Rude, number: int) -> None:
    """Ask for a large answer and never read it."""
    with await connect(buffer=4096) as sock:
        await send(sock, LARGE)
        rude.here(number)
        await asyncio.sleep(random.uniform(5, 10))


async def talker(_: Rude, __: int) -> None:
    """Send a MiB that is no line."""
    with await connect() as sock:
        await send(sock, MEGABYTE)
        await read_all(sock)
    await asyncio.sleep(0.2)


async def resetter(_: Rude, number: int) -> None:
    """Reset a connection: a new one, within the line, behind it, or within the answer."""
    with await connect(buffer=4096) as sock:
        if octets := (b"", b"mos", LINE, LARGE)[number % 4]:
            await send(sock, octets)
        if octets == LARGE:
            await receive(sock, 4096)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    await asyncio.sleep(0.05)


async def half_open(_: Rude, number: int) -> None:
    """Send FIN at once, within the line or behind it, and stay."""
    with await connect() as sock:
        if octets := (b"", b"mos", LINE)[number % 3]:
            await send(sock, octets)
        sock.shutdown(socket.SHUT_WR)
        await read_all(sock)
        await asyncio.sleep(0.5)


async def vanishing(rude: Rude, number: int) -> None:
    """Take a network away from under 300 connections, so that neither FIN nor reset comes."""
    with contextlib.ExitStack() as gone:
        ip("add")
        try:
            for place in range(300):
                sock = gone.enter_context(new_socket())
                sock.bind((AWAY, 0))
                await asyncio.get_running_loop().sock_connect(sock, (HOSTS[0], PORT))
                if octets := (b"", b"mos", LARGE)[place % 3]:
                    await send(sock, octets)
        finally:
            ip("del")
        rude.here(number)
        await asyncio.sleep(5)


async def scan(_: Rude, __: int) -> None:
    """Look which ports are open: by SYN alone, and by connections that are closed at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        for port in [*random.sample(range(1, 1024), BURST // 2), *[PORT] * (BURST // 2)]:
            raw.sendto(syn(random.randrange(1024, 32768), port), (HOSTS[0], 0))
    for _number in range(BURST):
        (await connect()).close()
    await asyncio.sleep(0.1)


def syn(source: int, port: int) -> bytes:
    """Return a segment that asks 127.0.0.1 for a connection; who made none resets what comes back:
    RFC 9293 §3.1 and §3.5.2.
    """
    address = socket.inet_aton(HOSTS[0])
    number, header, flag = random.randrange(1 << 32), 5 << 4, 2
    octets = struct.pack("!HHIIBBHHH", source, port, number, 0, header, flag, 1024, 0, 0)
    pseudo = address + address + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(octets)) + octets
    total = sum(word for (word,) in struct.iter_unpack("!H", pseudo))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return octets[:16] + struct.pack("!H", ~total & 0xFFFF) + octets[18:]


def ip(what: str) -> None:
    """Have the loopback interface get or lose the address AWAY."""
    subprocess.run(["ip", "address", what, f"{AWAY}/32", "dev", "lo"], check=True)


KINDS: dict[str, tuple[int, Callable[[Rude, int], Awaitable[None]]]] = {
    "silent": (5000, silent),
    "slow": (1000, slow),
    "deaf": (500, deaf),
    "talkers": (16, talker),
    "resetters": (64, resetter),
    "half-open": (300, half_open),
    "vanishing": (1, vanishing),
    "scans": (4, scan),
}


async def main(names: list[str]) -> None:
    """Be rude in all the ways that `names` name."""
    enough = asyncio.Event()
    loop = asyncio.get_running_loop()

    def watch() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(enough.set)

    threading.Thread(target=watch, daemon=True).start()
    rudes = {name: Rude(name) for name in names}
    tasks = [
        loop.create_task(rude.run(number))
        for rude in rudes.values()
        for number in range(rude.clients)
    ]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SECONDS):
            for rude in rudes.values():
                await rude.all_here.wait()
            print("here", flush=True)
            await enough.wait()
    done = Counter({name: rude.done for name, rude in rudes.items()})
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    print(json.dumps(done))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    asyncio.run(main(sys.argv[1:]))
