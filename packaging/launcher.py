#!@PYTHON@ -I
# SPDX-License-Identifier: MIT
"""The command fingerd-sd, as `make install` puts it on a machine."""

import sys

sys.path.insert(0, "@LIB@")

from fingerd_sd.commands.cli import main  # the path to it is set just above

sys.exit(main())
