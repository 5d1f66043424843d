# SPDX-License-Identifier: MIT
"""TOML read with care: every mistake is named by file and key, all of them in one run.

This module knows TOML, files and mistakes; it knows no finger. What keys there are is said by those
who read them (settings.py for `[server]`, policy.py for `[[audience]]`, each source for its own
`[[source]]`) through the typed getters of `Table`: a getter that is called makes its key known, and
`Table.close` reports the keys that nobody asked for, with the nearest one that somebody did.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
N = TypeVar("N", int, float)

MAX_FILE = 1 << 20  # octets of one configuration file; a user table may have a file of its own

_NAMES = {str: "a string", int: "a whole number", bool: "true or false", list: "an array"}


class Mistake(NamedTuple):
    """One mistake: where it is and what to do. `key` is "" where the whole file is meant. As text
    it is one line for terminals, the journal and STATUS=, whatever a file or a user's entry holds.
    """

    file: Path
    key: str
    text: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else str(self.file)
        return "".join(map(_visible, f"{where}: {self.text}"))


class ConfigError(Exception):
    """The configuration cannot be used. `mistakes`: every one that was found, at least one."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return advice that names the word of `known` most like `word`, else all of them."""
    import difflib  # only where there is a mistake: it takes 10 ms that a good start does not spend

    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known are: {', '.join(known)}" if known else "none is known here"


class Layer(NamedTuple):
    """One file's part of a table: the first layer is the weakest, a later one's keys win."""

    file: Path
    values: Mapping[str, Any]


class Table:
    """A TOML table that is being read. `key`: its own key in the file, such as `source[1]`.
    `mistakes` and `warnings` are where it reports: what cannot be used, and what is only unwise.
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
    def directory(self) -> Path:
        """The folder that relative file names in this table start from."""
        return self._layers[-1].file.parent

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
        """Return a mistake about `key` without reporting it: for what is only unwise."""
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
        self.wrong(key, f"expected {expected}, not {_quoted(value)}")
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
                    Mistake(layer.file, self._path(key), f"expected a table, not {_quoted(value)}")
                )
        return merged

    def inner(self, key: str, values: Mapping[str, Any], number: int | None = None) -> Table:
        """Return the table at `key` below this one, its mistakes reported with this one's.
        `number`: which one, from 1, where `key` is an array of tables.
        """
        path = self._path(key) if number is None else f"{self._path(key)}[{number}]"
        return Table([Layer(self._layer(key).file, values)], path, self._mistakes, self._warnings)

    def other(self, file: Path, values: Mapping[str, Any]) -> Table:
        """Return the tables of another file that this one names, its mistakes reported here."""
        return Table([Layer(file, values)], "", self._mistakes, self._warnings)

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return keys and values of a table whose keys are free (of its strongest layer)."""
        return self._layers[-1].values.items()

    def close(self) -> None:
        """Report every key that was never asked for, with the nearest that was."""
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
        self.wrong(key, f"expected {_NAMES[kind]}, not {_quoted(value)}")
        return default

    def _within(self, key: str, default: N, low: N, high: N, kind: type[N], name: str) -> N:
        value = self.value(key)
        if value is None:
            return default
        # In Python true is an int, and an int will do for a float; NaN is within nothing.
        if isinstance(value, (int, kind)) and not isinstance(value, bool) and low <= value <= high:
            return kind(value)
        self.wrong(key, f"expected {name} from {low:.15g} to {high:.15g}, not {_quoted(value)}")
        return default

    def _layer(self, key: str) -> Layer:
        return next((x for x in reversed(self._layers) if key in x.values), self._layers[-1])

    def _path(self, key: str) -> str:
        key = key if key.replace("_", "").replace("-", "").isalnum() else _quoted(key)
        return f"{self.key}.{key}" if self.key else key


def _quoted(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        shown = f'"{value}"' if isinstance(value, str) else str(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "a number of thousands of digits"
    return shown if len(shown) <= 60 else shown[:59] + "…"


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def read_toml(file: Path, limit: int) -> Mapping[str, Any]:
    """Return the tables in `file`, at most `limit` octets long.

    Raises ConfigError where it cannot be read or is not TOML; FileNotFoundError where it is not
    there, which the caller may allow.
    """
    try:
        with file.open("rb") as stream:
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


def read_layers(main: Path, drop_ins: Path | None, mistakes: list[Mistake]) -> list[Layer]:
    """Return `main` and the `*.toml` files in the folder `drop_ins` in the order of their names.

    A missing `main` or folder counts as empty. What cannot be read is added to `mistakes` and left
    out, so that the mistakes in the others are found in the same run.
    """
    files = [main]
    if drop_ins is not None:
        try:
            files += sorted(path for path in drop_ins.iterdir() if path.suffix == ".toml")
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
