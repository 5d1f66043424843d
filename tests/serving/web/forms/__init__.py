# SPDX-License-Identifier: MIT
"""Mirrors fingerd_sd/serving/web/forms/, which needs Jinja2 and what that needs."""

from ....helpers import needs

needs.modules("jinja2")
