# SPDX-License-Identifier: MIT
"""/.well-known/webfinger as a client has it: RFC 7033 §4, §5, and RFC 9110."""

from __future__ import annotations

import asyncio
import json
import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fingerd_sd.config.web import LinkTemplate
from fingerd_sd.policy.audience import Audience
from fingerd_sd.protocol.entry import ATOMS, Absent, Entry, Link, Person
from fingerd_sd.sources.people import Range
from fingerd_sd.sources.published.source import PublishedSource

from ...helpers import needs
from ...helpers.houses import ALICE, Told, networks, static
from ...helpers.published import NOON, Folder, account, closed_afterwards

needs.modules("aiohttp", "jinja2")
from ...helpers.visits import Answered, visiting  # noqa: E402  # where these are there

__all__ = ["closed_afterwards"]

PATH = "/.well-known/webfinger"
OF_ALICE = f"{PATH}?resource=acct%3Aalice%40example.org"
ISSUER = "http://openid.net/specs/connect/1.0/issuer"
PEOPLE: dict[str, Entry] = {
    "alice": ALICE._replace(links=(Link("me", "https://social.example/@alice"),))
}
REFUSED = [
    (PATH, 400),
    (f"{PATH}?", 400),
    (f"{PATH}?resource=", 400),
    (f"{PATH}?resource=alice", 400),
    (f"{PATH}?resource=acct%3Aalice%40example.org&resource=acct%3Aalice%40example.org", 400),
    (f"{PATH}?resource=acct%3Aal%ice%40example.org", 400),
    (f"{PATH}?resource=acct%3Aal%FFice%40example.org", 400),
    (f"{PATH}?resource=acct%3Anobody%40example.org", 404),
    (f"{PATH}?resource=acct%3Aalice%40example.net", 404),
    (f"{PATH}?resource=https%3A%2F%2Fexample.org%2Falice", 404),
    (f"{PATH}?resource=urn%3Aisbn%3A0451450523", 404),
]


def get(target: str, *headers: str, method: str = "GET", **settings: Any) -> Answered:
    """Return the response of a house in which alice is."""

    async def scenario() -> Answered:
        async with visiting(static(PEOPLE), **settings) as it:
            return await it.get(target, *headers, method=method)

    return asyncio.run(scenario())


def open_to_anybody(said: Answered) -> bool:
    return said.headers.get("Access-Control-Allow-Origin") == "*"


def hrefs(said: Answered) -> list[str]:
    return [link["href"] for link in said.json["links"]]


def test_a_user_is_told_of_in_a_jrd_that_any_site_may_read() -> None:
    said = get(OF_ALICE)
    assert (said.status, said.headers["Content-Type"]) == (200, "application/jrd+json")
    assert open_to_anybody(said)
    assert said.json["subject"] == "acct:alice@example.org"
    assert said.json["aliases"] == ["https://example.org/~alice"]
    assert "https://social.example/@alice" in hrefs(said)


@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/xrd+xml", "image/png;q=1"])
def test_it_is_a_jrd_whatever_the_client_accepts(accept: str) -> None:
    assert get(OF_ALICE, f"Accept: {accept}").headers["Content-Type"] == "application/jrd+json"


@pytest.mark.parametrize(
    "resource",
    [
        "acct:alice@example.org",
        "ACCT:ALICE@EXAMPLE.ORG",
        "mailto:alice@example.org",
        "https://example.org/~alice/",
        "http://example.org/%257Ealice",
        "acct:alice@xn--bcher-kva.example",
        "acct:alice@b%C3%BCcher.example",
    ],
)
def test_every_address_of_a_user_is_the_same_user(resource: str) -> None:
    domains = ("example.org", "xn--bcher-kva.example")
    said = get(f"{PATH}?resource={resource}", domains=domains)
    assert said.json["subject"] == "acct:alice@example.org"
    assert said.json["aliases"][1] == "acct:alice@xn--bcher-kva.example"


def test_only_the_relations_that_are_asked_for_are_told() -> None:
    assert hrefs(get(f"{OF_ALICE}&rel=me")) == ["https://social.example/@alice"]
    assert hrefs(get(f"{OF_ALICE}&rel=nosuch&rel=me")) == ["https://social.example/@alice"]
    assert hrefs(get(f"{OF_ALICE}&rel=nosuch")) == []


def test_single_sign_on_is_found_for_everybody_who_is_shown() -> None:
    links = (LinkTemplate(ISSUER, "https://id.example.org"),)
    asked = f"{OF_ALICE}&rel=http%3A%2F%2Fopenid.net%2Fspecs%2Fconnect%2F1.0%2Fissuer"
    assert get(asked, links=links).json["links"] == [
        {"rel": ISSUER, "href": "https://id.example.org"}
    ]


@pytest.mark.parametrize(("target", "status"), REFUSED)
def test_what_is_refused_is_one_sentence_that_any_site_may_read(target: str, status: int) -> None:
    said = get(target)
    assert said.status == status
    assert open_to_anybody(said)
    assert said.headers["Cache-Control"] == "no-store"
    assert said.json["status"] == status
    assert len(said.json["text"].splitlines()) == 1


