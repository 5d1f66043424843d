# SPDX-License-Identifier: MIT
"""A TOML table read with care: typed getters that report every mistake by file and key.

This module knows nothing of finger. The readers of the tables know which keys there are
(config/server.py for `[server]`, policy/ for `[[audience]]`, each source for its own `[[source]]`).
Calling a getter makes its key known. `Table.close` reports each key that no getter asked for, with
the nearest known one.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from fingerd_sd.config.mistakes import File, Mistake, nearest

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
N = TypeVar("N", int, float)

_NAMES = {str: "a string", int: "a whole number", bool: "true or false", list: "an array"}


class Layer(NamedTuple):
    """One file's part of a table: the first layer is the weakest, a later one's keys win."""

    file: File
    values: Mapping[str, Any]


class Table:
    """A TOML table that is being read. `key`: its own key in the file, such as `source[1]`.
    It reports what cannot be used to `mistakes`, and what is only unwise to `warnings`.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        key: str,
        mistakes: list[Mistake],
        warnings: list[Mistake] | None = None,
    ) -> None:
        if not layers:
            raise ValueError("a table needs a layer")
        self.key = key
        self._layers = layers
        self._mistakes = mistakes
        self._warnings = [] if warnings is None else warnings
        self._known: set[str] = set()

    @property
    def directory(self) -> "Path":
        """The folder from which relative file names in this table start."""
        from pathlib import Path

        return Path(self._layers[-1].file).parent

    def beside(self, file: str) -> str:
        """Return the path of `file`, whose name starts from the folder of this table's file."""
        return os.path.join(os.path.dirname(self._layers[-1].file), file)

    @property
    def known(self) -> frozenset[str]:
        """The keys that have been asked for so far."""
        return frozenset(self._known)

    def wrong(self, key: str, text: str) -> None:
        """Report that the value of `key` cannot be used: `text` says what is expected instead."""
        self._mistakes.append(self.mistake(key, text))

    def unwise(self, key: str, text: str) -> None:
        """Warn that the value of `key` can be used, but may not do what is wanted."""
        self._warnings.append(self.mistake(key, text))

    def mistake(self, key: str, text: str) -> Mistake:
        """Return a mistake about `key` without reporting it, for a value that is only unwise."""
        return Mistake(self._layer(key).file, self._path(key), text)

    def where(self, key: str) -> str:
        """Return file and key of `key`, for explanations."""
        return f"{self._layer(key).file}: {self._path(key)}"

    def adopt(self, mistakes: Iterable[Mistake]) -> None:
        """Report mistakes found in a file that this table names."""
        self._mistakes.extend(mistakes)

    def value(self, key: str) -> Any:
        """Return the value of `key` as TOML gave it, or None where it is not set."""
        self._known.add(key)
        return self._layer(key).values.get(key)

    def text(self, key: str, default: T) -> str | T:
        """Return a string; `default` where it is not set or wrong."""
        value: str | T = self._typed(key, str, default)
        return value

    def boolean(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value: bool = self._typed(key, bool, default)
        return value

    def integer(self, key: str, default: int, low: int, high: int, unit: str = "") -> int:
        """Return a whole number from `low` to `high`, both included; `unit` names it in errors."""
        name = f"a whole number of {unit}" if unit else "a whole number"
        return self._within(key, default, low, high, int, name)

    def seconds(self, key: str, default: float, low: float, high: float) -> float:
        """Return a number of seconds from `low` to `high`, both included, fractions allowed."""
        return self._within(key, default, low, high, float, "a number of seconds")

    def choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        """Return one of `choices`."""
        value: str = self._typed(key, str, default)
        if value in choices:
            return value
        expected = " or ".join(f'"{choice}"' for choice in choices)
        self.wrong(key, f"expected {expected}, not {quoted(value)}")
        return default

    def strings(self, key: str, default: Sequence[str]) -> tuple[str, ...]:
        """Return an array of strings."""
        value = self._typed(key, list, list(default))
        if all(isinstance(item, str) for item in value):
            return tuple(value)
        self.wrong(key, "expected an array of strings")
        return tuple(default)

    def table(self, key: str) -> Mapping[str, Any]:
        """Return a table of free keys, merged from all layers, later ones winning; {} if unset."""
        self._known.add(key)
        merged: dict[str, Any] = {}
        for layer in self._layers:
            value = layer.values.get(key, {})
            if isinstance(value, dict):
                merged |= value
            else:
                self._mistakes.append(
                    Mistake(layer.file, self._path(key), f"expected a table, not {quoted(value)}")
                )
        return merged

    def inner(self, key: str, values: Mapping[str, Any], number: int | None = None) -> "Table":
        """Return the table at `key` below this one, its mistakes reported with this one's.
        `number`: which one, from 1, where `key` is an array of tables.
        """
        path = self._path(key) if number is None else f"{self._path(key)}[{number}]"
        return Table([Layer(self._layer(key).file, values)], path, self._mistakes, self._warnings)

    def other(self, file: File, values: Mapping[str, Any]) -> "Table":
        """Return the tables of another file that this one names, its mistakes reported here."""
        return Table([Layer(file, values)], "", self._mistakes, self._warnings)

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return keys and values of a table whose keys are free (of its strongest layer)."""
        return self._layers[-1].values.items()

    def close(self) -> None:
        """Report every key that no getter asked for, with the nearest known one."""
        for layer in self._layers:
            for key in layer.values:
                if key not in self._known:
                    text = f"unknown key; {nearest(key, self._known)}"
                    self._mistakes.append(Mistake(layer.file, self._path(key), text))

    def _typed(self, key: str, kind: type, default: Any) -> Any:
        value = self.value(key)
        if value is None:
            return default
        if isinstance(value, kind):
            return value
        self.wrong(key, f"expected {_NAMES[kind]}, not {quoted(value)}")
        return default

    def _within(self, key: str, default: N, low: N, high: N, kind: type[N], name: str) -> N:
        value = self.value(key)
        if value is None:
            return default
        # In Python true is an int, and an int will do for a float; NaN is within nothing.
        if isinstance(value, (int, kind)) and not isinstance(value, bool) and low <= value <= high:
            return kind(value)
        self.wrong(key, f"expected {name} from {low:.15g} to {high:.15g}, not {quoted(value)}")
        return default

    def _layer(self, key: str) -> Layer:
        return next((x for x in reversed(self._layers) if key in x.values), self._layers[-1])

    def _path(self, key: str) -> str:
        return f"{self.key}.{shown_key(key)}" if self.key else shown_key(key)


def shown_key(key: str) -> str:
    """Return `key` as a message names it: bare where TOML needs no quotes."""
    return key if key.replace("_", "").replace("-", "").isalnum() else quoted(key)


def quoted(value: object) -> str:
    """Return `value` as a message names it, bounded."""
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        shown = f'"{value}"' if isinstance(value, str) else str(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "a number of thousands of digits"
    return shown if len(shown) <= 60 else shown[:59] + "…"
