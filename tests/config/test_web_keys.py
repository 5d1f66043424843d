# SPDX-License-Identifier: MIT
"""`[web]`: every mistake by file and key."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from fingerd_sd.commands import settings
from fingerd_sd.config.mistakes import ConfigError
from fingerd_sd.config.web import LinkTemplate, WebKeys


def read(tmp_path: Path, text: str) -> WebKeys | None:
    file = tmp_path / "fingerd.toml"
    file.write_text(text)
    return settings.load(file, None).web


def test_without_the_table_nothing_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, "") is None


def test_every_key_has_a_default(tmp_path: Path) -> None:
    assert read(tmp_path, "[web]\n") == WebKeys(None, (), ())


def test_all_keys(tmp_path: Path) -> None:
    text = """
[web]
domains = ["Example.ORG", "localhost"]
trusted_proxies = ["192.0.2.1", "2001:db8::/64"]
[[web.links]]
rel = "http://openid.net/specs/connect/1.0/issuer"
href = "https://id.example.org"
[[web.links]]
rel = "avatar"
href = "https://example.org/{user}.png?s=1#x"
type = "image/png"
"""
    assert read(tmp_path, text) == WebKeys(
        ("example.org", "localhost"),
        (
            LinkTemplate("http://openid.net/specs/connect/1.0/issuer", "https://id.example.org"),
            LinkTemplate("avatar", "https://example.org/{user}.png?s=1#x", "image/png"),
        ),
        (ip_network("192.0.2.1"), ip_network("2001:db8::/64")),
    )


@pytest.mark.parametrize(
    ("line", "key", "text"),
    [
        ('domain = ["example.org"]', "web.domain", 'did you mean "domains"?'),
        ("domains = []", "web.domains", "at least one"),
        ('domains = ["https://example.org"]', "web.domains", '"https://example.org"'),
        ('domains = ["example org"]', "web.domains", '"example org"'),
        ('domains = ["@example.org"]', "web.domains", '"@example.org"'),
        ('domains = [""]', "web.domains", "expected domains"),
        ('domains = "example.org"', "web.domains", "an array"),
        ('trusted_proxies = ["10.0.0.1/8"]', "web.trusted_proxies", '"10.0.0.1/8"'),
        ('trusted_proxies = ["proxy"]', "web.trusted_proxies", '"proxy"'),
        ('trusted_proxies = ["0.0.0.0/0"]', "web.trusted_proxies", "everybody"),
        ('trusted_proxies = ["::/0"]', "web.trusted_proxies", "everybody"),
        ("links = 3", "web.links", "an array of tables"),
        ('links = ["x"]', "web.links", "an array of tables"),
        ('links = [{ href = "https://a" }]', "web.links[1].rel", "what the link is"),
        ('links = [{ rel = "a b", href = "https://a" }]', "web.links[1].rel", "what the link is"),
        ('links = [{ rel = "me" }]', "web.links[1].href", "{user}"),
        ('links = [{ rel = "me", href = "/~{user}" }]', "web.links[1].href", "absolute"),
        ('links = [{ rel = "me", href = "https://a/{login}" }]', "web.links[1].href", "{login}"),
        ('links = [{ rel = "me", href = "javascript:1" }]', "web.links[1].href", "absolute"),
        ('links = [{ rel = "me", href = "https://a/ b" }]', "web.links[1].href", "absolute"),
        ('links = [{ rel = "me", href = "https://a", kind = "" }]', "web.links[1].kind", "known"),
        (
            'links = [{ rel = "me", href = "https://a", type = "a\\nb" }]',
            "web.links[1].type",
            "a media type",
        ),
    ],
)
def test_a_mistake_has_file_and_key(tmp_path: Path, line: str, key: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"[web]\n{line}\n")
    (mistake,) = caught.value.mistakes
    assert (mistake.file, mistake.key) == (tmp_path / "fingerd.toml", key)
    assert text in mistake.text


def test_all_mistakes_are_told_in_one_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, '[web]\ndomains = ["-"]\nlinks = 1\ntrusted_proxies = ["x"]\nmore = 1\n')
    assert len(caught.value.mistakes) == 4


def test_a_section_of_another_name_is_told_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'did you mean "web"\?'):
        read(tmp_path, "[webb]\n")
