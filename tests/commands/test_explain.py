# SPDX-License-Identifier: MIT
"""`ask --explain`: where each part of an answer comes from, or which rule hid it."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from fingerd_sd.commands.inspecting.explain import explain
from fingerd_sd.directory.lookup import Directory
from fingerd_sd.directory.source import Mounted
from fingerd_sd.policy.audience import Audience
from fingerd_sd.policy.rules import Policy
from fingerd_sd.protocol.entry import ATOMS, Absent, Person, Text

from ..helpers.houses import Told, networks
from ..helpers.wire import run

INSIDE = Audience("inside", networks("192.0.2.0/24"), frozenset({"name", "plan", "office"}))
ALICE = Person(
    "alice",
    name="Alice",
    phone="1",
    plan="Working.",
    origins=MappingProxyType({"plan": "/home/alice/.plan", "project": "no /home/alice/.project"}),
)


def told(line: bytes, *sources: Mounted, peer: str = "192.0.2.1") -> list[str]:
    policy = Policy([INSIDE])
    return run(explain(policy, Directory(sources), line, policy.client(peer)))


def test_it_tells_the_audience_and_why_the_client_is_in_it() -> None:
    [first, *_] = told(b"alice\r\n")
    assert first == 'audience: "inside" (192.0.2.1 is in 192.0.2.0/24)'
    [first, *_] = told(b"alice\r\n", peer="::ffff:198.51.100.1")
    assert first == 'audience: "everyone" (198.51.100.1 is in 0.0.0.0/0, ::/0)'


@pytest.mark.parametrize(
    ("peer", "rate"),
    [
        ("192.0.2.1", 'rate: 60 queries a minute, from the audience "inside"'),
        ("192.0.2.9", 'rate: no limit, from the audience "free"'),
        ("198.51.100.1", "rate: 120 queries a minute, the default beyond this machine"),
        ("127.0.0.1", "rate: no limit, the default on this machine"),
    ],
)
def test_it_tells_how_often_the_client_may_ask(peer: str, rate: str) -> None:
    free = Audience("free", networks("192.0.2.9/32"), rate=0)
    policy = Policy([free, INSIDE._replace(rate=60)])
    assert run(explain(policy, Directory([]), b"x", policy.client(peer)))[1] == rate


@pytest.mark.parametrize(
    ("line", "queries"),
    [
        (b"alice@localhost\r\n", ["query: localhost is this server"]),
        (
            b"alice@finger.example.org@LOCALHOST\r\n",
            ["query: LOCALHOST is this server", "query: finger.example.org is this server"],
        ),
        (
            b"alice@h@localhost\r\n",
            [
                "query: localhost is this server",
                'query: refused: the audience "everyone" has forward = false',
            ],
        ),
        (
            b"alice@192.0.2.1\r\n",
            [
                "query: 192.0.2.1 is this server for clients that connect to it",
                'query: refused: the audience "everyone" has forward = false',
            ],
        ),
    ],
)
def test_it_tells_which_host_is_this_server(line: bytes, queries: list[str]) -> None:
    policy = Policy([], names=["localhost", "finger.example.org"])
    directory = Directory([Mounted(Told(ALICE))])
    lines = run(explain(policy, directory, line, policy.client("127.0.0.1")))
    assert [told for told in lines if told.startswith("query: ")] == queries
    refused = queries[-1].startswith("query: refused: ")
    assert ("source: told: knows the user" in lines) is not refused


def test_it_tells_what_each_source_said() -> None:
    lines = told(
        b"alice\r\n",
        Mounted(Told(ALICE, "private"), frozenset({"outside"})),
        Mounted(Told(Absent("no .plan"), "accounts")),
        Mounted(Told(ValueError("on fire"), "broken")),
        Mounted(Told(ALICE, "static")),
        Mounted(Told(ALICE, "never asked")),
    )
    assert [line for line in lines if line.startswith("source: ")] == [
        'source: private: not for the audience "inside"',
        "source: accounts: no .plan",
        "source: broken: failed: ValueError: on fire",
        "source: static: knows the user",
    ]


def test_it_tells_of_every_atom_where_it_came_from_or_what_hid_it() -> None:
    lines = told(b"alice\r\n", Mounted(Told(ALICE)))[3:]
    assert [line.partition(":")[0] for line in lines] == list(ATOMS)
    atoms = dict(line.split(": ", 1) for line in lines)
    assert atoms["plan"] == "/home/alice/.plan"
    assert atoms["name"] == "the source"
    assert atoms["phone"] == 'hidden: not in show of the audience "inside"'
    assert atoms["project"] == "nothing to show: no /home/alice/.project"
    assert atoms["office"] == "nothing to show"


def test_it_tells_where_a_text_came_from() -> None:
    lines = told(b"moshez\r\n", Mounted(Told(Text("hi", "fingerd.toml: users.moshez"))))
    assert lines[-1] == "text: fingerd.toml: users.moshez, verbatim"
    assert told(b"moshez\r\n", Mounted(Told(Text("hi"))))[-1] == "text: the source, verbatim"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"\r\n", 'query: refused: the audience "inside" has list = false'),
        (b"/W\r\n", 'query: refused: the audience "inside" has list = false'),
        (b"a@h\r\n", 'query: refused: the audience "inside" has forward = false'),
        (b"\0\r\n", "query: malformed: a character that cannot be printed"),
        (b"\xff\xff\xfe\r\n", "query: malformed: not UTF-8"),
    ],
)
def test_it_tells_which_rule_refuses(line: bytes, why: str) -> None:
    source = Told(ALICE)
    assert told(line, Mounted(source))[2:] == [why]
    assert source.asked == []
