# SPDX-License-Identifier: MIT
"""Who is logged in on this machine: from logind or utmp, and what the terminals say of them."""
