# SPDX-License-Identifier: MIT
"""Rates of several servers behind a balancer: what a client gets, and what another way costs.

Prints two Markdown tables. The first has how many answers a client gets at once from two servers
behind HAProxy, which deals its connections out in two ways. The second has the processor time that
it would take to count in a store instead.

    python3 -m tests.bench.rates
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from . import peers
from .process import Server, ask, listen

EXAMPLE = Path(__file__).parents[2] / "packaging/example/haproxy/haproxy.cfg"
RATE = 120
QUERIES = 400  # of one client, at once
CLIENTS = ("127.0.0.5", "127.0.0.9", "127.0.3.4")
ROUNDS, ASKED, TOGETHER = 5, 2000, 100
BALANCER = """\
global
defaults
frontend finger
    mode tcp
    bind 127.0.0.1:{port}
    timeout client 60s
    default_backend finger
backend finger
    mode tcp
    {balance}
    timeout connect 5s
    timeout server 60s
    default-server send-proxy-v2
    server one 127.0.0.1:{one}
    server two 127.0.0.1:{two}
"""
COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('EXPIRE', KEYS[1], 60) end
return count
"""


def example() -> str:
    """Return how the example deals connections out."""
    lines = EXAMPLE.read_text().splitlines()
    return "\n    ".join(
        line.strip() for line in lines if line.strip().startswith(("balance ", "hash-type "))
    )


def answered(port: int, client: str) -> int:
    """Return how many of QUERIES of `client` the servers behind `port` answer."""
    count = 0
    for _ in range(QUERIES):
        with socket.create_connection(("127.0.0.1", port), 30, (client, 0)) as sock:
            sock.sendall(b"moshez\r\n")
            with sock.makefile("rb") as answer:
                count += answer.read() == peers.ANSWER
    return count


def behind(balance: str) -> list[int]:
    """Return how many answers each of CLIENTS gets from two servers with RATE behind HAProxy."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        conf = peers.config(Path(name), False, f"{peers.MOSHEZ}\n[[audience]]\nrate = {RATE}")
        conf.write_text(conf.read_text() + 'name = "all"\nnetworks = ["0.0.0.0/0", "::/0"]\n')
        peer = replace(
            peers.ours("behind", "", conf),
            environment={"LISTEN_FDNAMES": "proxy"},
            user=peers.HEADER.replace("127.0.0.1 127.0.0.1", "192.0.2.1 192.0.2.2") + "moshez",
        )
        one, two = (stack.enter_context(Server(peer)) for _ in range(2))
        with closing(listen()) as free:
            port = int(free.getsockname()[1])
        file = Path(name, "haproxy.cfg")
        file.write_text(BALANCER.format(port=port, balance=balance, one=one.port, two=two.port))
        balancer = subprocess.Popen(["haproxy", "-q", "-db", "-f", file])
        stack.callback(balancer.wait)
        stack.callback(balancer.terminate)
        for _ in range(100):  # until it listens
            try:
                ask(port, b"nobody")
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        return [answered(port, client) for client in CLIENTS]


async def counted(path: str) -> tuple[float, float]:
    """Return the processor microseconds of this process for a count in the store at `path`: asked
    for each query, and for one of TOGETHER clients whose counts are sent together.
    """
    from redis.asyncio import Redis

    store = Redis(unix_socket_path=path)
    try:
        script = store.register_script(COUNT)
        await script(keys=["first"])
        begun = time.process_time()
        for number in range(ASKED):
            await script(keys=[f"client{number % 50}"])
        each = (time.process_time() - begun) / ASKED
        begun = time.process_time()
        for _ in range(ASKED // TOGETHER):
            together = store.pipeline(transaction=False)
            for number in range(TOGETHER):
                together.incrby(f"client{number}", 3)
            await together.execute()
        return each * 1e6, (time.process_time() - begun) / ASKED * 1e6
    finally:
        await store.close()


def counts() -> list[tuple[float, float]]:
    """Return what `counted` does, ROUNDS times, beside a store of its own."""
    server = shutil.which("redis-check-rdb")  # the server too, under another name
    with TemporaryDirectory() as name:
        path = f"{name}/store.sock"
        options = ("--port", "0", "--unixsocket", path, "--save", "")
        store = subprocess.Popen(
            ["redis-server", *options], executable=server, cwd=name, stdout=subprocess.DEVNULL
        )
        try:
            while not Path(path).exists() and store.poll() is None:
                time.sleep(0.05)
            return [asyncio.run(counted(path)) for _ in range(ROUNDS)]
        finally:
            store.terminate()
            store.wait()


def main() -> int:
    """Print the tables."""
    for program, package in (("haproxy", "haproxy"), ("redis-check-rdb", "redis-tools")):
        if shutil.which(program) is None:
            print(f"missing: {program}; apt install {package}", file=sys.stderr)
            return 1
    print(f"| balance | answers of {QUERIES}, rate = {RATE}, {len(CLIENTS)} clients |\n|---|---|")
    for balance in ("balance leastconn", example()):
        told = ", ".join(map(str, behind(balance)))
        print(f"| {' and '.join(line.strip() for line in balance.splitlines())} | {told} |")
    each, together = (min(column) for column in zip(*counts(), strict=True))
    print("\n| to count in a store | processor µs of the server, without the store's |\n|---|--:|")
    print(f"| at each query | {each:.0f} |")
    print(f"| for {TOGETHER} clients together, each | {together:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
