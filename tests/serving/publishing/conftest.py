# SPDX-License-Identifier: MIT
"""What all tests of this folder share."""

from ...helpers.published import closed_afterwards

__all__ = ["closed_afterwards"]
