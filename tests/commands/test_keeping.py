# SPDX-License-Identifier: MIT
"""The role publish where hosts share a store: what users publish goes there, not into a file."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
from pathlib import Path

from fingerd_sd.commands.roles.publish import load_setup
from fingerd_sd.serving.publishing.client import exchange
from fingerd_sd.serving.publishing.service import Publishing
from fingerd_sd.store.server import Server

from ..helpers.store import Running, store
from ..helpers.wire import run

PLAN = b'{"do": "publish", "set": {"plan": "Curiouser\\n"}}\n'
ME = pwd.getpwuid(os.getuid()).pw_name


def configured(folder: Path, running: Running) -> Path:
    """Return a configuration with the store, where everybody may publish."""
    file = folder / "fingerd.toml"
    file.write_text(
        f'[store]\nurl = "unix://{running.socket}"\nhost = "login1"\n'
        '[[source]]\ntype = "published"\nmin_uid = 0\nmax_uid = 4294967294\n'
    )
    return file


def test_what_is_published_goes_to_the_store_also_after_a_reload(tmp_path: Path) -> None:
    async def scenario(running: Running) -> None:
        config, path = configured(tmp_path, running), str(tmp_path / "publish")
        served = Publishing(asyncio.get_running_loop(), load_setup(config), str(tmp_path / "none"))
        probe = Server(running.keys()).hold()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            served.start([listener])
            for _ in range(3):
                said = await asyncio.to_thread(exchange, path, PLAN)
                assert b'"ok": true' in said
                served.use(load_setup(config))
            served.stop_accepting()
            await served.drain()
            found = await probe.call("HMGET", probe.names.person(ME), "plan", "host")
            assert found == [b"Curiouser\n", b"login1"]

            async def clients() -> int:
                return len((await probe.call("CLIENT", "LIST", "TYPE", "normal")).splitlines())

            async with asyncio.timeout(60):
                while await clients() > 3:  # of the keeper, of its sources, and this one
                    await asyncio.sleep(0.01)
            await served.close()
            async with asyncio.timeout(60):
                while await clients() > 1:
                    await asyncio.sleep(0.01)
        await probe.close()
        assert not (tmp_path / "none").exists()

    with store(tmp_path) as running:
        run(scenario(running))
