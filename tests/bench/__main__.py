# SPDX-License-Identifier: MIT
"""Run the benchmark: `PYTHONPATH=tests python3 -m bench --help`."""

import sys

from .run import main

if __name__ == "__main__":
    sys.exit(main())
