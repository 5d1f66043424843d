# SPDX-License-Identifier: MIT
"""What the site says: each address, each form, each refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fingerd_sd.policy.audience import Audience
from fingerd_sd.protocol.entry import ATOMS

from ...helpers import needs
from ...helpers.houses import ALICE, VILLAGE, Told, networks, static

needs.modules("aiohttp", "jinja2")
from ...helpers.visits import Answered, visiting  # noqa: E402  # where these are there

EVERYTHING = Audience("here", networks("127.0.0.0/8"), frozenset(ATOMS), rate=0)


def get(target: str, *headers: str, method: str = "GET", **settings: Any) -> Answered:
    """Return the response of a village."""

    async def scenario() -> Answered:
        async with visiting(static(VILLAGE), audiences=[EVERYTHING], **settings) as it:
            return await it.get(target, *headers, method=method)

    return asyncio.run(scenario())


def test_the_text_of_a_user_is_what_finger_answers_with_lf() -> None:
    said = get("/~moshez.txt")
    assert said.status == 200
    assert said.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert said.body == b"Happy and well\n"
    assert get("/~alice.txt").text.startswith("Login: alice          \t\t\tName: Alice Liddell\n")


def test_a_user_is_the_one_whose_name_the_address_has_percent_encoded() -> None:
    assert get("/~Alice%20Liddell.txt").text == get("/~alice.txt").text
    assert get("/~%C5%BB%C3%B3%C5%82w.txt").text == "zażółć gęślą jaźń\n"
    assert get("/~mosh%65z.txt").text == "Happy and well\n"


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/~alice", "text/html; charset=utf-8"),
        ("/~alice.txt", "text/plain; charset=utf-8"),
        ("/~alice.json", "application/json"),
        ("/~alice.vcf", "text/vcard; charset=utf-8"),
    ],
)
def test_the_form_is_that_of_the_suffix(target: str, kind: str) -> None:
    said = get(target)
    assert (said.status, said.headers["Content-Type"]) == (200, kind)
    assert b"Alice Liddell" in said.body


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "text/html"),
        ("text/plain", "text/plain"),
        ("text/html, text/plain", "text/html"),
        ("text/html;q=0.5, text/plain", "text/plain"),
        ("application/json", "application/json"),
        ("text/vcard", "text/vcard"),
        ("text/vcard;q=0.2, application/json;q=0.1", "text/vcard"),
        ("text/*;q=0.3, text/html;q=0.1, */*;q=0.2", "text/plain"),
        ("image/png", "text/html"),
        ("text/html;q=0, */*", "text/plain"),
        ("TEXT/PLAIN;Q=1.0", "text/plain"),
        (", ,;;=,text/plain;q=x", "text/plain"),
        ("*/*;q=0", "text/html"),
        (f"{'a/b,' * 5000}text/plain", "text/html"),
    ],
)
def test_without_a_suffix_the_form_is_what_the_client_prefers(accept: str, kind: str) -> None:
    said = get("/~alice", f"Accept: {accept}")
    assert said.headers["Content-Type"].partition(";")[0] == kind
    assert said.headers["Vary"] == "Accept"


def test_several_accept_headers_are_one_list() -> None:
    said = get("/~alice", "Accept: text/html;q=0.1", "Accept: text/plain")
    assert said.headers["Content-Type"].startswith("text/plain")


REFUSALS = [
    ("/~nobody.txt", 404, b"No such user\n"),
    ("/~alice@example.org.txt", 404, b"No such user\n"),
    ("/~%2FW.txt", 404, b"No such user\n"),
    ("/index.txt", 403, b"Finger online user list denied\n"),
    ("/nothing", 404, b"No such page"),
    ("/~", 404, b"No such page"),
    ("/~/alice", 404, b"No such page"),
    ("/~alice/", 404, b"No such page"),
    ("/../etc/passwd", 404, b"No such page"),
    ("/~alice/../~moshez", 404, b"No such page"),
    ("//example.net/~alice", 404, b"No such page"),
    ("/%7Ealice", 404, b"No such page"),
    ("/~al%ice", 400, b"not percent-encoded"),
    ("/~al%2", 400, b"not percent-encoded"),
    ("/~al%FFice", 400, b"not UTF-8"),
    ("/~al%00ice", 400, b"cannot be printed"),
    ("/~alice%0D%0Abob", 400, b"cannot be printed"),
    ("/~%E2%80%AEalice", 400, b"cannot be printed"),
    ("ftp://example.org/~alice", 400, b"no address"),
    ("*", 400, b""),
]


@pytest.mark.parametrize(("target", "status", "text"), REFUSALS)
def test_what_is_refused_is_one_sentence(target: str, status: int, text: bytes) -> None:
    said = get(target)
    assert said.status == status
    assert text in said.body
    assert "no-store" in said.headers["Cache-Control"]
    assert b"Traceback" not in said.octets


def test_the_absolute_form_is_the_same_as_the_origin_form() -> None:
    assert get("http://anything.example/~moshez.txt").body == b"Happy and well\n"


def safe(said: Answered) -> None:
    policy = said.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self';")
    for directive in ("base-uri", "form-action", "frame-ancestors"):
        assert f"{directive} 'none'" in policy
    assert said.headers["X-Content-Type-Options"] == "nosniff"
    assert said.headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in said.headers
    assert "aiohttp" not in said.octets.decode().casefold()


@pytest.mark.parametrize("target", ["/~alice", "/style.css", "/~nobody", "/", "/~al%ice", "/x"])
def test_every_reply_is_safe_to_show(target: str) -> None:
    safe(get(target))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_only_get_and_head_are_answered(method: str) -> None:
    said = get("/~alice.txt", method=method)
    assert (said.status, said.headers["Allow"]) == (405, "GET, HEAD")
    safe(said)


@pytest.mark.parametrize("target", ["/~alice", "/~nobody", "/~alice.json", "/style.css"])
def test_head_is_get_without_the_body(target: str) -> None:
    whole, head = get(target), get(target, method="HEAD")
    dated = {"Date": ""}
    assert head.headers | dated == whole.headers | dated
    assert (head.status, head.body) == (whole.status, b"")


def test_who_has_the_answer_already_is_told_so() -> None:
    said = get("/~alice")
    tag = said.headers["ETag"]
    for condition in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        again = get("/~alice", f"If-None-Match: {condition}")
        assert (again.status, again.body) == (304, b"")
        assert again.headers["ETag"] == tag
        assert again.headers["Cache-Control"] == said.headers["Cache-Control"]
        assert again.headers["Vary"] == "Accept"
    assert get("/~alice", 'If-None-Match: "x"').status == 200
    assert get("/~nobody", "If-None-Match: *").status == 404


def test_how_long_an_answer_is_good_is_what_its_source_says_within_a_minute() -> None:
    async def ages(lifetimes: Sequence[float]) -> list[str]:
        found = []
        for lifetime in lifetimes:
            async with visiting(Told(ALICE, lifetime=lifetime)) as it:
                found.append((await it.get("/~alice.json")).headers["Cache-Control"])
        return found

    assert asyncio.run(ages([0, 30.5, 86400])) == [
        "private, no-cache",
        "private, max-age=30",
        "private, max-age=60",
    ]


def test_the_stylesheet_may_be_kept_for_long() -> None:
    said = get("/style.css?123")
    assert said.headers["Content-Type"] == "text/css; charset=utf-8"
    assert "immutable" in said.headers["Cache-Control"]
