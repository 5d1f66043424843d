# SPDX-License-Identifier: MIT
"""The configuration as frozen values: `[server]`, `[[audience]]`, `[[source]]`, and others.

Reads everything in one run and reports every mistake. fingerd.toml(5) describes each key.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from fingerd_sd.config.files import read_layers, table_of, tables_of
from fingerd_sd.config.mistakes import ConfigError, File, Mistake, nearest
from fingerd_sd.config.server import Limits, read_server
from fingerd_sd.config.table import Layer
from fingerd_sd.directory.source import Mounted
from fingerd_sd.policy.audience import DEFAULT_SHOW, EVERYONE, Audience, read_audiences
from fingerd_sd.protocol.hosts import check_names
from fingerd_sd.sources.mounting import default_sources, read_sources

if TYPE_CHECKING:
    from fingerd_sd.config.publish import PublishKeys
    from fingerd_sd.config.store import StoreKeys
    from fingerd_sd.config.web import WebKeys
    from fingerd_sd.store.server import Server

MAIN = "/etc/fingerd-sd/fingerd.toml"
DROP_INS = "/etc/fingerd-sd/conf.d"

REDIS = "redis: install python3-redis (Debian, Fedora), python-redis (Arch), redis (PyPI)"
_SECTIONS = ("server", "audience", "source", "publish", "web", "store")


class Settings(NamedTuple):
    """All of the configuration. `idle_exit`: seconds, 0 for never. `log_client`: full, prefix or
    none. `names`: what the server is called; None: what the machine is. `publish`, `web`,
    `store`: the tables of that name; None: not there. `server`: the store that `store` names, which
    the sources share. `files`: those that were read. `warnings`: what can be
    used but is unwise.
    """

    limits: Limits
    idle_exit: float
    log_client: str
    log_queries: bool
    names: tuple[str, ...] | None
    audiences: tuple[Audience, ...]
    sources: tuple[Mounted, ...]
    publish: "PublishKeys | None" = None
    web: "WebKeys | None" = None
    store: "StoreKeys | None" = None
    server: "Server | None" = None
    files: tuple[File, ...] = ()
    warnings: tuple[Mistake, ...] = ()


def load(main: File = MAIN, drop_ins: File | None = DROP_INS) -> Settings:
    """Return what `main` and the files in `drop_ins` say; the defaults if there are none.

    Raises ConfigError with every mistake in all of them.
    """
    mistakes: list[Mistake] = []
    warnings: list[Mistake] = []
    layers = read_layers(main, drop_ins, mistakes)
    for layer in layers:
        for section, value in layer.values.items():
            if section not in _SECTIONS:
                text = f"unknown section; {nearest(section, _SECTIONS)}"
                if not isinstance(value, (dict, list)):
                    text = "stands outside any table; did you mean it under [server]?"
                mistakes.append(Mistake(layer.file, section, text))
    table = table_of(layers, "server", mistakes, warnings)
    keys = read_server(table)
    check_names(table, keys[-1] or ())
    audiences = read_audiences(tables_of(layers, "audience", mistakes, warnings))
    names = {EVERYONE, *(audience.name for audience in audiences)}
    store = _read_store(layers, mistakes, warnings)
    mounted = read_sources(tables_of(layers, "source", mistakes, warnings), names)
    if not any("source" in layer.values for layer in layers):
        mounted = default_sources(layers[0].file, mistakes, store is not None)
    server = None if store is None else _server_of(store)
    if server is None:
        lacking = (getattr(item.source, "without_store", None) for item in mounted)
        mistakes += filter(None, lacking)
    else:
        mounted = tuple(_in_store(item, server) for item in mounted)
    atoms = frozenset(DEFAULT_SHOW).union(*(audience.show for audience in audiences))
    for item in mounted:
        if hasattr(item.source, "select"):  # not isinstance: see directory/lookup.py
            item.source.select(atoms)
    publish = None
    if any("publish" in layer.values for layer in layers):
        from fingerd_sd.config.publish import read_publish

        publish = read_publish(table_of(layers, "publish", mistakes, warnings))
    web = None
    if any("web" in layer.values for layer in layers):
        from fingerd_sd.config.web import read_web

        web = read_web(table_of(layers, "web", mistakes, warnings))
    if mistakes:
        raise ConfigError(mistakes)
    return Settings(
        *keys,
        audiences,
        mounted,
        publish,
        web,
        store,
        server,
        tuple(layer.file for layer in layers if os.path.exists(layer.file)),
        tuple(warnings),
    )


def _read_store(
    layers: Sequence[Layer], mistakes: list[Mistake], warnings: list[Mistake]
) -> "StoreKeys | None":
    """Return what `[store]` says; None: hosts share none."""
    if not any("store" in layer.values for layer in layers):
        return None
    from importlib.util import find_spec  # it costs what most need not

    from fingerd_sd.config.store import read_store

    table = table_of(layers, "store", mistakes, warnings)
    keys = read_store(table)
    if keys is not None and find_spec("redis") is None:
        mistakes.append(table.mistake("url", f"needs the Python module {REDIS}"))
    return keys


def _server_of(keys: "StoreKeys") -> "Server":
    """Return the store that `keys` name. It connects when it is asked."""
    from fingerd_sd.store.server import Server

    return Server(keys)


def _in_store(item: Mounted, server: "Server") -> Mounted:
    in_store = getattr(item.source, "in_store", None)
    return item if in_store is None else item._replace(source=in_store(server))


def load_from(config: File | None) -> Settings:
    """Return the configuration: the file `config` alone, or the system's with its drop-ins.

    Raises ConfigError with every mistake.
    """
    if config is None:
        return load()
    try:
        os.stat(config)
    except FileNotFoundError:
        text = "does not exist; check the path after --config"
        raise ConfigError([Mistake(config, "", text)]) from None
    except OSError:
        pass  # reading it will say what is wrong
    return load(config, None)
