# SPDX-License-Identifier: MIT
"""Who may ask what: audiences by network, refusals, rates."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerd_sd.config.mistakes import Mistake
from fingerd_sd.config.table import Layer, Table
from fingerd_sd.policy import rates
from fingerd_sd.policy import rules as policy_module
from fingerd_sd.policy.audience import DEFAULT_RATE, DEFAULT_SHOW, Audience, read_audience
from fingerd_sd.policy.rates import MAX_BUCKETS
from fingerd_sd.policy.rules import MAX_CLIENTS, Client, Policy
from fingerd_sd.protocol.entry import ATOMS
from fingerd_sd.protocol.query import Query
from fingerd_sd.protocol.reply import FORWARDING_DENIED, LIST_DENIED

from ..helpers.houses import networks

INSIDE = Audience("inside", networks("192.0.2.0/24", "2001:db8:1::/48"), frozenset(ATOMS))
OFFICE = Audience("office", networks("192.0.0.0/16", "2001:db8::/32"), frozenset({"name"}))
ANYWHERE = Policy([INSIDE, OFFICE])


def read(values: Mapping[str, Any]) -> tuple[Audience, list[Mistake]]:
    """Return the audience of a table, and the mistakes in it."""
    mistakes: list[Mistake] = []
    table = Table([Layer(Path("fingerd.toml"), values)], "audience[1]", mistakes)
    return read_audience(table), mistakes


# --- audiences ---


@pytest.mark.parametrize(
    ("peer", "audience"),
    [
        ("192.0.2.1", "inside"),
        ("192.0.3.1", "office"),
        ("192.1.0.1", "everyone"),
        ("2001:db8:1::1", "inside"),
        ("2001:db8:2::1", "office"),
        ("2001:db9::1", "everyone"),
        ("::ffff:192.0.2.1", "inside"),
        ("::ffff:192.1.0.1", "everyone"),
        ("fe80::1%eth0", "everyone"),
    ],
)
def test_the_first_audience_that_holds_the_client_wins(peer: str, audience: str) -> None:
    assert ANYWHERE.client(peer).audience.name == audience


def test_the_order_of_audiences_decides() -> None:
    assert Policy([OFFICE, INSIDE]).client("192.0.2.1").audience is OFFICE


def test_everyone_else_gets_the_private_defaults() -> None:
    for policy in (ANYWHERE, Policy([])):
        audience = policy.client("203.0.113.9").audience
        assert audience == Audience()
        assert audience.show == frozenset({"name", "status", "project", "plan"})
        assert not any((audience.list, audience.forward, audience.match_names))
        assert policy.client("203.0.113.9").rate == DEFAULT_RATE


def test_a_network_of_one_family_never_holds_a_client_of_the_other() -> None:
    policy = Policy([Audience("four", networks("0.0.0.0/0"))])
    assert policy.client("192.0.2.1").audience.name == "four"
    assert policy.client("::ffff:192.0.2.1").audience.name == "four"
    assert policy.client("2001:db8::1").audience.name == "everyone"


# --- clients ---


@pytest.mark.parametrize(
    ("peer", "address", "key"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1:a:b:c:d", "2001:db8:0:1:a:b:c:d", "2001:db8:0:1::/64"),
        ("2001:db8:0:1::2", "2001:db8:0:1::2", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::1", "fe80::/64"),
        ("::1", "::1", "::/64"),
        ("", "local", "127.0.0.1"),
    ],
)
def test_a_client_is_known_by_its_address_and_counted_by_its_network(
    peer: str, address: str, key: str
) -> None:
    client = ANYWHERE.client(peer)
    assert (client.address, client.key) == (address, key)


@pytest.mark.parametrize("peer", ["here", "192.0.2", "192.0.2.1:79", "%eth0x y", "::g", " "])
def test_what_is_no_address_is_no_client(peer: str) -> None:
    if peer.startswith("%"):  # a zone of nothing: an AF_UNIX peer never has one
        assert ANYWHERE.client(peer).key == "127.0.0.1"
        return
    with pytest.raises(ValueError, match="does not appear"):
        ANYWHERE.client(peer)


def test_a_client_on_a_local_socket_belongs_to_the_audience_of_this_machine() -> None:
    policy = Policy([Audience("here", networks("127.0.0.0/8"))])
    assert policy.client("").audience.name == "here"


@pytest.mark.parametrize(
    ("how", "peer", "logged"),
    [
        ("full", "192.0.2.77", "192.0.2.77"),
        ("full", "2001:db8:1:2::3", "2001:db8:1:2::3"),
        ("prefix", "192.0.2.77", "192.0.2.0/24"),
        ("prefix", "::ffff:192.0.2.77", "192.0.2.0/24"),
        ("prefix", "2001:db8:1:2::3", "2001:db8:1::/48"),
        ("prefix", "", "local"),
        ("full", "", "local"),
        ("none", "192.0.2.77", "-"),
        ("none", "2001:db8:1:2::3", "-"),
        ("none", "", "-"),
    ],
)
def test_the_journal_gets_as_much_of_an_address_as_it_may(how: str, peer: str, logged: str) -> None:
    assert Policy([], how).client(peer).logged == logged


@given(st.ip_addresses())
def test_any_address_is_a_client(address: object) -> None:
    client = ANYWHERE.client(str(address))
    assert client.audience in (INSIDE, OFFICE, Audience())
    assert ANYWHERE.client(client.address).key == client.key


def test_clients_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_module, "MAX_CLIENTS", 3)
    policy = Policy([INSIDE])
    first = policy.client("192.0.2.1")
    assert policy.client("192.0.2.1") is first
    for last in range(2, 6):
        policy.client(f"192.0.2.{last}")
    assert policy.client("192.0.2.1") == first
    assert policy.client("192.0.2.1") is not first


def test_a_client_that_was_forgotten_is_the_same_and_its_rate_is_not() -> None:
    policy = Policy([Audience(rate=1)])
    client = policy.client("192.0.2.1")
    assert policy.admit(client, 0.0)
    policy.forget_clients()
    again = policy.client("192.0.2.1")
    assert again == client
    assert again is not client
    assert not policy.admit(again, 0.0)


# --- refusals ---


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        (Query("alice"), None),
        (Query("alice", whois=True), None),
        (Query(""), LIST_DENIED),
        (Query("", whois=True), LIST_DENIED),
        (Query("", ("h",)), FORWARDING_DENIED),
        (Query("alice", ("h1", "h2")), FORWARDING_DENIED),
    ],
)
def test_refuses_lists_and_forwarding_by_default(query: Query, refusal: str | None) -> None:
    assert ANYWHERE.refusal(query, Audience()) == refusal


# --- hosts that are this server ---

CALLED = Policy([], names=["Finger.Example.Org", "localhost", "192.0.2.9", "[2001:db8::9]"])


@pytest.mark.parametrize(
    ("hosts", "here", "left", "alike"),
    [
        ((), "192.0.2.1", (), True),
        (("finger.example.org",), "", (), True),
        (("FINGER.example.ORG.",), "", (), True),
        (("finger.example.org..",), "", ("finger.example.org..",), True),
        (("example.org",), "", ("example.org",), True),
        (("localhost", "localhost"), "", (), True),
        (("other", "localhost"), "", ("other",), True),
        (("localhost", "other"), "", ("localhost", "other"), True),
        # Addresses that it was told, whatever the client has connected to.
        (("192.0.2.9",), "", (), True),
        (("::ffff:192.0.2.9",), "", (), True),
        (("2001:DB8:0::9",), "", (), True),
        (("[2001:db8::9]",), "", (), True),
        # The one that the client has connected to.
        (("192.0.2.1",), "192.0.2.1", (), False),
        (("192.0.2.1",), "::ffff:192.0.2.1", (), False),
        (("::ffff:192.0.2.1",), "192.0.2.1", (), False),
        (("[::ffff:192.0.2.1]",), "::ffff:192.0.2.1", (), False),
        (("2001:db8::1",), "2001:db8:0:0::1", (), False),
        (("[2001:db8::1]",), "2001:db8::1", (), False),
        (("fe80::1",), "fe80::1%eth0", (), False),
        (("[fe80::1%eth0]",), "fe80::1", (), False),
        (("192.0.2.1",), "192.0.2.2", ("192.0.2.1",), False),
        (("192.0.2.1",), "", ("192.0.2.1",), False),
        (("192.0.2.1",), "here", ("192.0.2.1",), False),
        (("other", "192.0.2.1", "localhost"), "192.0.2.1", ("other",), False),
        (("localhost", "192.0.2.1"), "192.0.2.2", ("localhost", "192.0.2.1"), False),
        (("192.0.2.1", "other"), "192.0.2.1", ("192.0.2.1", "other"), True),
        (("localhost",) * 4, "", (), True),
        (("localhost",) * 5, "", ("localhost",) * 5, True),
    ],
)
def test_the_hosts_at_the_right_end_that_are_this_server_are_taken_off(
    hosts: tuple[str, ...], here: str, left: tuple[str, ...], alike: bool
) -> None:
    query = Query("alice", hosts, whois=True)
    assert CALLED.without_us(query, lambda: here) == (query._replace(hosts=left), alike)


@pytest.mark.parametrize("host", ["localhost", "192.0.2.1", "[::1]"])
def test_without_a_name_every_host_is_another(host: str) -> None:
    query = Query("alice", (host,))
    assert Policy([]).without_us(query, lambda: "192.0.2.1") == (query, True)


def test_what_a_client_has_connected_to_is_asked_for_an_address_only() -> None:
    def asked() -> str:
        raise AssertionError("asked for the address")

    for hosts in ((), ("localhost",), ("192.0.2.9",), ("other",), ("other", "localhost")):
        CALLED.without_us(Query("alice", hosts), asked)


# --- rates ---


def test_a_client_may_ask_as_often_as_its_rate_says() -> None:
    policy = Policy([Audience(rate=3)])
    client = policy.client("192.0.2.1")
    assert [policy.admit(client, 0.0) for _ in range(4)] == [True, True, True, False]
    assert not policy.admit(client, 19.0)  # the bucket fills by one in 20 s
    assert policy.admit(client, 20.5)
    assert not policy.admit(client, 20.5)
    assert [policy.admit(client, 1000.0) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("", True),
        ("192.0.2.1", False),
        ("10.0.0.1", False),
        ("2001:db8::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:192.0.2.1", False),
    ],
)
def test_a_rate_that_nobody_set_is_for_clients_beyond_this_machine(peer: str, local: bool) -> None:
    office = Audience("office", networks("192.0.2.0/24", "127.0.0.0/8"))
    for policy in (Policy([]), Policy([office])):
        assert policy.client(peer).rate == (0 if local else DEFAULT_RATE)
    for rate in (0, 7, DEFAULT_RATE):  # what was written holds for all
        assert Policy([Audience(rate=rate)]).client(peer).rate == rate


def test_no_rate_is_no_limit() -> None:
    policy = Policy([Audience(rate=0)])
    client = policy.client("192.0.2.1")
    assert all(policy.admit(client, 0.0) for _ in range(10_000))


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("127.0.0.1", "", True),
    ],
)
def test_the_addresses_of_one_client_share_its_rate(one: str, other: str, share: bool) -> None:
    policy = Policy([Audience(rate=1)])
    assert policy.admit(policy.client(one), 0.0)
    assert policy.admit(policy.client(other), 0.0) is not share


def test_rates_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has been quiet longest is forgotten, and may ask anew."""
    monkeypatch.setattr(rates, "MAX_BUCKETS", 2)
    policy = Policy([Audience(rate=1)])
    one, two, three = (policy.client(f"192.0.2.{last}") for last in (1, 2, 3))
    assert policy.admit(one, 0.0)
    assert policy.admit(two, 0.0)
    assert not policy.admit(one, 0.0)  # asked last: two is now the quietest
    assert policy.admit(three, 0.0)
    assert not policy.admit(one, 0.0)
    assert policy.admit(two, 0.0)


