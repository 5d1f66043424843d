# SPDX-License-Identifier: MIT
"""Exit statuses: those of sysexits.h where it has one, as systemd.exec(5) names them."""

EX_OK = 0
EX_ABSENT = 1  # of `ask`: no such user, or hidden
EX_REFUSED = 2  # of `ask`
EX_USAGE = 64
EX_UNAVAILABLE = 69
EX_NOPERM = 77  # of `publish`
EX_CONFIG = 78
