# SPDX-License-Identifier: MIT
"""The table of roles: which descriptor names a process may have, and what it then is.

Each row is a unit of its own, with the rights that it needs. So one process never has two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from fingerd_sd.commands.building import FINGER, METRICS, PROXY
from fingerd_sd.commands.roles.role import Role, Start
from fingerd_sd.process.systemd import ActivationError


class Row(NamedTuple):
    """`names`: the descriptor names that belong together; `socket`: the unit that passes them;
    `begin`: makes the role, and raises ConfigError. Only then is anything of it imported, and
    an ActivationError says what is not installed.
    """

    names: frozenset[str]
    socket: str
    begin: Callable[[Start], Role]


def _finger(start: Start) -> Role:
    from fingerd_sd.commands.roles.finger import begin

    return begin(start)


def _publish(start: Start) -> Role:
    from fingerd_sd.commands.roles.publish import begin

    return begin(start)


def _web(start: Start) -> Role:
    """Raises ActivationError too, if something is not installed: Jinja2 is asked for by the first
    page only, and it must not be a visitor who finds that out.
    """
    from importlib.util import find_spec

    for module, package in _OF_WEB.items():
        if find_spec(module) is None:
            raise ActivationError(
                f"finger-web.socket passed a socket, and the Python module {module} is not"
                f" installed: install {package}"
            )
    from fingerd_sd.commands.roles.web import begin

    return begin(start)


_OF_WEB = {  # what the web needs, and what brings it; a package of Debian's has all three
    "fingerd_sd.serving.web": "fingerd-sd-web",
    "aiohttp": "python3-aiohttp (Debian, Fedora), python-aiohttp (Arch), aiohttp (PyPI)",
    "jinja2": "python3-jinja2 (Debian, Fedora), python-jinja (Arch), Jinja2 (PyPI)",
}


ROWS = (
    Row(FINGER | {METRICS, PROXY}, "finger.socket", _finger),
    Row(frozenset(("publish",)), "finger-publish.socket", _publish),
    Row(frozenset(("web",)), "finger-web.socket", _web),
)


def chosen(names: Iterable[str]) -> Row:
    """Return the row to which sockets of these `names` belong; finger's if there are none. Raises
    ActivationError if one name is not known, or if they belong to several rows.
    """
    rows = list(dict.fromkeys(_row_of(name) for name in sorted(names)))
    if len(rows) > 1:
        units = " and ".join(row.socket for row in rows)
        raise ActivationError(
            f"the sockets of {units} were passed to one process; Sockets= and Service= of the"
            " units have to keep them apart"
        )
    return rows[0] if rows else ROWS[0]


def _row_of(name: str) -> Row:
    for row in ROWS:
        if name in row.names:
            return row
    known = sorted({name for row in ROWS for name in row.names if name})
    raise ActivationError(
        f'the socket unit passed a descriptor named "{name}", which this version does not know;'
        f" FileDescriptorName={', '.join(known[:-1])} and {known[-1]} are what it serves"
    )
