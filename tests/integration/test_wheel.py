# SPDX-License-Identifier: MIT
"""The wheel by itself: in a virtual environment with nothing else in it, not even systemd's module.

The wheel depends on nothing, so that nothing is downloaded.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from ..helpers.builds import dist, run
from .process import PATIENCE, ROOT, configured, everything, listener, serving

SUFFIXES = (".py", ".html", ".css")  # of what the package consists of
MOSHEZ = '[[source]]\ntype = "static"\nusers = { moshez = "Happy and well" }\n'


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command fingerd-sd of a virtual environment that has the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = str(folder / "bin/python")
    (wheel,) = dist().glob("*.whl")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", str(wheel))
    assert (
        run(python, "-c", "import importlib.util as u; print(u.find_spec('systemd'))") == "None\n"
    )
    return str(folder / "bin/fingerd-sd")


def test_twine_finds_nothing_to_complain_about() -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, dist().iterdir()))


def test_the_archive_has_what_distributions_package() -> None:
    (path,) = dist().glob("*.tar.gz")
    with tarfile.open(path) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        "LICENSE",
        "Makefile",
        "README.md",
        "packaging/arch/PKGBUILD",
        "packaging/catalog/fingerd-sd.catalog",
        "packaging/completion/fingerd-sd",
        "packaging/debian/rules",
        "packaging/example/fingerd.toml",
        "packaging/fedora/fingerd-sd.spec",
        "packaging/man/fingerd-sd.8",
        "tests/integration/test_wheel.py",
        "units/finger.service.d/static-only.conf",
        "units/finger.socket",
    ):
        assert name in inside
    assert not {name for name in inside if name.startswith((".", "build", "dist"))}


def test_the_wheel_has_the_package_and_nothing_else() -> None:
    (path,) = dist().glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    package = ROOT / "fingerd_sd"
    there = {str(path.relative_to(ROOT)) for path in package.rglob("*") if path.suffix in SUFFIXES}
    assert inside == there | {"fingerd_sd/py.typed"}


def test_it_serves_at_an_address_of_its_own(command: str, tmp_path: Path) -> None:
    config = configured(tmp_path, MOSHEZ)
    process = subprocess.Popen(
        [command, "serve", "--config", config, "--listen", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        env={},
        cwd="/",
        text=True,
    )
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        serving_at = re.search(r"Serving 127\.0\.0\.1:(\d+)$", told)
        assert serving_at, told
        with socket.create_connection(("127.0.0.1", int(serving_at[1])), PATIENCE) as client:
            client.sendall(b"moshez\r\n")
            assert everything(client) == b"Happy and well\r\n"
        process.terminate()
        assert process.wait(PATIENCE) == 0
        assert "systemd" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def test_systemd_is_told_without_its_module(command: str, tmp_path: Path) -> None:
    arguments = ("--config", configured(tmp_path, MOSHEZ), "--listen", "127.0.0.1:0")
    with serving(
        [], tmp_path, *arguments, command=(command, "serve"), PYTHONPATH=""
    ) as running:  # which waits for READY=1
        assert running.stop() == 0
        assert "python3-systemd" not in running.stderr()


def test_sockets_that_systemd_passes_cannot_be_had_without_its_module(
    command: str, tmp_path: Path
) -> None:
    with (
        listener() as sock,
        serving(
            [sock], tmp_path, command=(command, "serve"), ready=False, PYTHONPATH=""
        ) as running,
    ):
        assert running.exit_status() == 78
        (told,) = [line for line in running.stderr().splitlines() if "python3-systemd" in line]
        assert "systemd passed sockets" in told
