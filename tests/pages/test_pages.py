# SPDX-License-Identifier: MIT
"""What a validator and a browser say of the pages: no error, no barrier, nothing from elsewhere."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from fingerd_sd.policy.audience import SESSIONS, Audience
from fingerd_sd.protocol.entry import ATOMS

from ..helpers import needs
from ..helpers.houses import VILLAGE, networks, static
from ..helpers.pages import PAGES, site
from .conftest import TOOLS

needs.modules("aiohttp", "jinja2")
from ..helpers.visits import visiting  # noqa: E402  # where these are there
from .chromium import Screen, browser, served  # noqa: E402

DESKTOP, PHONE = Screen(1100, 1000), Screen(375, 812)
MAX_PICTURE = 60_000  # octets: each clone of the project has all of them
SCREENS = {
    "light": DESKTOP,
    "dark": DESKTOP._replace(dark=True),
    "phone": PHONE,
    "dark phone": PHONE._replace(dark=True),
    "200 %": DESKTOP._replace(zoom=2),
    "400 %": Screen(1280, 1024, zoom=4),  # WCAG 2.2, 1.4.10: 320 pixels of CSS
    "phone, 200 %": PHONE._replace(zoom=2),
}


def tool(path: str, program: str) -> str:
    """Need a tool from npm, and the program that runs it; return the tool's path."""
    needs.programs(program)
    if not (TOOLS / path).exists():
        needs.cannot_run(f"missing: {path.partition('/')[0]}; make pages")
    return str(TOOLS / path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the pages and their stylesheet as files."""
    for path in PAGES:
        name = path.strip("/~") or "index"
        (tmp_path / f"{name}.html").write_bytes(site()[path].octets)
    (tmp_path / "style.css").write_bytes(site()["/style.css"].octets)
    return tmp_path


def test_the_nu_html_checker_finds_no_error(folder: Path) -> None:
    """https://validator.github.io/validator/, of the W3C: of pages, and of what they look like."""
    checker = tool("vnu-jar/build/dist/vnu.jar", "java")
    for kind in ("html", "css"):
        files = sorted(folder.glob(f"*.{kind}"))
        argv = ["java", "-jar", checker, "--format", "json", *(["--css"] if kind == "css" else [])]
        done = subprocess.run(
            [*argv, *files], check=False, capture_output=True, text=True, timeout=300
        )
        assert json.loads(done.stderr)["messages"] == []
        assert done.returncode == 0


@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_no_barrier_and_the_browser_no_fault(screen: str) -> None:
    """https://github.com/dequelabs/axe-core, with all rules that are on by default."""
    axe = Path(tool("axe-core/axe.min.js", "chromium")).read_text(encoding="utf-8")

    async def examine() -> dict[str, object]:
        faults: dict[str, object] = {}
        async with served(site()) as root, browser() as tab:
            for path in PAGES:
                await tab.show(root + path, SCREENS[screen])
                await tab.value_of(f"{axe};0")
                found = await tab.value_of("axe.run().then(found => JSON.stringify(found))")
                violations = json.loads(found)["violations"]
                assert json.loads(found)["passes"]
                wide = await tab.value_of(
                    "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
                )
                if violations or wide > 0:
                    faults[path] = (violations, wide)
            faults |= {asked: "asked for" for asked in tab.asked if not asked.startswith(root)}
            # That a page was not found is told as well.
            faults |= {it: "complaint" for it in tab.complaints if "404 (Not Found)" not in it}
        return faults

    assert asyncio.run(examine()) == {}


def test_the_pictures_of_the_documents_are_small() -> None:
    pictures = list((Path(__file__).parents[2] / "docs/pages").glob("*.png"))
    assert pictures
    assert max(picture.stat().st_size for picture in pictures) < MAX_PICTURE


def test_a_browser_takes_what_the_service_serves() -> None:
    """With its headers: the policy of the pages, which allows the stylesheet and no more."""
    needs.programs("chromium")
    here = Audience("here", networks("127.0.0.0/8"), frozenset(ATOMS), SESSIONS, rate=0)

    async def look() -> tuple[list[str], list[str], list[str]]:
        seen = []
        async with visiting(static(VILLAGE), audiences=[here]) as it, browser() as tab:
            root = "http://{}:{}".format(*it.address)
            for path in ("/", "/~alice", "/~moshez", "/~nobody", "/no/such/page"):
                await tab.show(root + path, DESKTOP._replace(dark=True))
                seen.append(await tab.value_of("document.querySelector('h1').textContent"))
                # As the stylesheet has it, in the dark.
                assert (
                    await tab.value_of("getComputedStyle(document.documentElement).backgroundColor")
                    == "rgb(22, 21, 19)"
                )
            await tab.show(f"{root}/", PHONE)
            await tab.value_of("document.querySelector('a[href=\"~alice\"]').click()")
            await tab.loaded()
            seen.append(await tab.value_of("document.title"))
            elsewhere = [asked for asked in tab.asked if not asked.startswith(f"{root}/")]
            return seen, elsewhere, [it for it in tab.complaints if "404 (Not Found)" not in it]

    seen, elsewhere, complaints = asyncio.run(look())
    assert seen == [
        *("Who is here", "Alice Liddell", "moshez", "No such user", "No such page"),
        "Alice Liddell (alice@example.org)",
    ]
    assert (elsewhere, complaints) == ([], [])


def test_a_page_with_a_barrier_is_found() -> None:
    """The tools look at what is there: a page that is worse than ours fails them."""
    axe = Path(tool("axe-core/axe.min.js", "chromium")).read_text(encoding="utf-8")
    page = site()["/"]
    worse = page.octets.replace(b"<main>", b"<div>").replace(b"</main>", b"</div><img src=x>")

    async def violated() -> set[str]:
        async with served({"/": page._replace(octets=worse)}) as root, browser() as tab:
            await tab.show(root + "/", DESKTOP)
            await tab.value_of(f"{axe};0")
            found = await tab.value_of("axe.run().then(found => JSON.stringify(found))")
            return {violation["id"] for violation in json.loads(found)["violations"]}

    assert {"image-alt", "landmark-one-main"} <= asyncio.run(violated())
