# SPDX-License-Identifier: MIT
"""Requests and their responses: /metrics, /healthz, and whatever else may come."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.serving.metrics.counts import Counts, Figures
from fingerd_sd.serving.metrics.respond import MISSING, health, respond

from ...helpers import needs
from .figures import Response, figures, read

HOST = b"Host: 127.0.0.1:9079\r\n"


def ask(request: bytes, shown: Figures | None = None) -> Response:
    return read(respond(request, shown or figures()))


def get(path: bytes, *headers: bytes, shown: Figures | None = None) -> Response:
    return ask(b"GET %s HTTP/1.1\r\n%s%s\r\n" % (path, HOST, b"".join(headers)), shown)


ANSWERED = {
    "as Prometheus asks": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    "HTTP/1.0 without Host": (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    "bare line feeds": (b"GET /healthz HTTP/1.1\nHost: a\n\n", 200),
    "a query": (b"GET /healthz?a=b HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    "a whole address": (b"GET http://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    "a body that nobody reads": (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1", 200),
    "waits for 100": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", 200),
    "another path": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "a path that begins alike": (b"GET /healthz/ HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "two slashes": (b"GET //evil.example/healthz HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "POST": (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 405),
    "both lengths": (
        b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked"
        b"\r\n\r\n0\r\n\r\nGET / HTTP/1.1",
        405,
    ),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "no Host": (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /metrics\r\n\r\n", 400),
    "a finger query": (b"moshez\r\n\r\n", 400),
    "nothing": (b"\r\n\r\n", 400),
    "a bad address": (b"GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "no version": (b"GET / HTTP/x\r\nHost: a\r\n\r\n", 400),
    "a version of hundreds of digits": (b"GET / HTTP/1.%s\r\n\r\n" % (b"9" * 500), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "many headers": (b"GET /metrics HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_has_the_response_that_http_names(name: str) -> None:
    request, status = ANSWERED[name]
    assert ask(request).status == status


def test_head_has_the_headers_alone() -> None:
    whole = get(b"/healthz")
    head = ask(b"HEAD /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
    assert whole.body
    assert head.body == b""
    assert head.headers["Content-Length"] == str(len(whole.body))


def test_says_which_methods_there_are() -> None:
    assert ask(ANSWERED["POST"][0]).headers["Allow"] == "GET, HEAD"


def test_repeats_nothing_of_what_came() -> None:
    for word in (b"<b>x</b>", b"\x1b[31m", b"needle"):
        for request in (
            b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % word,
            b"%s / HTTP/1.1\r\nHost: a\r\n\r\n" % word,
            b"%s\r\n\r\n" % word,
            b"GET / HTTP/%s\r\n\r\n" % word,
        ):
            assert word not in respond(request, figures())


@given(st.binary(max_size=400))
def test_any_octets_have_one_response(octets: bytes) -> None:
    for request in (octets + b"\r\n\r\n", b"GET /healthz HTTP/1.1\r\n" + octets + b"\r\n\r\n"):
        assert ask(request).status in (200, 400, 404, 405, 431, 505)


# --- whether it is well ---

MISTAKEN = Counts()
MISTAKEN.mistaken = True
DOWN = "web: https://example.org fails for 3 minutes"
HEALTH = {
    "well": (figures(), 200, "serving"),
    "one source of two": (
        figures()._replace(troubles={"static": "", "web": DOWN}),
        200,
        f"serving, but: {DOWN}",
    ),
    "a reload that failed": (
        figures(MISTAKEN),
        200,
        "serving, but: the configuration has mistakes, and an old one is in use",
    ),
    "all sources": (figures()._replace(troubles={"web": DOWN}), 503, f"not serving: {DOWN}"),
    "no source at all": (figures()._replace(troubles={}), 200, "serving"),
    "accepts nothing": (
        figures()._replace(paused="all 9 connections are taken"),
        503,
        "not serving: all 9 connections are taken",
    ),
    "all at once": (
        figures(MISTAKEN)._replace(paused="full", troubles={"web": "down\nfor ever"}),
        503,
        "not serving: full; down for ever; the configuration has mistakes, and an old one is"
        " in use",
    ),
}


@pytest.mark.parametrize("name", HEALTH)
def test_fails_a_check_only_where_another_machine_would_serve_better(name: str) -> None:
    shown, status, text = HEALTH[name]
    assert health(shown) == (status, text)
    assert get(b"/healthz", shown=shown)[::2] == (status, f"{text}\n".encode())


# --- without prometheus_client ---


def test_names_the_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "fingerd_sd.serving.metrics.page", raising=False)
    response = get(b"/metrics")
    assert (response.status, response.body) == (503, f"{MISSING}\n".encode())
    assert b"python3-prometheus-client" in response.body
    assert get(b"/healthz").status == 200


def test_metrics_are_text_that_no_cache_keeps() -> None:
    needs.modules("prometheus_client")
    response = get(b"/metrics", b"Accept: text/plain;version=0.0.4\r\n")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert response.headers["Cache-Control"] == "no-store"
    assert b"\nfingerd_open_connections 2.0\n" in response.body
