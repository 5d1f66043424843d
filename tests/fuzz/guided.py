# SPDX-License-Identifier: MIT
"""One target under atheris: libFuzzer, which keeps the inputs that reach new code and goes on from
those. It ends the process: `python3 -m tests.fuzz.guided TARGET [libFuzzer's options and folders]`.
"""

from __future__ import annotations

import importlib
import logging
import sys
import tempfile
from pathlib import Path

import atheris

from .target import Target


def fuzz(target: Target, options: list[str]) -> None:
    """Fuzz `target`, and exit. `options`: as https://llvm.org/docs/LibFuzzer.html has them."""
    logging.disable()  # what the code tells of octets that it refuses is many
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder, "words")
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
        options = [f"-max_len={target.longest}", *options]
        if target.words:  # an empty dictionary is an error
            options.append(f"-dict={words}")
        atheris.Setup([sys.argv[0], *options], target.check)
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in word)


def main(arguments: list[str]) -> None:
    """Fuzz the target that is named first."""
    name, *options = arguments
    with atheris.instrument_imports(include=["fingerd_sd"]):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
        for module in LATE:
            importlib.import_module(f"fingerd_sd.sources.{module}")
    fuzz(targets[name], options)


LATE = (
    "static.source",
    "static.database",
    "command.source",
    "web.source",
    "web.client",
)  # imported when needed


if __name__ == "__main__":
    main(sys.argv[1:])
