# SPDX-License-Identifier: MIT
"""`python3 -m fingerd_sd` is the command `fingerd-sd`."""

import sys

from fingerd_sd.commands.cli import main

sys.exit(main())
