# SPDX-License-Identifier: MIT
"""The role publish where hosts share a store: what users publish goes there, not into a file."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
from pathlib import Path

from fingerd_sd.commands.roles.publish import load_setup
from fingerd_sd.config.publish import PublishKeys
from fingerd_sd.serving.publishing.client import exchange
from fingerd_sd.serving.publishing.service import Publishing
from fingerd_sd.serving.publishing.wire import Request
from fingerd_sd.serving.publishing.writing.choosing import MOVED, move
from fingerd_sd.serving.publishing.writing.threaded import Embedded
from fingerd_sd.sources.published.store import FILE
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


def test_what_is_in_a_file_comes_to_the_store_when_that_can_be_asked(tmp_path: Path) -> None:
    me, uid = ME, os.getuid()
    state = tmp_path / "state"
    state.mkdir()

    async def before() -> None:
        embedded = Embedded(str(state))
        for login, owner, plan in ((me, uid, "Old\n"), ("nobody-at-all", 70001, "x\n")):
            asked = Request("publish", {"plan": plan})
            await embedded.publish(login, owner, asked, PublishKeys(), 5.0)
        await embedded.close()

    def moved() -> list[str]:
        return [file.name for file in state.iterdir() if file.name.startswith(MOVED)]

    async def scenario(running: Running) -> None:
        await before()
        running.stop()
        served = Publishing(
            asyncio.get_running_loop(), load_setup(configured(tmp_path, running)), str(state)
        )
        served.start([])
        async with asyncio.timeout(60):
            while not served.trouble:
                await asyncio.sleep(0.01)
            assert (state / FILE).exists()
            running.start()
            while not moved():
                await asyncio.sleep(0.01)
        assert not (state / FILE).exists()
        probe = Server(running.keys()).hold()
        found = await probe.call("HMGET", probe.names.person(me), "plan", "at", "host", "uid")
        assert found == [b"Old\n", b"5.0", b"login1", str(uid).encode()]
        assert await probe.call("EXISTS", probe.names.person("nobody-at-all")) == 0
        # What is in a file that comes later does not replace what the store has.
        await before()
        served.use(load_setup(configured(tmp_path, running)))
        await probe.call("HSET", probe.names.person(me), "plan", "Newer\n")
        await move(str(state), served._keeper.writing)
        assert len(moved()) == 2
        assert await probe.call("HGET", probe.names.person(me), "plan") == b"Newer\n"
        await probe.close()
        await served.close()

    with store(tmp_path) as running:
        run(scenario(running))
