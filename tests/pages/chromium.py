# SPDX-License-Identifier: MIT
"""A headless Chromium, told what to do by its DevTools protocol, and a server for its pages.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from fingerd_sd.serving.web.replies import SAFE

from ..helpers.pages import Answer

STARTS = 60.0  # seconds for the browser to start
ANSWERS = 60.0  # seconds for one command


class Screen(NamedTuple):
    """What a page is shown on. `zoom`: of the page, as by the browser's menu; 2 is 200 %."""

    width: int
    height: int
    dark: bool = False
    zoom: float = 1

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of Emulation.setDeviceMetricsOverride: zooming in is a smaller
        screen of larger pixels.
        """
        return {
            "width": round(self.width / self.zoom),
            "height": round(self.height / self.zoom),
            "deviceScaleFactor": self.zoom,
            "mobile": False,
        }


class Browser:
    """One tab of a browser. What its pages asked for is in `asked`, what they complained of in
    `complaints`.
    """

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self._socket = socket
        self._number = 0

    async def show(self, address: str, screen: Screen) -> None:
        """Show the page at `address` on `screen`, and wait until it is whole."""
        await self.tell("Emulation.setDeviceMetricsOverride", **screen.parameters())
        scheme = {"name": "prefers-color-scheme", "value": "dark" if screen.dark else "light"}
        await self.tell("Emulation.setEmulatedMedia", features=[scheme])
        said = await self.tell("Page.navigate", url=address)
        assert "errorText" not in said, said
        await self.loaded()

    async def loaded(self) -> None:
        """Wait until the next page is whole."""
        while (await self._hear()).get("method") != "Page.loadEventFired":
            pass

    async def value_of(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, or of the promise that it is."""
        said = await self.tell(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    async def picture(self) -> bytes:
        """Return what the screen shows, as a PNG."""
        said = await self.tell("Page.captureScreenshot", format="png")
        return base64.b64decode(said["data"])

    async def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have the browser do one thing; return what it answers."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            said = await self._hear()
            if said.get("id") == self._number:
                assert "error" not in said, said
                result: dict[str, Any] = said["result"]
                return result

    async def _hear(self) -> dict[str, Any]:
        message = await self._socket.receive(ANSWERS)
        assert message.type is WSMsgType.TEXT, message
        said: dict[str, Any] = message.json()
        match said.get("method"):
            case "Network.requestWillBeSent":
                self.asked.append(said["params"]["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(said["params"]["entry"]["text"])
        return said


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Run a browser of one's own, with nothing kept of it."""
    with tempfile.TemporaryDirectory(prefix="chromium-") as folder:
        # Without its own sandbox, which the superuser cannot have: it shows our pages only.
        process = await asyncio.create_subprocess_exec(
            "chromium",
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
            "about:blank",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            port = await asyncio.wait_for(_port_of(process), STARTS)
            async with (
                ClientSession() as session,
                session.ws_connect(await _tab(session, port), max_msg_size=0) as socket,
            ):
                one = Browser(socket)
                for domain in ("Page", "Network", "Log", "Runtime"):
                    await one.tell(f"{domain}.enable")
                yield one
        finally:
            process.terminate()
            await process.communicate()


async def _port_of(process: asyncio.subprocess.Process) -> int:
    """Return the port that the browser tells of."""
    assert process.stderr is not None
    said = b""
    async for line in process.stderr:
        said += line
        if line.startswith(b"DevTools listening on ws://"):
            return int(line.split(b":")[2].partition(b"/")[0])
    raise AssertionError(f"the browser ended: {said.decode(errors='replace')}")


async def _tab(session: ClientSession, port: int) -> str:
    async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
        tabs = await response.json()
    return next(str(tab["webSocketDebuggerUrl"]) for tab in tabs if tab["type"] == "page")


@asynccontextmanager
async def served(site: Mapping[str, Answer]) -> AsyncIterator[str]:
    """Serve `site` on a port of this machine; yield the address of its root."""

    async def answer(request: web.Request) -> web.Response:
        found = site.get(request.path, Answer(404, "text/plain", b"Nothing here\n"))
        headers = {**SAFE, "Content-Type": found.type}
        return web.Response(status=found.status, body=found.octets, headers=headers)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        listener = web.TCPSite(runner, "127.0.0.1", 0)
        await listener.start()
        _, port = runner.addresses[0]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
