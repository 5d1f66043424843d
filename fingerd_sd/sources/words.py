# SPDX-License-Identifier: MIT
"""Full names by their words: RFC 1288 §2.5.3 lets the administrator decide about matching."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Index = Mapping[str, Sequence[str]]  # a word, folded → the logins of users whose name has it


def index(names: Iterable[tuple[str, str]]) -> Index:
    """Return the index of pairs of login and full name."""
    logins: dict[str, list[str]] = {}
    for login, name in names:
        for word in {*name.casefold().split()}:
            logins.setdefault(word, []).append(login)
    return logins


def matching(logins: Index, words: Sequence[str]) -> list[str]:
    """Return the logins of users whose name has all of `words`, whole and without regard to case.

    No sign has a special meaning: "*" matches a "*".
    """
    found = [logins.get(word.casefold(), ()) for word in words]
    if not found:
        return []
    rarest = min(found, key=len)
    rest = [set(one) for one in found if one is not rarest]
    return [login for login in rarest if all(login in one for one in rest)]
