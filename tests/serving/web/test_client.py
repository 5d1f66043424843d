# SPDX-License-Identifier: MIT
"""Who the client is, where a proxy stands between."""

from __future__ import annotations

from contextlib import suppress

import pytest

from fingerd_sd.policy.rules import Policy
from fingerd_sd.serving.web.client import HIDDEN, MAX_TOLD, Proxies, UnclearError

from ...helpers.houses import networks

PROXIES = Proxies(networks("192.0.2.0/24", "2001:db8:1::/48"))
PROXY = "192.0.2.1"


def of_forwarded(*values: str) -> str:
    return PROXIES.client(PROXY, values, ())


def of_other(*values: str) -> str:
    return PROXIES.client(PROXY, (), values)


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("", True),
        ("192.0.2.1", True),
        ("::ffff:192.0.2.1", True),
        ("2001:db8:1::1", True),
        ("192.0.3.1", False),
        ("127.0.0.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_who_is_trusted(peer: str, trusted: bool) -> None:
    assert PROXIES.trust(peer) is trusted


def test_without_networks_only_unix_sockets_are_trusted() -> None:
    assert Proxies().trust("")
    assert not Proxies().trust("127.0.0.1")


@pytest.mark.parametrize("peer", ["", PROXY])
def test_a_proxy_that_names_nobody_is_the_client(peer: str) -> None:
    assert PROXIES.client(peer, (), ()) == peer


@pytest.mark.parametrize(
    ("value", "client"),
    [
        # RFC 7239 §4, §6 and §7.1: its own examples
        ('for="_gazonk"', HIDDEN),
        ('For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ("for=198.51.100.60;proto=http;by=203.0.113.43", "198.51.100.60"),
        ("for=198.51.100.43, for=198.51.100.17", "198.51.100.17"),
        ("for=_hidden, for=_SEVKISEK", HIDDEN),
        ('for=198.51.100.43, for="[2001:db8:cafe::17]", for=unknown', HIDDEN),
        # the right-most that is no proxy of ours
        ("for=198.51.100.43, for=192.0.2.7", "198.51.100.43"),
        ('for=1.2.3.4, for=198.51.100.43, for=192.0.2.7, for="[2001:db8:1::5]"', "198.51.100.43"),
        ("for=1.2.3.4, for=198.51.100.43", "198.51.100.43"),
        ("for=192.0.2.9, for=192.0.2.7", "192.0.2.9"),
        ("for=_hidden, for=198.51.100.43", "198.51.100.43"),
        ("for=198.51.100.43, for=_hidden, for=192.0.2.7", HIDDEN),
        ("for=198.51.100.43, for=unknown", HIDDEN),
        ("for=UNKNOWN", HIDDEN),
        # what is left of it anybody can have written
        ("for=rubbish, for=198.51.100.43", "198.51.100.43"),
        # ports, names, blanks, quotes
        ('for="198.51.100.43:8080"', "198.51.100.43"),
        ("for=198.51.100.43:8080", "198.51.100.43"),
        ('for="198.51.100.43:_port"', "198.51.100.43"),
        ('for="[2001:DB8::1]"', "2001:db8::1"),
        ("for=[2001:db8::1]", "2001:db8::1"),
        ('for="2001:db8::1"', "2001:db8::1"),
        ('for="[::ffff:198.51.100.43]"', "198.51.100.43"),
        ('for="[fe80::1%eth0]"', "fe80::1"),
        ('for="198.51.\\100.43"', "198.51.100.43"),
        (" \t for=198.51.100.43 \t;\tby=x ", "198.51.100.43"),
        ('by="a;b,for=1.2.3.4";for=198.51.100.43', "198.51.100.43"),
        ('by="\\"";FOR=198.51.100.43', "198.51.100.43"),
        ("for=198.51.100.43,", "198.51.100.43"),
        (",, for=198.51.100.43 ,,", "198.51.100.43"),
        ("for=198.51.100.43;", "198.51.100.43"),
        ("for=198.51.100.43;;by=x", "198.51.100.43"),
        # an element that does not say for whom
        ("for=198.51.100.43, by=_me;proto=https", HIDDEN),
    ],
)
def test_forwarded(value: str, client: str) -> None:
    assert of_forwarded(value) == client


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        ";",
        "for",
        "for=",
        "for=;",
        'for=""',
        'for="198.51.100.43',
        "for=198.51.100.43;for=198.51.100.44",
        "for=198.51.100.256",
        "for=198.51.100",
        "for=example.org",
        "for=_",
        "for=_hid den",
        "for=[2001:db8::1",
        "for=[2001:db8::g]",
        "for=198.51.100.43:port",
        "for=198.51.100.43:123456",
        "for =198.51.100.43",
        "for= 198.51.100.43",
        "198.51.100.43",
        "for=198.51.100.43 for=198.51.100.44",
        "for=198.51.100.43\x00",
        "for=198.51.100.43\udcff",
        "for=１.2.3.4",
        'for="198.51.100.43"x',
    ],
)
def test_a_forwarded_that_makes_no_sense_is_never_guessed_at(value: str) -> None:
    with pytest.raises(UnclearError):
        of_forwarded(value)


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("198.51.100.43", "198.51.100.43"),
        ("1.2.3.4, 198.51.100.43", "198.51.100.43"),
        ("1.2.3.4,198.51.100.43 , 192.0.2.7", "198.51.100.43"),
        ("198.51.100.43:8080", "198.51.100.43"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:8080", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:198.51.100.43", "198.51.100.43"),
        ("unknown", HIDDEN),
        ("unix:", HIDDEN),
        ("rubbish, 198.51.100.43", "198.51.100.43"),
        ("192.0.2.9, 192.0.2.7", "192.0.2.9"),
        (", 198.51.100.43,", "198.51.100.43"),
    ],
)
def test_x_forwarded_for(value: str, client: str) -> None:
    assert of_other(value) == client


