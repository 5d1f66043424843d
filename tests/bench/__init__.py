# SPDX-License-Identifier: MIT
"""`make bench`: fingerd-sd, the limit and its peers, measured in one run. See run.py."""
