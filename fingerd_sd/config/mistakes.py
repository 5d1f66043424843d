# SPDX-License-Identifier: MIT
"""What is wrong with a configuration: each mistake by file and key, and what to do about it.

This module knows files and keys. It knows neither TOML nor finger.
"""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

# A file's name. Those of the configuration are plain text: a Path takes 12 million instructions to
# import, while the first client waits.
File: TypeAlias = str | os.PathLike[str]


class Mistake(NamedTuple):
    """One mistake: where it is and what to do. `key`: "" for the whole file. As text it is one line
    for terminals, the journal and STATUS=, whatever a file or a user's entry holds.
    """

    file: File
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
    """Return advice that names the word of `known` most like `word`, or else all of them."""
    import difflib  # only for a mistake: importing it takes 10 ms

    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known are: {', '.join(known)}" if known else "none is known here"


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
