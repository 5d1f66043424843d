# SPDX-License-Identifier: MIT
"""The pages in w3m and lynx, which have no stylesheet: as in the folder expected/.

Their versions differ in blank lines, in the space before a line and in the sign before an item;
those are left out here.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ....helpers import needs
from ....helpers.pages import site

EXPECTED = Path(__file__).parent / "expected"
BROWSERS = {
    "w3m": ["-dump", "-cols", "80", "-T", "text/html", "-I", "UTF-8", "-O", "UTF-8"],
    "lynx": [
        *("-dump", "-nolist", "-width=80", "-force_html", "-stdin"),
        *("-assume_charset=utf-8", "-display_charset=utf-8"),
    ],
}
PAGES = {"alice": "/~alice", "sessions": "/", "plans": "/plans", "nobody": "/~nobody"}
SIGNS = "•*+o "  # before an item


def dumped(browser: str, path: str, home: Path) -> str:
    """Return what a browser shows of a page."""
    needs.programs(browser)
    needs.modules("jinja2")
    done = subprocess.run(
        [browser, *BROWSERS[browser]],
        input=site()[path].octets,
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        timeout=60,
        check=True,
    )
    return done.stdout.decode()


def lines(dump: str) -> list[str]:
    """Return what is compared."""
    return [line.strip().lstrip(SIGNS) for line in dump.splitlines() if line.strip()]


@pytest.fixture(autouse=True)
def _here_it_is_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("browser", BROWSERS)
def test_a_text_browser_shows_a_page(browser: str, page: str, tmp_path: Path) -> None:
    expected = EXPECTED / f"{page}.{browser}.txt"
    found = dumped(browser, PAGES[page], tmp_path)
    assert lines(found) == lines(expected.read_text(encoding="utf-8"))
