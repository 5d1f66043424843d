# SPDX-License-Identifier: MIT
"""Imports point down only, the sans-I/O rooms know no I/O, and a start imports nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fingerd_sd"

# The house, from the ground up: a room may know those of its own storey and below.
STOREYS = [
    {"query", "entry", "text", "config", "cache", "pool", "journal", "systemd", "__init__"},
    {"hosts", "resolve"},
    {"policy", "presence", "reply", "directory", "sources", "forward", "sandbox"},
    {"ruip", "explain", "limited"},
    {"connection", "server"},
    {"service"},
    {"settings"},
    {"cli"},
    {"__main__"},
]
SANS_IO = {"query", "text", "entry", "presence", "reply", "hosts", "policy", "cache", "limited"}
IO = {"asyncio", "socket", "time", "select", "selectors", "threading", "subprocess", "os"}
WEB = {  # what only a configuration with a web source needs, and where
    "fingerd_sd.sources.web_client": {"aiohttp", "multidict", "yarl"},
    "fingerd_sd.sources.web_text": {"lxml"},
}
NO_FINGER = {"config", "systemd", "cache", "pool", "journal"}
# Dear, and needed by few configurations, by mistakes or by people at a terminal only.
HEAVY = {
    "aiohttp",
    "lxml",
    "argparse",
    "ctypes",
    "dataclasses",
    "dbus_fast",
    "email",
    "fingerd_sd.forward",
    "http",
    "difflib",
    "importlib.metadata",
    "sqlite3",
    "systemd",
}
# What else a module may import.
FOREIGN = {
    "fingerd_sd.systemd": {"systemd"},
    "fingerd_sd.sources.logind": {"dbus_fast"},
    **WEB,
}


def room_of(module: str) -> str:
    """Return the room of a module's dotted name: `sources` for all in it."""
    return [*module.split("."), "__init__"][1]


def modules() -> dict[str, ast.Module]:
    """Return all modules of the package by their dotted names."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)
        found[name] = ast.parse(file.read_text())
    return found


MODULES = modules()


def imports(node: ast.AST) -> Iterator[str]:
    """Yield what is imported anywhere below `node`, but for what only a type checker sees."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        for other in node.orelse:
            yield from imports(other)
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute here"
        assert node.module is not None
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            if whole not in MODULES:  # a name in a module, not a module in a package
                whole = "fingerd_sd.__init__" if node.module == "fingerd_sd" else node.module
            yield whole
    else:
        for child in ast.iter_child_nodes(node):
            yield from imports(child)


IMPORTS = {name: set(imports(tree)) for name, tree in MODULES.items()}
OURS = {
    name: {other for other in imported if other.partition(".")[0] == "fingerd_sd"}
    for name, imported in IMPORTS.items()
}


def reached_from(name: str) -> set[str]:
    """Return all modules of the package that importing `name` imports."""
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module in MODULES and module not in reached:
            reached.add(module)
            waiting += OURS[module]
    return reached


def test_every_module_has_a_room() -> None:
    rooms = {room_of(name) for name in MODULES}
    assert rooms == set().union(*STOREYS)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name: str) -> None:
    storey = {room: number for number, rooms in enumerate(STOREYS) for room in rooms}
    above = {other for other in OURS[name] if storey[room_of(other)] > storey[room_of(name)]}
    assert above == set()


@pytest.mark.parametrize("name", MODULES)
def test_no_imports_go_in_circles(name: str) -> None:
    for other in OURS[name] & set(MODULES):
        assert name not in reached_from(other)


@pytest.mark.parametrize("name", MODULES)
def test_only_one_room_knows_systemd(name: str) -> None:
    foreign = {other.partition(".")[0] for other in IMPORTS[name]}
    assert ("systemd" in foreign) is (name == "fingerd_sd.systemd")


@pytest.mark.parametrize("room", sorted(SANS_IO))
def test_a_room_without_io_imports_none(room: str) -> None:
    foreign = {other.partition(".")[0] for other in IMPORTS[f"fingerd_sd.{room}"]}
    assert foreign & IO == set()


@pytest.mark.parametrize("room", sorted(SANS_IO))
def test_a_room_without_io_reaches_no_loop_no_socket_and_no_clock(room: str) -> None:
    for module in reached_from(f"fingerd_sd.{room}"):
        foreign = {other.partition(".")[0] for other in IMPORTS[module]}
        assert foreign & {"asyncio", "socket", "time"} == set(), module


@pytest.mark.parametrize("room", sorted(NO_FINGER))
def test_a_room_that_knows_no_finger_imports_none(room: str) -> None:
    assert OURS[f"fingerd_sd.{room}"] == set()


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_imported_but_the_standard_library_and_two_others(name: str) -> None:
    foreign = {other.partition(".")[0] for other in IMPORTS[name]}
    assert foreign <= {*sys.stdlib_module_names, "fingerd_sd", *FOREIGN.get(name, ())}


def test_sources_know_neither_clients_nor_layouts() -> None:
    for name in MODULES:
        if room_of(name) == "sources":
            assert {room_of(other) for other in OURS[name]} & {"policy", "reply"} == set()


STARTED = {
    "static": "",
    "accounts": "",
    "command": 'argv = ["/bin/echo", "{user}"]\n',
    "web": 'url = "https://example.org/{user}"\n',
}


@pytest.mark.parametrize("source", STARTED)
def test_a_start_imports_nothing_heavy(source: str, tmp_path: Path) -> None:
    """A start is what the first client waits for."""
    if source == "web":
        pytest.importorskip("aiohttp")
    config = tmp_path / "fingerd.toml"
    config.write_text(f'[[source]]\ntype = "{source}"\n{STARTED[source]}')
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from fingerd_sd import cli, service
async def run(self):
    print(*sys.modules, sep="\\n")
service.Service.run = run
sys.exit(cli.serve(Path({str(config)!r}), [("127.0.0.1", 0)]))
"""
    done = subprocess.run(
        # Without site, so that nothing is imported by others; but aiohttp must be found.
        [sys.executable, "-I", *(() if source == "web" else ("-S",)), "-c", program],
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    imported = set(done.stdout.split())
    assert f"fingerd_sd.sources.{source}" in imported
    assert imported & HEAVY == set()
    for other in set(STARTED) - {source}:
        assert f"fingerd_sd.sources.{other}" not in imported
