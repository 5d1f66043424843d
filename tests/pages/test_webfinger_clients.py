# SPDX-License-Identifier: MIT
"""WebFinger as clients read it that nobody here wrote: Debian's ruby-webfinger, the OpenID Connect
client that finds its issuer by it, and npm's webfinger.js. They ask a real process.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from fingerd_sd.serving.web.webfinger import PROFILE_PAGE

from ..helpers import needs
from ..integration.process import configured, listener, serving
from .conftest import HERE, TOOLS

AVATAR = "http://webfinger.net/rel/avatar"
ISSUER = "http://openid.net/specs/connect/1.0/issuer"
CONFIG = f"""
[web]
domains = ["localhost"]
links = [{{ rel = "{ISSUER}", href = "https://id.example.org/" }}]

[[audience]]
name = "elsewhere"
networks = ["192.0.2.0/24"]

[[source]]
type = "static"

[source.users.alice]
name = "Alice Liddell"
links = [
    {{ rel = "me", href = "https://social.example/@alice" }},
    {{ rel = "{AVATAR}", href = "https://example.org/alice.png", type = "image/png" }},
]

[source.users."bücher"]

[[source]]
type = "static"
audiences = ["elsewhere"]
users = {{ hidden = "nobody here may know" }}
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port on which a process serves CONFIG."""
    folder = tmp_path_factory.mktemp("web")
    config = configured(folder, CONFIG)
    with listener() as sock, serving([sock], folder, "--config", config, names="web") as running:
        yield sock.getsockname()[1]
        assert running.stop() == 0


def read_by(*command: str, **environment: str) -> Any:
    """Return what a client has read, once it has ended well."""
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def hrefs(document: Any) -> list[tuple[str, str]]:
    """Return the links that a client has read."""
    return [(link["rel"], link["href"]) for link in document["links"]]


OF_ALICE = [
    (PROFILE_PAGE, "https://localhost/~alice"),
    (ISSUER, "https://id.example.org/"),
    ("me", "https://social.example/@alice"),
    (AVATAR, "https://example.org/alice.png"),
]


def test_ruby_webfinger_and_an_openid_connect_client_read_it(port: int) -> None:
    needs.programs("ruby")
    read = read_by("ruby", str(HERE / "clients.rb"), f"localhost:{port}", LANG="C.UTF-8")
    assert read["alice"]["subject"] == "acct:alice@localhost"
    assert hrefs(read["alice"])[:4] == OF_ALICE
    assert hrefs(read["page"]) == [OF_ALICE[2]]
    assert read["international"] == "acct:b%C3%BCcher@localhost"
    assert read["issuer"] == "https://id.example.org/"
    assert read["absent"] == read["hidden"] == {"name": "WebFinger::NotFound", "status": 404}
    assert read["bad"] == {"name": "WebFinger::BadRequest", "status": 400}


def test_webfinger_js_reads_it(port: int) -> None:
    needs.programs("node")
    if not (TOOLS / "webfinger.js").exists():
        needs.cannot_run("missing: webfinger.js; make pages")
    client = str(HERE / "clients.cjs")
    read = read_by("node", client, f"localhost:{port}", NODE_PATH=str(TOOLS))
    assert read["alice"]["subject"] == "acct:alice@localhost"
    assert hrefs(read["alice"])[:4] == OF_ALICE
    assert read["name"] == "Alice Liddell"
    assert read["profiles"] == [OF_ALICE[0][1], OF_ALICE[2][1]]
    assert read["avatar"] == OF_ALICE[3][1]
    assert read["absent"] == read["hidden"] == {"name": "WebFingerError", "status": 404}
