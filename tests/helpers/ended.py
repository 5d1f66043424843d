# SPDX-License-Identifier: MIT
"""What a test or a measurement starts, and is certain to end: by leaving its `with` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Ended(ABC):
    """Something that runs until its block is left."""

    @abstractmethod
    def leave(self, failed: bool) -> None:
        """End it. `failed`: the block has raised an exception, which goes on."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.leave(failed=kind is not None)
