# SPDX-License-Identifier: MIT
"""Imports point down only, the sans-I/O rooms know no I/O, and a start imports nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..helpers import needs

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fingerd_sd"

# The house, from the ground up: a floor may know itself and those before it.
FLOORS = (
    "config",
    "protocol",
    "process",
    "policy",
    "directory",
    "store",
    "sources",
    "serving",
    "commands",
    "__main__",
)
MAX_NAMES = 9  # folders and files that a level shows: what a reader takes in at a glance
MAX_LINES = 250  # of a file, unless its head says why
SANS_IO = ("protocol", "policy")
IO = {"asyncio", "socket", "time", "select", "selectors", "threading", "subprocess", "os"}
NO_FINGER = ("config", "process")  # but for what may be shown, and the names of the log's fields
# Dear, and needed by few configurations, by mistakes or by people at a terminal only.
HEAVY = {
    "aiohttp",
    "lxml",
    "argparse",
    "ctypes",
    "dataclasses",
    "dbus_fast",
    "email",
    "fingerd_sd.commands.roles.measuring",
    "fingerd_sd.serving.finger.forward",
    "fingerd_sd.serving.finger.proxied",
    "fingerd_sd.serving.metrics",
    "http",
    "jinja2",
    "difflib",
    "importlib.metadata",
    "markupsafe",
    "redis",
    "sqlite3",
    "systemd",
}
# What else a module may import.
FOREIGN = {
    "fingerd_sd.serving.metrics.page": {"prometheus_client"},
    "fingerd_sd.process.systemd": {"systemd"},
    "fingerd_sd.serving.web.forms.linking": {"markupsafe"},
    "fingerd_sd.serving.web.forms.page": {"jinja2", "markupsafe"},
    "fingerd_sd.sources.accounts.sessions.logind": {"dbus_fast"},
    "fingerd_sd.store.link": {"redis"},
    "fingerd_sd.sources.web.client": {"aiohttp", "multidict", "yarl"},
    "fingerd_sd.sources.web.text": {"lxml"},
    "fingerd_sd.serving.web.http.connection": {"aiohttp"},
    "fingerd_sd.serving.web.http.connections": {"aiohttp"},
    "fingerd_sd.serving.web.http.pieces": {"aiohttp", "multidict"},
    "fingerd_sd.serving.web.replies": {"multidict"},
    "fingerd_sd.serving.web.service": {"aiohttp", "multidict"},
    "fingerd_sd.serving.web.webfinger": {"idna"},
}


def floor_of(module: str) -> str:
    """Return the floor of a module's dotted name; "" for the package itself."""
    return [*module.split("."), ""][1]


def modules() -> dict[str, ast.Module]:
    """Return all modules of the package by their dotted names."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(file.read_text())
    return found


MODULES = modules()


def imports(node: ast.AST) -> Iterator[str]:
    """Yield what is imported anywhere below `node`, by what only a type checker sees too."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute here"
        assert node.module is not None
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            # A name in a module, or a module in a package.
            yield whole if whole in MODULES else node.module
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


def names_in(folder: Path) -> list[str]:
    """Return what a reader sees in `folder`: folders and files, but for what each package has."""
    own = ("__init__.py", "__main__.py", "__pycache__", "py.typed")
    return [path.name for path in folder.iterdir() if path.name not in own]


def test_every_module_has_a_floor() -> None:
    assert {floor_of(name) for name in MODULES} == {"", *FLOORS}


@pytest.mark.parametrize("folder", sorted({file.parent for file in PACKAGE.rglob("*.py")}))
def test_a_level_shows_few_names(folder: Path) -> None:
    assert len(names_in(folder)) <= MAX_NAMES


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")))
def test_a_file_fits_one_sitting(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")))
def test_a_file_says_first_what_it_is_for(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text()))


@pytest.mark.parametrize("name", MODULES)
def test_a_floor_knows_only_those_below(name: str) -> None:
    height = {"": -1} | {floor: number for number, floor in enumerate(FLOORS)}
    above = {other for other in OURS[name] if height[floor_of(other)] > height[floor_of(name)]}
    assert above == set()


@pytest.mark.parametrize("name", MODULES)
def test_no_imports_go_in_circles(name: str) -> None:
    for other in OURS[name] & set(MODULES):
        assert name not in reached_from(other)


@pytest.mark.parametrize("name", MODULES)
def test_only_one_module_knows_systemd(name: str) -> None:
    foreign = {other.partition(".")[0] for other in IMPORTS[name]}
    assert ("systemd" in foreign) is (name == "fingerd_sd.process.systemd")


@pytest.mark.parametrize("name", [name for name in MODULES if floor_of(name) in SANS_IO])
def test_a_floor_without_io_imports_none(name: str) -> None:
    foreign = {other.partition(".")[0] for other in IMPORTS[name]}
    assert foreign & IO == set()


