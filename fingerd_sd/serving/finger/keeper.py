# SPDX-License-Identifier: MIT
"""The seam between a held connection and the server that keeps it."""

from __future__ import annotations

import asyncio
from typing import Protocol, TypeVar

from fingerd_sd.config.server import Limits
from fingerd_sd.directory.answer import Answer
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.policy.rules import Client
from fingerd_sd.serving.waiting.floor import Floor
from fingerd_sd.serving.waiting.readers import Readers

C_contra = TypeVar("C_contra", contravariant=True)  # the connection


class Keeper(Protocol[C_contra]):
    """What a connection needs of the server."""

    loop: asyncio.AbstractEventLoop
    ruip: Ruip
    limits: Limits
    readers: Readers
    floor: Floor

    def line_is_there(self, connection: C_contra) -> None:
        """The query deadline no longer applies."""

    def answer_is_due(self, connection: C_contra, at: float) -> None:
        """Let the connection expire at `at`, in the loop's seconds, without its answer."""

    def answer_is_there(self, connection: C_contra) -> None:
        """That deadline no longer applies."""

    def closed(self, connection: C_contra) -> None:
        """The connection is gone."""

    def done(self, answer: Answer, client: Client, sent: int, started: float) -> None:
        """A query has been answered with `sent` octets; `started` in monotonic seconds."""
