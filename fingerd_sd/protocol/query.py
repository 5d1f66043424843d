# SPDX-License-Identifier: MIT
"""The query line of RFC 1288 §2.3: octets in, a `Query` or a `QueryError` out.

Sans-I/O: this module knows no sockets, clocks, sources or audiences.

The grammar (RFC 1288 §2.3), and how it is read here::

    {Q1}  ::= [{W}|{W}{S}{U}]{C}       {Q2} ::= [{W}{S}][{U}]{H}{C}
    {U}   ::= username                 {H}  ::= @hostname | @hostname{H}
    {W}   ::= /W                       {S}  ::= <SP> | <SP>{S}
    {C}   ::= <CRLF>

It is read liberally, each time for a client that exists:

- a bare LF, the end of the input, or a CR with something behind it ends the line: netcat, `printf`
  and old stacks (after a CR alone the LF may still be on the way, and is waited for);
- `/w` is `/W`: some browsers send it; `alice /W` is `/W alice`: the order of RFC 1196;
- blanks and tabs around the parts are dropped, those within a name become one blank each
  ("Alice Liddell" is one name; the policy says whether names may be searched);
- telnet commands (RFC 854: IAC and what follows) are dropped: RFC 742 clients were telnets.

Everything else that is not in the grammar is a `QueryError`, never a guess: control and other
unprintable characters, octets that are not UTF-8 (RFC 1288 §2.2 leaves the charset open), a host
name that is empty or holds a blank.
"""

import re
from functools import cache
from typing import NamedTuple

from fingerd_sd.protocol.text import is_printable

# RFC 854: IAC SB … IAC SE; IAC WILL/WONT/DO/DONT option; IAC command. An unfinished one at the end
# of the line is dropped as well. An octet below 0xF0 after an IAC is no command and stays, so that
# no name loses its first letter; the line is then not UTF-8.
_TELNET = rb"\xff(?:\xfa.*?(?:\xff\xf0|\Z)|[\xfb-\xfe](?:.|\Z)|[\xf0-\xff]|\Z)"

_SIGNS = b"_.-"  # that names have beside letters and digits

_SWITCHES = ("/W", "/w")


class QueryError(ValueError):
    """The octets are no query of RFC 1288 §2.3; the text says why, for the journal."""


class Query(NamedTuple):
    """One query. Equal queries ask for the same thing, however they were spelled.

    `user`: {U}, or "" where none was given. `hosts`: {H}, left to right as received, each without
    its "@"; empty for {Q1}. `whois`: {W}, the switch that asks for more detail (RFC 1288 §2.5.4).
    """

    user: str
    hosts: tuple[str, ...] = ()
    whois: bool = False

    @property
    def is_list(self) -> bool:
        """Whether this is {C}, which asks who is here (RFC 1288 §2.5.1)."""
        return not self.user and not self.hosts


def line_length(octets: bytes) -> int:
    """Return how many octets the first line takes, its end included; 0 if it has no end yet."""
    end, cr = octets.find(b"\n") + 1, octets.find(b"\r") + 1
    if not cr or 0 < end <= cr + 1:
        return end
    # A CR at the very end of what has come is not yet a line end: its LF may still be on the way.
    return cr if cr < len(octets) else 0


@cache
def _telnet() -> re.Pattern[bytes]:
    """Return the pattern of what telnets send, compiled at its first use: few clients are one."""
    return re.compile(_TELNET, re.DOTALL)


def parse(octets: bytes) -> Query:
    """Return the query in `octets`: one line, with its line end or without. What follows the line
    is ignored.

    Raises QueryError if the line is not in the grammar above. It never raises anything else.
    """
    plain = octets.rstrip(b"\r\n")
    # What nearly every line is. A pattern takes longer, and a million instructions to compile.
    if plain.translate(None, _SIGNS).isalnum():  # of octets: in ASCII
        return Query(plain.decode("ascii"))
    line = octets.partition(b"\n")[0].partition(b"\r")[0]
    if b"\xff" in line:
        line = _telnet().sub(b"", line)
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise QueryError("not UTF-8") from None
    words = list(filter(None, text.replace("\t", " ").split(" ")))
    if not is_printable("".join(words)):
        raise QueryError("a character that cannot be printed")
    whois = False
    while words and words[0] in _SWITCHES:
        del words[0]
        whois = True
    while words and words[-1] in _SWITCHES:
        del words[-1]
        whois = True
    user, *hosts = " ".join(words).split("@")
    if any(not host or " " in host for host in hosts):
        raise QueryError("an empty host name, or one with a blank")
    user = user.rstrip(" ")
    if user in _SWITCHES:  # `/W@host`: never a name
        user, whois = "", True
    return Query(user, tuple(hosts), whois)


def is_name(name: str) -> bool:
    """Whether a query can ask for the user `name`, in this spelling."""
    try:
        query = parse(name.encode("utf-8"))
    except (QueryError, UnicodeEncodeError):  # half a surrogate pair: JSON can write it
        return False
    return bool(name) and query.user == name and not query.hosts
