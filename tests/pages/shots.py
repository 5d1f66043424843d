# SPDX-License-Identifier: MIT
"""shots FOLDER: take the screenshots that the documents show, as small PNGs.

They are for people to look at, and no test compares them: another font would be another picture.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

from ..helpers.pages import site
from .chromium import Screen, browser, served

DESKTOP, PHONE = Screen(1100, 1000), Screen(375, 812)
SHOTS = {
    "desktop": ("/~alice", DESKTOP),
    "dark": ("/~alice", DESKTOP._replace(dark=True)),
    "phone": ("/~alice", PHONE),
    "zoomed": ("/~alice", DESKTOP._replace(zoom=2)),
    "sessions": ("/", DESKTOP._replace(height=620)),
    "plans": ("/plans", PHONE._replace(dark=True)),
    "sentence": ("/~nobody", DESKTOP._replace(height=220)),
    "right-to-left": ("/~zahra", PHONE),
}


async def take(folder: Path) -> None:
    """Take all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    async with served(site()) as root, browser() as tab:
        for name, (path, screen) in SHOTS.items():
            await tab.show(root + path, screen)
            file = folder / f"{name}.png"
            file.write_bytes(await tab.picture())
            smaller(file)


def smaller(file: Path) -> None:
    """Have a PNG take less room, with at most 64 colours, if there are programs for that."""
    if shutil.which("pngquant"):
        subprocess.run(["pngquant", "--force", "--strip", "--output", file, "64", file], check=True)
    if shutil.which("optipng"):
        subprocess.run(["optipng", "-quiet", "-o5", "-strip", "all", file], check=True)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
