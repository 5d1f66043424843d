# SPDX-License-Identifier: MIT
"""Fuzz: `python3 -m tests.fuzz --help`."""

import sys

from .run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
