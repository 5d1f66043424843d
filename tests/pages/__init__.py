# SPDX-License-Identifier: MIT
"""The pages as browsers and validators have them: marked "pages", since they need such tools."""