def test_absent_hidden_and_elsewhere_are_the_same_octets() -> None:
    async def said(*sources: Any, target: str = OF_ALICE) -> bytes:
        async with visiting(*sources) as it:
            answer = await it.get(target)
            return answer.octets.replace(answer.headers["Date"].encode(), b"")

    async def scenario() -> set[bytes]:
        return {
            await said(static({})),
            await said(Told(Absent("hides"))),
            await said(),
            await said(static(PEOPLE), target=OF_ALICE.replace("example.org", "example.net")),
            await said(static(PEOPLE), target=OF_ALICE.replace("alice", "alice%252Fx")),
            await said(static(PEOPLE), target=f"{PATH}?resource=urn%3Ax"),
        }

    assert len(asyncio.run(scenario())) == 1


@pytest.mark.parametrize("target", [OF_ALICE, REFUSED[0][0], REFUSED[7][0]])
def test_head_is_get_without_the_body(target: str) -> None:
    whole, head = get(target), get(target, method="HEAD")
    dated = {"Date": ""}
    assert head.headers | dated == whole.headers | dated
    assert (head.status, head.body) == (whole.status, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS"])
def test_only_get_and_head_are_answered(method: str) -> None:
    said = get(OF_ALICE, method=method)
    assert (said.status, said.headers["Allow"]) == (405, "GET, HEAD")


def test_who_has_the_answer_already_is_told_so() -> None:
    tag = get(OF_ALICE).headers["ETag"]
    again = get(OF_ALICE, f"If-None-Match: {tag}")
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert open_to_anybody(again)
    assert get(f"{OF_ALICE}&rel=me", f"If-None-Match: {tag}").status == 200


def test_an_answer_is_good_for_as_long_as_its_source_says() -> None:
    async def age(lifetime: float) -> str:
        async with visiting(Told(ALICE, lifetime=lifetime)) as it:
            return (await it.get(OF_ALICE)).headers["Cache-Control"]

    assert asyncio.run(age(30.5)) == "private, max-age=30"
    assert asyncio.run(age(0)) == "private, no-cache"


@pytest.mark.parametrize(
    ("show", "properties"),
    [(["plan"], 0), (["name"], 1), (ATOMS, 1)],
)
def test_nothing_is_told_that_the_audience_may_not_see(
    show: Sequence[str], properties: int
) -> None:
    here = Audience("here", networks("127.0.0.0/8"), frozenset(show), rate=0)
    said = get(OF_ALICE, audiences=[here])
    assert len(said.json.get("properties", {})) == properties
    assert ("Alice Liddell" in said.text) is bool(properties)


def test_a_rate_holds_for_it_too() -> None:
    here = Audience("here", networks("127.0.0.0/8"), frozenset(ATOMS), rate=4)

    async def scenario() -> list[int]:
        async with visiting(static(PEOPLE), audiences=[here]) as it:
            return [(await it.get(REFUSED[number % 8][0])).status for number in range(8)]

    assert asyncio.run(scenario())[-1] == 429


def test_a_source_that_fails_is_no_absence() -> None:
    async def scenario() -> Answered:
        async with visiting(Told(ValueError("the disk is on fire"))) as it:
            return await it.get(OF_ALICE)

    said = asyncio.run(scenario())
    assert (said.status, open_to_anybody(said), "fire" in said.text) == (503, True, False)


def test_what_a_user_publishes_is_told_at_the_next_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pwd, "getpwnam", lambda name: {"alice": account("alice")}[name])
    folder = Folder(tmp_path)
    links = [{"rel": "me", "href": "https://social.example/@alice"}]
    evil = [{"rel": ISSUER, "href": "https://evil.example"}, {"rel": "me", "href": "javascript:x"}]

    async def scenario() -> None:
        source = PublishedSource("published", Range(), str(tmp_path), lambda: NOON)
        async with visiting(source) as it:
            assert (await it.get(OF_ALICE)).status == 404
            folder.publish("alice", links=json.dumps([*evil, *links]))
            assert hrefs(await it.get(f"{OF_ALICE}&rel=me")) == ["https://social.example/@alice"]
            assert "evil" not in (await it.get(OF_ALICE)).text
            folder.publish("alice", plan="p")
            assert hrefs(await it.get(f"{OF_ALICE}&rel=me")) == []
            folder.remove("alice")
            assert (await it.get(OF_ALICE)).status == 404

    asyncio.run(scenario())


def test_nothing_that_a_name_or_a_link_has_breaks_out_of_the_json() -> None:
    evil = '"}]}\x1b[31m</script>\u202e'
    person = Person("alice", name=evil, links=(Link("me", f"https://e/{evil}"), Link(evil, "x:y")))

    async def scenario() -> Answered:
        async with visiting(static({"alice": person})) as it:
            return await it.get(OF_ALICE)

    said = asyncio.run(scenario())
    (name,) = said.json["properties"].values()
    assert name.startswith('"}]}^[[31m</script>')
    assert not any(ord(character) < 32 for character in name)
    assert len(said.json["links"]) == 3