@pytest.mark.parametrize("value", ["", " ", ",", "rubbish", "198.51.100.43, x", '"198.51.100.43"'])
def test_an_x_forwarded_for_that_makes_no_sense_is_never_guessed_at(value: str) -> None:
    with pytest.raises(UnclearError):
        of_other(value)


def test_several_headers_of_one_name_are_one_list() -> None:
    assert of_forwarded("for=1.2.3.4", "for=198.51.100.43") == "198.51.100.43"
    assert of_other("198.51.100.43", "192.0.2.7") == "198.51.100.43"


def test_two_headers_that_agree_are_one_word() -> None:
    assert PROXIES.client("", ["for=198.51.100.43"], ["1.2.3.4, 198.51.100.43"]) == "198.51.100.43"


@pytest.mark.parametrize("other", ["198.51.100.44", "unknown"])
def test_two_headers_that_do_not_agree_are_none(other: str) -> None:
    """A proxy that sets one of them may pass on the other from the client."""
    with pytest.raises(UnclearError):
        PROXIES.client("", ["for=198.51.100.43"], [other])


def test_who_is_hidden_has_the_rights_of_everybody_and_no_more() -> None:
    own = networks("127.0.0.0/8", "10.0.0.0/8", "198.51.100.0/24", "::1/128", "fe80::/10")
    audience = Policy([])._audiences[0]._replace(name="own", networks=own)
    client = Policy([audience]).client(HIDDEN)
    assert client.audience.name == "everyone"
    assert client.rate > 0


@pytest.mark.parametrize(
    "filler", [" ", "\t", ",", ";", '"', "\\", "for=", "[", ":", "a", "for=a,"]
)
def test_a_long_header_takes_no_long_time(filler: str) -> None:
    """As long as a head may be: a test that hangs is ended by faulthandler_timeout."""
    for value in (filler * 32768, f"for={filler * 32768}", f'for="{filler * 32768}'):
        for read in (of_forwarded, of_other):
            for text in (value[:MAX_TOLD], value):
                with suppress(UnclearError):
                    read(text)


def test_whoever_names_very_many_names_nobody() -> None:
    for read, node in ((of_forwarded, "for=198.51.100.7,"), (of_other, "198.51.100.7,")):
        assert read(node * (MAX_TOLD // len(node))) == "198.51.100.7"
        with pytest.raises(UnclearError):
            read(node * (MAX_TOLD // len(node) + 1))
