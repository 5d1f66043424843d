# SPDX-License-Identifier: MIT
"""Addresses of the site: what each asks for."""

from __future__ import annotations

import pytest

from fingerd_sd.serving.web.forms.values import Form
from fingerd_sd.serving.web.target import Target, target_of


@pytest.mark.parametrize(
    ("raw", "user", "form"),
    [
        ("/~alice", b"alice", None),
        ("/~alice.txt", b"alice", "text"),
        ("/~alice.json", b"alice", "json"),
        ("/~alice.vcf", b"alice", "vcard"),
        ("/~a%2Etxt", b"a.txt", None),
        ("/~a.txt.json", b"a.txt", "json"),
        ("/~a.json.txt", b"a.json", "text"),
        ("/~a.vcf.json", b"a.vcf", "json"),
        ("/~a.txt.txt", b"a.txt", "text"),
    ],
)
def test_the_last_suffix_is_the_form_and_what_stands_before_is_the_name(
    raw: str, user: bytes, form: Form | None
) -> None:
    assert target_of(raw) == Target("user", user, form)
