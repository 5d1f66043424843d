# SPDX-License-Identifier: MIT
"""A floor that a test holds in its hands."""

from __future__ import annotations

from collections.abc import Callable

from fingerd_sd.serving.waiting.floor import Floor


class Held:
    """Takes the place of `floor`: answers leave when a test lets them. `seconds`: of each floor."""

    def __init__(self, floor: Floor, seconds: float) -> None:
        self.releases: list[Callable[[], None]] = []
        self.seconds = seconds
        floor.hold = self.hold  # type: ignore[method-assign]  # it stands in for it

    def hold(self, release: Callable[[], None], since: float, floor: float) -> None:
        assert floor == self.seconds
        self.releases.append(release)

    def let_go(self) -> None:
        while self.releases:
            self.releases.pop(0)()
