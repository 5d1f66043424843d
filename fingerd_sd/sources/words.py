# SPDX-License-Identifier: MIT
"""Full names by their words: RFC 1288 §2.5.3 leaves it to the administrator to match them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Index = Mapping[str, Sequence[str]]  # a word, folded → the logins of those whose name has it


def index(names: Iterable[tuple[str, str]]) -> Index:
    """Return the index of pairs of login and full name."""
    logins: dict[str, list[str]] = {}
    for login, name in names:
        for word in {*name.casefold().split()}:
            logins.setdefault(word, []).append(login)
    return logins


def matching(logins: Index, words: Sequence[str]) -> list[str]:
    """Return the logins of those whose name has all of `words`, whole and without regard to case.

    A sign has no meaning of its own: "*" matches a "*".
    """
    found = [logins.get(word.casefold(), ()) for word in words]
    if not found:
        return []
    rarest = min(found, key=len)
    rest = [set(one) for one in found if one is not rarest]
    return [login for login in rarest if all(login in one for one in rest)]
