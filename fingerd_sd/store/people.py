# SPDX-License-Identifier: MIT
"""What a user has published, as the fleet's store has it: a hash for each login.

Each host vouches for its own users, and writes what its own accounts say of them beside what they
publish: a host that faces the world has no accounts. Another host may be taken over, so nothing of
a hash is believed: sizes, types and control characters are checked here, and what is too large is
not even sent.

Sans-I/O. Whoever writes takes `fields`; whoever reads runs SCRIPT and passes what it says to
`entry_of`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from fingerd_sd.config.publish import MAX_SIZE
from fingerd_sd.protocol.links import MAX_LINKS, MAX_PART
from fingerd_sd.protocol.text import is_printable, one_line

MAX_STATUS = 200  # characters of a status, and of a plan's first line
MAX_GECOS = 256  # characters of a part of an account's gecos field
MAX_HOST = 255  # characters of a host's name
MAX_JSON = MAX_LINKS * (3 * MAX_PART + 64)  # octets of links
MAX_UID = 2**32 - 2  # uid_t's last is reserved
MAX_TIME = 1e11  # seconds since the epoch

_WHOLE = re.compile(rb"[0-9]{1,10}")
_TIME = re.compile(rb"[0-9]{1,11}(?:\.[0-9]{1,18})?")
_HOST = re.compile(rb"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


class MalformedError(ValueError):
    """A hash is no entry; the text says which field is wrong, as a line."""


class Entry(NamedTuple):
    """What `login` has published at `host`. The first ten are as in published.store.Row. `name`,
    `office`, `phone` and `home_phone`: what the account's gecos field says at that host. `gone`:
    since when that host has no such account, in seconds since the epoch; None: it has.
    """

    login: str
    uid: int
    at: float
    plan: str | None = None
    project: str | None = None
    key: str | None = None
    status: str | None = None
    until: float | None = None
    first: str | None = None
    links: str = "[]"
    host: str = ""
    name: str | None = None
    office: str | None = None
    phone: str | None = None
    home_phone: str | None = None
    gone: float | None = None


# Of each field: how many octets it may have.
SIZES = {
    **{"uid": 10, "at": 32, "plan": MAX_SIZE, "project": MAX_SIZE, "key": MAX_SIZE},
    **{"status": 4 * MAX_STATUS, "until": 32, "first": 4 * MAX_STATUS, "links": MAX_JSON},
    **{"host": MAX_HOST, "gone": 32},
    **dict.fromkeys(("name", "office", "phone", "home_phone"), 4 * MAX_GECOS),
}
NAMES = tuple(SIZES)

# KEYS: the hash. ARGV: how many octets all of it may have, then names and sizes as in SIZES. It
# returns the fields in that order, or the name of what is wrong: a hash of another host may have
# fields without number and of any size, and those must not reach us. It writes nothing.
SCRIPT = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {} end
if kind ~= 'hash' then return 'type' end
local names, whole = {}, 0
for i = 2, #ARGV, 2 do
  local size = redis.call('HSTRLEN', KEYS[1], ARGV[i])
  if size > tonumber(ARGV[i + 1]) then return ARGV[i] end
  whole = whole + size
  names[#names + 1] = ARGV[i]
end
if whole > tonumber(ARGV[1]) then return 'size' end
return redis.call('HMGET', KEYS[1], unpack(names))
"""
MAX_WHOLE = MAX_SIZE + 2 * MAX_JSON  # octets of a whole entry
ARGUMENTS = (MAX_WHOLE, *(word for pair in SIZES.items() for word in pair))


def fields(entry: Entry) -> dict[str, bytes]:
    """Return the fields of the hash that is `entry`, but for its login, which the key has."""
    told = {name: getattr(entry, name) for name in NAMES}
    return {name: _written(value) for name, value in told.items() if value is not None}


def _written(value: str | float) -> bytes:
    return (value if isinstance(value, str) else repr(value)).encode()


def entry_of(login: str, said: Any) -> Entry | None:
    """Return the entry of `login` that SCRIPT has `said`; None: there is none. Raises
    MalformedError.
    """
    if isinstance(said, bytes):
        raise MalformedError(f"its {one_line(said.decode('ascii', 'replace'), 20)} is wrong")
    if not isinstance(said, list) or len(said) not in (0, len(NAMES)):
        raise MalformedError("the store said something else than was asked")
    pairs = zip(NAMES, said, strict=False)
    return read(login, {name.encode(): value for name, value in pairs if value is not None})


def read(login: str, found: Mapping[bytes, bytes]) -> Entry | None:
    """Return the entry of `login` that a hash with the fields `found` is; None: there is none. What
    else the hash has is left out. Raises MalformedError.
    """
    if not found:
        return None
    values = {name: found[name.encode()] for name in NAMES if name.encode() in found}
    for name, value in values.items():
        if not isinstance(value, bytes) or len(value) > SIZES[name]:
            raise MalformedError(f"its {name} is too long")
    if sum(map(len, values.values())) > MAX_WHOLE:
        raise MalformedError("it is too long")
    uid, at = values.pop("uid", b""), _time(values, "at")
    if not _WHOLE.fullmatch(uid) or int(uid) > MAX_UID or at is None:
        raise MalformedError("it has no uid, or not the time when it was published")
    if not _HOST.fullmatch(host := values.pop("host", b"")):
        raise MalformedError("it names no host that published it")
    until, gone = _time(values, "until"), _time(values, "gone")
    texts = {name: _text(name, value) for name, value in values.items()}
    for name in ("status", "first"):
        line = texts.get(name, "")
        if len(line) > MAX_STATUS or "\n" in line or "\r" in line:
            raise MalformedError(f"its {name} is no line of at most {MAX_STATUS} characters")
    for name in ("name", "office", "phone", "home_phone"):
        if name in texts:
            texts[name] = one_line(texts[name], MAX_GECOS)
    return Entry(login, int(uid), at, **texts, until=until, host=host.decode(), gone=gone)


def _time(values: dict[str, bytes], name: str) -> float | None:
    """Take the time `name` out of `values`, and return it."""
    value = values.pop(name, None)
    if value is None:
        return None
    if not _TIME.fullmatch(value) or float(value) > MAX_TIME:
        raise MalformedError(f"its {name} is no time in seconds since 1970")
    return float(value)


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise MalformedError(f"its {name} is not UTF-8") from None
    if "\0" in text:
        raise MalformedError(f"its {name} has a NUL")
    return text


# Who published last: KEYS: the sorted set of logins by time; ARGV: how many, and how many octets a
# login may have. Longer ones are left out.
RECENT = """
local found, kept = redis.call('ZREVRANGE', KEYS[1], 0, ARGV[1] - 1, 'WITHSCORES'), {}
for i = 1, #found, 2 do
  if #found[i] <= tonumber(ARGV[2]) then
    kept[#kept + 1] = found[i]
    kept[#kept + 1] = found[i + 1]
  end
end
return kept
"""
MAX_LOGIN = 256  # octets


def recent_of(said: Any, now: float) -> list[tuple[str, float]]:
    """Return the logins, and when each published, that RECENT has `said`; what is malformed is left
    out. `now`: seconds since the epoch; nobody has published later.
    """
    if not isinstance(said, list):
        return []
    found: list[tuple[str, float]] = []
    for login, at in zip(said[::2], said[1::2], strict=False):
        if not isinstance(login, bytes) or not isinstance(at, bytes) or not _TIME.fullmatch(at):
            continue
        try:
            name = login.decode()
        except UnicodeDecodeError:
            continue
        if name and len(login) <= MAX_LOGIN and is_printable(name):
            found.append((name, min(float(at), now)))
    return found
