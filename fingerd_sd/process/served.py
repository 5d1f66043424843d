# SPDX-License-Identifier: MIT
"""The seam between the life of a process and what it serves: a role implements it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from fingerd_sd.config.mistakes import Mistake


class Setup(Protocol):
    """One reading of the configuration, as far as it concerns the process."""

    @property
    def idle_exit(self) -> float:
        """Seconds without a connection before the process exits; 0 for never."""

    @property
    def warnings(self) -> Sequence[Mistake]:
        """What can be used but is unwise."""


S = TypeVar("S", bound=Setup)
S_contra = TypeVar("S_contra", bound=Setup, contravariant=True)


class Served(Protocol[S_contra]):
    """What the process serves, from the first connection to the last."""

    on_change: Callable[[], None] | None  # called once when `counts` changes; set it again

    @property
    def open(self) -> int:
        """How many connections are open."""

    @property
    def active_at(self) -> float:
        """When the last connection came or went, in the loop's seconds."""

    @property
    def counts(self) -> str:
        """What has been served so far, in words."""

    @property
    def trouble(self) -> str:
        """What is wrong at the moment, in words; "" where nothing is."""

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Accept from `listeners`: listening stream sockets, which are made non-blocking."""

    def use(self, setup: S_contra) -> None:
        """Serve by `setup` from now on. The one before finishes what is under way."""

    def give_back(self) -> None:
        """Drop what can be had again, and nothing that is in use: memory is short."""

    def stop_accepting(self) -> None:
        """Accept no more connections: new ones wait for the next process."""

    async def drain(self) -> None:
        """Return when no connection is open."""

    async def close(self) -> None:
        """Close what is still open, now that no client waits for an answer."""
