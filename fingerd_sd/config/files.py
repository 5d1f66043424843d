# SPDX-License-Identifier: MIT
"""TOML files: one bounded file, and a main file with its drop-ins.

config/table.py reads the tables in them. Which keys there are, the readers of the tables know.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from fingerd_sd.config.mistakes import ConfigError, File, Mistake
from fingerd_sd.config.table import Layer, Table

MAX_FILE = 1 << 20  # octets of one configuration file; a user table may have a file of its own


def read_toml(file: File, limit: int) -> Mapping[str, Any]:
    """Return the tables in `file`, at most `limit` octets long.

    Raises ConfigError if it cannot be read or is not TOML, and FileNotFoundError if it does not
    exist, which the caller may allow.
    """
    try:
        with open(file, "rb") as stream:
            octets = stream.read(limit + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        text = f"cannot be read: {error.strerror}; make it a file that the service's user may read"
        raise ConfigError([Mistake(file, "", text)]) from error
    if len(octets) > limit:
        raise ConfigError([Mistake(file, "", f"longer than {limit} octets; divide or shorten it")])
    try:
        return tomllib.loads(octets.decode("utf-8"))
    except UnicodeDecodeError as error:
        text = f"not UTF-8 at octet {error.start + 1}; TOML is always UTF-8: convert the file"
        raise ConfigError([Mistake(file, "", text)]) from error
    except ValueError as error:  # TOMLDecodeError, or an integer of more digits than Python reads
        raise ConfigError([Mistake(file, "", f"not TOML: {error}")]) from error
    except RecursionError as error:
        raise ConfigError([Mistake(file, "", "not TOML: nested too deeply")]) from error


def read_layers(main: File, drop_ins: File | None, mistakes: list[Mistake]) -> list[Layer]:
    """Return `main` and the `*.toml` files in the folder `drop_ins` in the order of their names.

    A missing `main` or folder counts as empty. A file that cannot be read is left out and reported
    in `mistakes`, so that the same run finds the mistakes in the others.
    """
    files: list[File] = [main]
    if drop_ins is not None:
        try:
            names = sorted(name for name in os.listdir(drop_ins) if name.endswith(".toml"))
            files += [os.path.join(drop_ins, name) for name in names if name != ".toml"]
        except FileNotFoundError:
            pass
        except OSError as error:
            mistakes.append(Mistake(drop_ins, "", f"cannot be listed: {error.strerror}"))
    layers = []
    for file in files:
        try:
            layers.append(Layer(file, read_toml(file, MAX_FILE)))
        except FileNotFoundError:
            continue
        except ConfigError as error:
            mistakes.extend(error.mistakes)
    return layers or [Layer(main, {})]


def table_of(
    layers: Sequence[Layer], section: str, mistakes: list[Mistake], warnings: list[Mistake]
) -> Table:
    """Return the table `section` of all files, in which a later file's keys win."""
    tables = []
    for layer in layers:
        values = layer.values.get(section, {})
        if isinstance(values, dict):
            tables.append(Layer(layer.file, values))
        else:
            mistakes.append(Mistake(layer.file, section, f"expected a table, [{section}]"))
    return Table(tables or [Layer(layers[0].file, {})], section, mistakes, warnings)


def tables_of(
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
