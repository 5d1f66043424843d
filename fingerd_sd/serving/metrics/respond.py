# SPDX-License-Identifier: MIT
"""An HTTP request in, a response out: /metrics and /healthz.

Octets only, no socket. The parser is the standard library's. RFC 9110, RFC 9112. Each connection
has one request, so where a body might end is of no concern.
"""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from urllib.parse import urlsplit

from fingerd_sd.protocol.text import one_line
from fingerd_sd.serving.metrics.counts import Figures

TEXT = "text/plain; charset=utf-8"
MISSING = (
    "The metrics need prometheus_client: install python3-prometheus-client (Debian),"
    " python3-prometheus_client (Fedora), python-prometheus_client (Arch),"
    " prometheus-client (PyPI)"
)
ELSEWHERE = "There is nothing here: /metrics and /healthz are what there is"
READ_ONLY = "Only GET and HEAD are known here"
MAX_REASON = 900  # characters


def respond(request: bytes, figures: Figures) -> bytes:
    """Return the response to `request`, all octets up to the end of its headers, or more."""
    asked = _Asked(request)
    if asked.refused:
        return asked.response(asked.refused, TEXT, f"{asked.refused.phrase}\n".encode())
    if asked.command not in ("GET", "HEAD"):
        status = HTTPStatus.METHOD_NOT_ALLOWED
        return asked.response(status, TEXT, f"{READ_ONLY}\n".encode(), "Allow: GET, HEAD\r\n")
    if asked.where == "/metrics":
        return _metrics(asked, figures)
    if asked.where == "/healthz":
        status, text = health(figures)
        return asked.response(status, TEXT, f"{text}\n".encode())
    return asked.response(HTTPStatus.NOT_FOUND, TEXT, f"{ELSEWHERE}\n".encode())


def health(figures: Figures) -> tuple[HTTPStatus, str]:
    """Return what a load balancer is told, with one line for a person.

    It fails if another machine would serve clients better: this one accepts no connections, or all
    of its sources fail. A reload that failed, and one source of several, do not count: a mistake in
    a configuration, or a site that is down, mostly are those of all machines, and would take all of
    them away, although each of them serves.
    """
    unwell = [trouble for trouble in figures.troubles.values() if trouble]
    if figures.paused:
        unwell.insert(0, figures.paused)
    if figures.counts.mistaken:
        unwell.append("the configuration has mistakes, and an old one is in use")
    reasons = one_line("; ".join(unwell), MAX_REASON)
    if figures.paused or (figures.troubles and all(figures.troubles.values())):
        return HTTPStatus.SERVICE_UNAVAILABLE, f"not serving: {reasons}"
    return HTTPStatus.OK, f"serving, but: {reasons}" if reasons else "serving"


def _metrics(asked: _Asked, figures: Figures) -> bytes:
    try:
        from fingerd_sd.serving.metrics.page import page
    except ImportError as error:
        if error.name is None or not error.name.startswith("prometheus_client"):
            raise
        status = HTTPStatus.SERVICE_UNAVAILABLE
        return asked.response(status, TEXT, f"{MISSING}\n".encode())
    kind, octets = page(figures, asked.headers.get("Accept", ""))
    return asked.response(HTTPStatus.OK, kind, octets)


class _Asked(BaseHTTPRequestHandler):
    """A request as the standard library reads it, from octets. `refused`: the status if it is none;
    then nothing else may be asked of it but `response`.
    """

    def __init__(self, request: bytes) -> None:  # the base's would serve a socket
        self.refused: HTTPStatus | None = None
        self.where = ""
        self.command = ""
        self.rfile = BytesIO(request)
        self.wfile = BytesIO()
        self.raw_requestline = self.rfile.readline()
        if not self.parse_request():
            self.refused = self.refused or HTTPStatus.BAD_REQUEST
        elif self.request_version == "HTTP/0.9":  # it has neither headers nor a status to answer by
            self.refused = HTTPStatus.BAD_REQUEST
        elif self.request_version != "HTTP/1.0" and len(self.headers.get_all("Host", ())) != 1:
            self.refused = HTTPStatus.BAD_REQUEST  # RFC 9112 §3.2
        else:
            self._split()

    def _split(self) -> None:
        try:
            self.where = urlsplit(self.path).path
        except ValueError:
            self.refused = HTTPStatus.BAD_REQUEST

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Keep why `parse_request` refuses the request. What it says repeats what came."""
        self.refused = HTTPStatus(code)

    def handle_expect_100(self) -> bool:
        """Nobody wants the body."""
        return True

    def response(self, status: HTTPStatus, kind: str, octets: bytes, more: str = "") -> bytes:
        """Return a response with the body `octets`, which HEAD leaves out. `more`: headers."""
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nDate: {formatdate(usegmt=True)}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(octets)}\r\nCache-Control: no-store\r\n"
            f"X-Content-Type-Options: nosniff\r\n{more}Connection: close\r\n\r\n"
        )
        return head.encode() + (b"" if self.command == "HEAD" else octets)
