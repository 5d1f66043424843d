#!@PYTHON@ -IS
# SPDX-License-Identifier: MIT
"""The command fingerd-sd, as `make install` and the Debian package put it on a machine.

Neither PYTHON* variables nor a user's own modules change it (-I). It starts without site (-S),
which takes as long as hundreds of answers; fingerd_sd asks for it when other packages are needed.
"""

import sys

sys.path.append("@LIB@")

from fingerd_sd.commands.cli import main  # the path to it is set just above

sys.exit(main())