def test_a_miss_counts_more_and_who_gets_one_may_have_to_wait_for_it() -> None:
    policy = Policy([Audience(rate=6)])
    client = policy.client("192.0.2.1")
    assert policy.admit(client, 0.0)
    policy.missed(client)  # 2 of 6 are left
    assert policy.admit(client, 0.0)
    policy.missed(client)  # 2 are owed
    assert not policy.admit(client, 29.0)  # the bucket fills by one in 10 s
    assert policy.admit(client, 30.5)
    assert not policy.admit(client, 30.5)


def test_who_misses_many_times_at_once_owes_no_more_than_a_full_bucket_of_misses() -> None:
    policy = Policy([Audience(rate=2)])
    client = policy.client("192.0.2.1")
    assert [policy.admit(client, 0.0) for _ in range(3)] == [True, True, False]
    for _ in range(100):
        policy.missed(client)
    assert not policy.admit(client, 209.0)  # 6 are owed and one is needed, at one in 30 s
    assert policy.admit(client, 210.5)


def test_a_miss_without_a_rate_or_of_a_client_that_was_forgotten_is_nothing() -> None:
    free, limited = Policy([Audience(rate=0)]), Policy([Audience(rate=1)])
    free.missed(free.client("192.0.2.1"))
    assert free.admit(free.client("192.0.2.1"), 0.0)
    limited.missed(limited.client("192.0.2.1"))
    assert limited.admit(limited.client("192.0.2.1"), 0.0)


