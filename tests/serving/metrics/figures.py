# SPDX-License-Identifier: MIT
"""Figures to show, and responses taken apart."""

from __future__ import annotations

from typing import NamedTuple

from fingerd_sd.directory.answer import FOUND, Answer
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.rules import Client
from fingerd_sd.serving.metrics.counts import Counts, Figures

CLIENT = Client("192.0.2.1", "192.0.2.1", "192.0.2.1", Audience("guests"), 0)
HAPPY = Answer(b"Happy and well\r\n", FOUND, "moshez", "static")


def figures(counts: Counts | None = None) -> Figures:
    """Return figures of a server that is well."""
    return Figures(
        counts=counts or Counts(),
        accepted=7,
        open=2,
        most=4096,
        paused="",
        kept=(3, 1700),
        hits=5,
        troubles={"static": "", "web": ""},
        limited=1,
        dropped=4,
    )


class Response(NamedTuple):
    """A response taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes


def read(octets: bytes) -> Response:
    """Return the parts of a whole response; it must be well-formed. RFC 9112 §2.1."""
    head, _, body = octets.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    version, status, phrase = first.split(" ", 2)
    assert version == "HTTP/1.1"
    assert phrase
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(headers) == len(lines)
    assert headers["Connection"] == "close"
    assert len(body) in (0, int(headers["Content-Length"]))
    return Response(int(status), headers, body)
