# SPDX-License-Identifier: MIT
"""The configuration as frozen values: `[server]`, `[[audience]]`, `[[source]]`.

Reads everything in one run and reports every mistake. fingerd.toml(5) describes each key.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fingerd_sd import sources
from fingerd_sd.config import ConfigError, Layer, Mistake, Table, nearest, read_layers
from fingerd_sd.directory import Mounted, Selects, Source
from fingerd_sd.policy import DEFAULT_SHOW, Audience, read_audience
from fingerd_sd.server import Limits

MAIN = Path("/etc/fingerd-sd/fingerd.toml")
DROP_INS = Path("/etc/fingerd-sd/conf.d")

DAY = 86400.0  # seconds: no deadline of this service is sensibly longer
YEAR = 365 * DAY  # seconds
MIN_IDLE_EXIT = 30.0  # seconds: quicker ones may meet systemd's start limit, see finger.service
_SECTIONS = ("server", "audience", "source")


class Settings(NamedTuple):
    """All of the configuration. `idle_exit`: seconds, 0 for never. `log_client`: full, prefix or
    none. `files`: those that were read. `warnings`: what can be used but is unwise.
    """

    limits: Limits
    idle_exit: float
    log_client: str
    log_queries: bool
    audiences: tuple[Audience, ...]
    sources: tuple[Mounted, ...]
    files: tuple[Path, ...] = ()
    warnings: tuple[Mistake, ...] = ()


def load(main: Path = MAIN, drop_ins: Path | None = DROP_INS) -> Settings:
    """Return what `main` and the files in `drop_ins` say; the defaults where there are none.

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
    server = _server_table(layers, mistakes)
    limits, idle_exit, log_client, log_queries = _read_server(server, warnings)
    audiences = _read_audiences(_tables(layers, "audience", mistakes, warnings))
    mounted = _read_sources(_tables(layers, "source", mistakes, warnings), audiences)
    if not any("source" in layer.values for layer in layers):
        mounted = _default_sources(layers[0].file, mistakes)
    atoms = frozenset(DEFAULT_SHOW).union(*(audience.show for audience in audiences))
    for item in mounted:
        if isinstance(item.source, Selects):
            item.source.select(atoms)
    if mistakes:
        raise ConfigError(mistakes)
    return Settings(
        limits,
        idle_exit,
        log_client,
        log_queries,
        audiences,
        mounted,
        tuple(layer.file for layer in layers if layer.file.exists()),
        tuple(warnings),
    )


def _server_table(layers: Sequence[Layer], mistakes: list[Mistake]) -> Table:
    tables = []
    for layer in layers:
        values = layer.values.get("server", {})
        if isinstance(values, dict):
            tables.append(Layer(layer.file, values))
        else:
            mistakes.append(Mistake(layer.file, "server", "expected a table, [server]"))
    return Table(tables or [Layer(layers[0].file, {})], "server", mistakes)


def _tables(
    layers: Sequence[Layer], section: str, mistakes: list[Mistake], warnings: list[Mistake]
) -> list[Table]:
    """Return the array of tables `section` of all files, each table with its own file."""
    tables = []
    for layer in layers:
        values = layer.values.get(section, [])
        if not isinstance(values, list) or not all(isinstance(item, dict) for item in values):
            text = f"expected an array of tables: write [[{section}]], with two brackets"
            mistakes.append(Mistake(layer.file, section, text))
            continue
        tables += [
            Table([Layer(layer.file, item)], f"{section}[{number}]", mistakes, warnings)
            for number, item in enumerate(values, 1)
        ]
    return tables


def _read_server(table: Table, warnings: list[Mistake]) -> tuple[Limits, float, str, bool]:
    limits = Limits(
        query_timeout=table.seconds("query_timeout", 10, 0.1, DAY),
        answer_timeout=table.seconds("answer_timeout", 30, 0.1, DAY),
        max_query=table.integer("max_query", 1024, 16, 1 << 20, "octets"),
        max_connections=table.integer("max_connections", 4096, 1, 1 << 20, "connections"),
        max_per_client=table.integer("max_per_client", 64, 1, 1 << 20, "connections"),
    )
    idle_exit = table.seconds("idle_exit", 600, 0, YEAR)
    if 0 < idle_exit < MIN_IDLE_EXIT:
        warnings.append(
            table.mistake(
                "idle_exit",
                f"{idle_exit:g} s is so short that systemd's start limit may close the port;"
                f" {MIN_IDLE_EXIT:g} or more is safe",
            )
        )
    log_client = table.choice("log_client", "full", ("full", "prefix", "none"))
    log_queries = table.boolean("log_queries", True)
    table.close()
    return limits, idle_exit, log_client, log_queries


def _read_audiences(tables: Sequence[Table]) -> tuple[Audience, ...]:
    audiences: list[Audience] = []
    for table in tables:
        audience = read_audience(table)
        before = next((other for other in audiences if other.holds_all(audience)), None)
        if before is not None:
            text = f'nobody is ever in this audience: "{before.name}" before it holds them all'
            table.unwise("networks", text)
        if any(audience.name == other.name for other in audiences):
            table.wrong("name", f'"{audience.name}" stands a second time; names are unique')
        audiences.append(audience)
    return tuple(audiences)


def _read_sources(tables: Sequence[Table], audiences: Sequence[Audience]) -> tuple[Mounted, ...]:
    mounted: list[Mounted] = []
    names = {Audience().name, *(audience.name for audience in audiences)}
    counts: dict[str, int] = {}
    for table in tables:
        kind = table.text("type", "")
        counts[kind] = counts.get(kind, 0) + 1
        name = kind if counts[kind] == 1 else f"{kind}-{counts[kind]}"
        only_for = table.strings("audiences", ())
        for audience in only_for:
            if audience not in names:
                table.wrong("audiences", f'no audience "{audience}"; {nearest(audience, names)}')
        source = _read_source(table, kind, name)
        if source is not None:
            mounted.append(Mounted(source, frozenset(only_for)))
    return tuple(mounted)


def _read_source(table: Table, kind: str, name: str) -> Source | None:
    if not kind:
        if table.value("type") in (None, ""):
            table.wrong("type", f"is missing; known are: {', '.join(sources.known())}")
        return None
    try:
        factory = sources.factory(kind)
        if factory is not None:
            return factory(table, name)
    except Exception as error:  # a third party's package: whatever it raises, the file names it
        table.wrong(
            "type", f'the package that provides "{kind}" fails: {error!r}; mend or remove it'
        )
        return None
    table.wrong("type", f'unknown type "{kind}"; {nearest(kind, sources.known())}')
    return None


def _default_sources(file: Path, mistakes: list[Mistake]) -> tuple[Mounted, ...]:
    """Return the one source of a configuration that names none: this machine's accounts."""
    table = Table([Layer(file, {"type": "accounts"})], "source[1]", mistakes)
    return _read_sources([table], ())
