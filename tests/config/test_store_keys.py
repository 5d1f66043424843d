# SPDX-License-Identifier: MIT
"""`[store]`: where the store is, and each mistake by file, key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from fingerd_sd.config.mistakes import Mistake
from fingerd_sd.config.store import Place, StoreKeys, read_store
from fingerd_sd.config.table import Layer, Table


def read(**values: object) -> tuple[StoreKeys | None, list[str], list[str]]:
    """Return what a table says, its mistakes and its warnings."""
    mistakes: list[Mistake] = []
    warnings: list[Mistake] = []
    table = Table([Layer("/etc/f.toml", values)], "store", mistakes, warnings)
    return read_store(table), [*map(str, mistakes)], [*map(str, warnings)]


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://h", Place("redis", (("h", 6379),))),
        ("redis://me@h:1/3", Place("redis", (("h", 1),), database=3, user="me")),
        ("rediss://[2001:db8::1]:6380", Place("redis", (("2001:db8::1", 6380),), tls=True)),
        ("unix:///run/redis/s", Place("unix", path="/run/redis/s")),
        (
            "redis+sentinel://a,b:7/main/2",
            Place("sentinel", (("a", 26379), ("b", 7)), database=2, master="main"),
        ),
        ("rediss+cluster://a,b", Place("cluster", (("a", 6379), ("b", 6379)), tls=True)),
    ],
)
def test_reads_an_address(url: str, place: Place) -> None:
    keys, mistakes, _ = read(url=url)
    assert mistakes == []
    assert keys is not None
    assert keys.place == place
    assert keys.replicas == (place.kind == "sentinel")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"url": "redis://:secret@h"}, 'store.url: has a password, .* credential = "NAME"'),
        ({"url": "redis://u:secret@h"}, "LoadCredential="),
        ({"url": "http://u:secret@h"}, 'not "http://h"'),
        ({"url": ""}, "remove the key"),
        ({"url": "redis://"}, "has no host"),
        ({"url": "redis://h:0"}, "has no host"),
        ({"url": "redis://h:70000"}, "has no port"),
        ({"url": "redis://h/x"}, "no number of a database"),
        ({"url": "redis://h?db=1"}, r"after a \?"),
        ({"url": "redis://[::1"}, "store.url: "),
        ({"url": "redis://a,b"}, "several hosts"),
        ({"url": "redis+sentinel://a"}, "does not name the master"),
        ({"url": "redis+cluster://a/1"}, "a cluster has only one"),
        ({"url": "unix://run/s"}, "three slashes"),
        ({"url": "redis://a b"}, "without spaces"),
        ({"url": "redis://h", "namespace": "a{b"}, "store.namespace: expected 1 to 64"),
        ({"url": "redis://h", "credential": "/etc/x"}, "not a path"),
        ({"url": "redis://h", "hosts": ["a.b"]}, "without a domain"),
        ({"url": "redis://h", "host": "-"}, "store.host: "),
        ({"url": "redis://h", "ulr": 1}, 'did you mean "url"'),
        ({"url": 3}, "expected a string"),
    ],
)
def test_names_a_mistake(values: dict[str, object], told: str) -> None:
    import re

    _, mistakes, _ = read(**values)
    assert len(mistakes) == 1
    assert re.search(told, mistakes[0])
    assert "secret" not in mistakes[0]
    assert mistakes[0].startswith("/etc/f.toml: store.")


def test_without_an_address_there_is_no_store() -> None:
    assert read() == (None, [], [])
    keys, mistakes, warnings = read(ttl=3)
    assert (keys, mistakes) == (None, [])
    assert warnings == ["/etc/f.toml: store.ttl: has no effect: [store] has no url"]


def test_a_file_is_beside_the_configuration(tmp_path: Path) -> None:
    keys, _, _ = read(url="rediss://h", ca="store.pem")
    assert keys is not None
    assert keys.ca == "/etc/store.pem"