def many(count: int) -> Iterator[Client]:
    """Yield as many clients, half of them an IPv4 address, half an IPv6 /64."""
    audience = Audience(rate=2)
    for number in range(count // 2):
        high, low = divmod(number, 65536)
        four = f"10.{high}.{low >> 8}.{low & 255}"
        six = f"2001:db8:{high:x}:{low:x}::"
        yield Client(four, four, four, audience, 2)
        yield Client(f"{six}1", f"{six}1", f"{six}/64", audience, 2)


def test_what_is_remembered_of_very_many_clients_is_bounded() -> None:
    """tests/system/torture/test_rates.py does the same with 10 million."""
    policy = Policy([Audience(rate=2)])
    tracemalloc.start()
    try:
        for client in many(200_000):
            assert policy.admit(client, 0.0)
            policy.missed(client)
        for client in many(4 * MAX_CLIENTS):
            assert policy.client(client.address).rate == 2
        octets, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(policy._buckets) == MAX_BUCKETS
    assert len(policy._clients) == MAX_CLIENTS
    assert octets < MAX_BUCKETS * 350 + MAX_CLIENTS * 1000


# --- reading ---


def test_an_empty_table_is_the_private_default() -> None:
    assert read({}) == (Audience(), [])


def test_a_table_says_everything_of_an_audience() -> None:
    audience, mistakes = read(
        {
            "name": "inside",
            "networks": ["192.0.2.0/24", "2001:db8::/32"],
            "show": ["name", "office"],
            "rate": 5,
        }
    )
    assert mistakes == []
    assert audience == Audience(
        "inside", networks("192.0.2.0/24", "2001:db8::/32"), frozenset({"name", "office"}), rate=5
    )


def test_all_shows_every_atom() -> None:
    audience, mistakes = read({"show": "all"})
    assert audience.show == frozenset(ATOMS)
    assert mistakes == []


@pytest.mark.parametrize(
    "values",
    [
        {"networks": ["192.0.2.0/24"]},
        {"name": "everyone", "networks": ["192.0.2.0/24"]},
        {"networks": ["0.0.0.0/0"]},
        {"networks": []},
    ],
)
def test_everyone_is_never_only_some(values: dict[str, Any]) -> None:
    """Answers are remembered by the name of the audience: with a narrower one of the same name,
    what its clients may see would be shown to those whom it does not hold.
    """
    [mistake] = read({**values, "show": "all"})[1]
    assert mistake.key == "audience[1].networks"


def test_everyone_may_be_told_other_rules() -> None:
    audience, mistakes = read({"name": "everyone", "networks": ["::/0", "0.0.0.0/0"], "rate": 5})
    assert (audience.rate, mistakes) == (5, [])


@pytest.mark.parametrize("rate", [0, DEFAULT_RATE])
def test_a_rate_that_was_written_is_told_from_the_default(rate: int) -> None:
    assert read({"rate": rate})[0].rate == rate
    assert read({})[0].rate is None


@pytest.mark.parametrize("name", ["", "two\nlines", "\x1b[31m", "\u202e"])
def test_the_name_of_an_audience_is_printable(name: str) -> None:
    [mistake] = read({"name": name})[1]
    assert mistake.key == "audience[1].name"


@pytest.mark.parametrize(
    ("values", "key", "said"),
    [
        ({"name": "x", "networks": ["192.0.2.1/24"]}, "networks", 'mean "192.0.2.0/24"?'),
        ({"name": "x", "networks": ["everywhere"]}, "networks", "192.0.2.0/24"),
        ({"networks": "192.0.2.0/24"}, "networks", "expected an array"),
        ({"networks": [1]}, "networks", "array of strings"),
        ({"show": ["nmae"]}, "show", "home_phone"),
        ({"show": "everything"}, "show", "expected an array"),
        ({"show": 1}, "show", "expected an array"),
        ({"list": 1}, "list", "expected true, false"),
        ({"list": "plan"}, "list", '"plans"'),
        ({"list": "plans", "show": ["name"]}, "list", "needs"),
        ({"rate": -1}, "rate", "queries a minute"),
        ({"rate": 1.5}, "rate", "whole number"),
        ({"nmae": "x"}, "nmae", 'did you mean "name"?'),
        ({"forward": True}, "forward_hosts", "is missing"),
        ({"match_names": True}, "match_names", "needs list = true"),
    ],
)
def test_a_mistake_names_its_key_and_what_is_expected(
    values: dict[str, Any], key: str, said: str
) -> None:
    audience, [mistake] = read(values)
    assert mistake.key == f"audience[1].{key}"
    assert said in mistake.text
    assert isinstance(audience, Audience)


def test_the_default_atoms_are_atoms() -> None:
    assert set(DEFAULT_SHOW) <= set(ATOMS)
