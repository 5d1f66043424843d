# SPDX-License-Identifier: MIT
"""What goes wrong with the store, in words: one line, which names the setting and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fingerd_sd.directory.source import SourceError

# What a server says, by the class of python3-redis or by the word in front, and what to do.
# python3-redis drops the word where it has a class.
_CODES = {
    "AuthenticationError": "WRONGPASS", "AuthenticationWrongNumberOfArgsError": "WRONGPASS",
    "NoPermissionError": "NOPERM", "ReadOnlyError": "READONLY", "BusyLoadingError": "LOADING",
    "OutOfMemoryError": "OOM", "MovedError": "MOVED", "AskError": "MOVED",
    "TryAgainError": "TRYAGAIN", "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN", "NoScriptError": "NOSCRIPT", "ExecAbortError": "EXECABORT",
    "MaxConnectionsError": "MAXCLIENTS",
}  # fmt: skip
# What a script may not do is said without that word, by Redis 7.0 and by Redis 7.2 and Valkey.
_IN_SCRIPTS = "user executing the script can't", "ACL failure in script"
_REMEDIES = {
    "WRONGPASS": "does not take the user or the password: see url and credential in [store], and"
    " `ACL LIST` of the server",
    "NOAUTH": "wants a password: name its file by credential in [store] and LoadCredential=",
    "DENIED": "is in its protected mode, and takes connections of its own machine only: set up"
    " users with passwords, as in the example users.acl",
    "NOPERM": "does not allow this to its user: see `ACL LIST` of the server, and the example"
    " users.acl",
    "READONLY": "is a replica, which takes no writes: have url in [store] name the master, or the"
    " Sentinels (redis+sentinel://)",
    "OOM": "has no memory left: raise its maxmemory",
    "MISCONF": "cannot write to its disk: make room there, and see its log",
    "NOREPLICAS": "has too few replicas: see its min-replicas-to-write",
    "LOADING": "is still loading its data from the disk",
    "MASTERDOWN": "is a replica that has lost its master: see its replica-serve-stale-data",
    "CLUSTERDOWN": "is part of a cluster that is down: see `CLUSTER INFO`",
    "TRYAGAIN": "is part of a cluster that is moving these keys: it passes",
    "MOVED": "is part of a cluster: write redis+cluster:// in url of [store]",
    "MAXCLIENTS": "has too many clients: raise its maxclients",
}
# Those who say so do not have the data, or do not take it: another server may.
ELSEWHERE = frozenset({"READONLY", "MOVED", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN"})
# Those who say so serve nobody for a while.
DOWN = frozenset(
    {"LOADING", "MASTERDOWN", "CLUSTERDOWN", "MAXCLIENTS", "WRONGPASS", "NOAUTH", "DENIED"}
)


class StoreError(SourceError):
    """The store did not do what it was asked. `code`: the word that the server said, such as
    "READONLY"; "" if it said nothing. `told`: the journal has it already.
    """

    def __init__(self, text: str, code: str = "", told: bool = False) -> None:
        super().__init__(text, told)
        self.code = code


def code_of(error: Exception) -> str:
    """Return the word in front of what a server said, in capitals; "ERR" if there is none."""
    for kind in type(error).__mro__:
        if kind.__name__ in _CODES:
            return _CODES[kind.__name__]
    if any(words in str(error) for words in _IN_SCRIPTS):
        return "NOPERM"
    words = str(error).split()
    # As with "Authentication required." of "NOAUTH", some words are dropped.
    return words[0] if words and words[0].isupper() else "ERR"


def is_elsewhere(replies: Sequence[Any]) -> bool:
    """Whether a server says that another one has the data: nothing has been done then, and it may
    be done there. The first reply may be that to MULTI.
    """
    return any(
        isinstance(reply, Exception) and code_of(reply) in ELSEWHERE for reply in replies[:2]
    ) and (isinstance(replies[0], Exception) or replies[0] == b"OK")


def refusal(where: str, error: Exception) -> StoreError:
    """Return what it means that the server at `where` said `error`."""
    code = code_of(error)
    said = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())[:300]
    if code == "WRONGPASS" and "required" in said.lower():
        code = "NOAUTH"
    if said.lower().startswith("max number of clients"):
        code = "MAXCLIENTS"
    remedy = _REMEDIES.get(code, "refuses this command: see its version and its log")
    return StoreError(f"the store at {where} {remedy} (it says: {said})", code)


def unreachable(where: str, why: str) -> StoreError:
    """Return that nothing answers at `where`."""
    return StoreError(
        f"the store at {where} cannot be reached: {why}; see url in [store], whether the server"
        " runs, and whether the drop-in store.conf lets the service reach it"
    )


def late(where: str, seconds: float) -> StoreError:
    """Return that what is at `where` has not answered within `seconds`."""
    return unreachable(where, f"no answer within {seconds:g} s (timeout in [store])")