@pytest.mark.parametrize("name", [name for name in MODULES if floor_of(name) in SANS_IO])
def test_a_floor_without_io_reaches_no_loop_no_socket_and_no_clock(name: str) -> None:
    for module in reached_from(name):
        foreign = {other.partition(".")[0] for other in IMPORTS[module]}
        assert foreign & {"asyncio", "socket", "time"} == set(), module


@pytest.mark.parametrize("name", [name for name in MODULES if floor_of(name) in NO_FINGER])
def test_a_floor_that_knows_no_finger_imports_none(name: str) -> None:
    known = {"fingerd_sd.protocol.text"}
    assert {other for other in OURS[name] if floor_of(other) not in NO_FINGER} <= known


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_imported_but_the_standard_library_and_a_few_others(name: str) -> None:
    foreign = {other.partition(".")[0] for other in IMPORTS[name]}
    assert foreign <= {*sys.stdlib_module_names, "fingerd_sd", *FOREIGN.get(name, ())}


def test_no_helper_of_tests_has_a_name_that_an_older_pytest_calls() -> None:
    names = {"setup", "teardown"}  # by Debian 12's, once for each test of the module
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        body = ast.parse(file.read_text()).body
        there = {node.name for node in body if isinstance(node, ast.FunctionDef)}
        assert not names & there, file


def test_sources_know_neither_clients_nor_layouts() -> None:
    for name in MODULES:
        if floor_of(name) == "sources":
            assert not {
                other
                for other in OURS[name]
                if other.startswith(("fingerd_sd.policy", "fingerd_sd.protocol.layout"))
            }


def test_a_role_knows_no_other() -> None:
    roles = {*names_in(PACKAGE / "serving")} - {"waiting"}  # which they share
    for name in MODULES:
        if floor_of(name) == "serving" and name.count(".") >= 2:
            own = name.split(".")[2]
            known = {other.split(".")[2] for other in OURS[name] if floor_of(other) == "serving"}
            assert known & (roles - {own}) == set(), name


def test_a_source_knows_no_other() -> None:
    for name in MODULES:
        if name.count(".") == 3 and floor_of(name) == "sources":
            own = name.rpartition(".")[0]
            others = {other for other in OURS[name] if floor_of(other) == "sources"}
            assert {other for other in others if other.count(".") == 3} <= {
                other for other in others if other.startswith(own)
            }


STARTED = {
    "static": "",
    "published": "",
    "accounts": "",
    "command": 'argv = ["/bin/echo", "{user}"]\n',
    "web": 'url = "https://example.org/{user}"\n',
    "unit": 'path = "/run/finger/{user}"\n',
}


@pytest.mark.parametrize("source", STARTED)
def test_a_start_imports_nothing_heavy(source: str, tmp_path: Path) -> None:
    """A start is what the first client waits for."""
    if source == "web":
        needs.modules("aiohttp")
    config = tmp_path / "fingerd.toml"
    config.write_text(f'[[source]]\ntype = "{source}"\n{STARTED[source]}')
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from fingerd_sd.commands import serve
from fingerd_sd.commands.roles import running
async def run(self):
    print(*sys.modules, sep="\\n")
running.Service.run = run
sys.exit(serve.serve(Path({str(config)!r}), [("127.0.0.1", 0)]))
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
    assert f"fingerd_sd.sources.{source}.source" in imported
    assert imported & HEAVY == set()
    roles = ("fingerd_sd.serving.web", "fingerd_sd.commands.roles.web", "fingerd_sd.config.web")
    assert not {name for name in imported if name.startswith(roles)}
    store = ("fingerd_sd.store", "fingerd_sd.config.store")
    assert not {name for name in imported if name.startswith(store)}
    for other in set(STARTED) - {source}:
        assert f"fingerd_sd.sources.{other}" not in imported


def test_where_nobody_can_publish_nothing_of_that_is_imported(tmp_path: Path) -> None:
    """The default configuration looks for a socket, and imports no more than without it."""
    (tmp_path / "fingerd.toml").touch()
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from fingerd_sd.sources import mounting
mounting.PUBLISH = {str(tmp_path / "none")!r}
from fingerd_sd.commands import building, settings
building.ruip_of(settings.load({str(tmp_path / "fingerd.toml")!r}, None))
print(*sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    imported = done.stdout.split()
    assert "fingerd_sd.sources.accounts.source" in imported
    assert [name for name in imported if "publish" in name] == []
    assert {"mmap", "sqlite3", "_sqlite3"} & set(imported) == set()


# What the first client does not wait for: fingerd_sd/serving/finger/first.py.
LATER = {"asyncio", "logging", "pathlib", "selectors", "signal", "socket", "ssl", "threading"}


def test_what_answers_first_imports_little() -> None:
    program = f"""
import sys
sys.path.append({str(ROOT)!r})
import fingerd_sd.commands.serve, fingerd_sd.sources.static.source
print(*sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) & (LATER | HEAVY | {"traceback", "textwrap"}) == set()
