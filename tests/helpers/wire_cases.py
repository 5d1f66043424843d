# SPDX-License-Identifier: MIT
"""The wire: octets in, octets out. One table; test_wire.py tries each row in every way there is.

`ref` is a section of RFC 1288 (§), a row of the service's own rules, or the hole that others had.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.protocol.layout.fields import MAX_FIELD
from fingerd_sd.protocol.layout.long import MAX_TEXT
from fingerd_sd.protocol.query import Query

from .houses import broken, half_broken, nobody, showing, village

NOBODY = b"No such user\r\n"
NO_LIST = b"Finger online user list denied\r\n"
NO_FORWARDING = b"Finger forwarding service denied\r\n"
MALFORMED = b"Malformed query\r\n"
LIMITED = b"Too many queries, try again later\r\n"
BROKEN = b"Internal error in server\r\n"
HAPPY = b"Happy and well\r\n"
ALICE = (
    b"Login: alice          \t\t\tName: Alice Liddell\r\n"
    b"Project:\r\nfinger\r\nPlan:\r\nWorking on finger.\r\n"
)


@dataclass(frozen=True, slots=True)
class Case:
    """`sent` to `house` gives `answer`. `asks`: what the line means, None for nothing at all or
    where it is too long to be read. `fin`: the client ends its side after `sent`, and only that
    ends the line. `ready`: asked again, it is answered on the spot.
    """

    id: str
    sent: bytes
    answer: bytes
    asks: Query | None
    ref: str
    house: Callable[[], Ruip] = village
    fin: bool = False
    ready: bool = True


def _long(octets: int) -> Case:
    name = "a" * (octets - 2)
    return Case(
        f"line of {octets}", f"{name}\r\n".encode(), NOBODY, Query(name), "the 1988 worm: 512"
    )


def _too_long(name: str, sent: bytes, ref: str) -> Case:
    return Case(name, sent, MALFORMED, None, ref, ready=False)


def _malformed(name: str, sent: bytes, ref: str) -> Case:
    return Case(name, sent, MALFORMED, None, ref, ready=False)


def _inert(name: str, ref: str) -> Case:
    """A name that means something to a shell, a file system or a pattern, and nothing here."""
    return Case(f"inert {name}", f"{name}\r\n".encode(), NOBODY, Query(name), ref)


CASES = [
    # --- the grammar ---
    Case("a user", b"moshez\r\n", HAPPY, Query("moshez"), "§2.1, §2.5.2"),
    Case("a person, by the default atoms", b"alice\r\n", ALICE, Query("alice"), "§2.5.2, §3.2.3"),
    Case("nobody", b"bob\r\n", NOBODY, Query("bob"), "answers: no such user"),
    Case("nobody at all", b"moshez\r\n", NOBODY, Query("moshez"), "no such user", nobody),
    Case("a vending machine", b"coke\r\n", b"Coke: 3 left, cold\r\n", Query("coke"), "§2.5.5"),
    Case("list", b"\r\n", NO_LIST, Query(""), "§2.5.1, §3.2.2"),
    Case("list, more of it", b"/W\r\n", NO_LIST, Query("", whois=True), "§3.2.2"),
    Case("list, after a blank", b" \r\n", NO_LIST, Query(""), "§2.3, liberal"),
    Case("more", b"/W alice\r\n", ALICE, Query("alice", whois=True), "§2.3, §2.5.4"),
    Case("more, blanks", b"/W   alice\r\n", ALICE, Query("alice", whois=True), "§2.3 {S}"),
    Case("a host", b"@h\r\n", NO_FORWARDING, Query("", ("h",)), "§2.3 {Q2}, §3.2.1"),
    Case("a host, more", b"/W @h\r\n", NO_FORWARDING, Query("", ("h",), True), "§2.3 {Q2}"),
    Case("forward", b"a@h\r\n", NO_FORWARDING, Query("a", ("h",)), "§2.4, §3.2.1"),
    Case("hosts", b"alice@h1@h2\r\n", NO_FORWARDING, Query("alice", ("h1", "h2")), "§2.3 {H}"),
    Case(
        "200 hosts", b"a" + b"@h" * 200 + b"\r\n", NO_FORWARDING, Query("a", ("h",) * 200), "§2.3"
    ),
    # --- liberally read ---
    Case("bare LF", b"moshez\n", HAPPY, Query("moshez"), "liberal: netcat"),
    Case("a list by bare LF", b"\n", NO_LIST, Query(""), "liberal: netcat"),
    Case(
        "no line end", b"moshez", HAPPY, Query("moshez"), "liberal: printf", fin=True, ready=False
    ),
    Case(
        "bare CR", b"moshez\r", HAPPY, Query("moshez"), "liberal: old stacks", fin=True, ready=False
    ),
    Case("lower case", b"/w alice\r\n", ALICE, Query("alice", whois=True), "liberal: browsers"),
    Case("switch last", b"alice /W\r\n", ALICE, Query("alice", whois=True), "RFC 1196"),
    Case("blanks around", b" \t moshez \t\r\n", HAPPY, Query("moshez"), "liberal"),
    Case("blanks within", b"Alice \t Liddell\r\n", ALICE, Query("Alice Liddell"), "§2.5.3"),
    Case("telnet", b"\xff\xfd\x01moshez\r\n", HAPPY, Query("moshez"), "RFC 742: telnet options"),
    Case(
        "more telnet",
        b"\xff\xfb\x18\xff\xfa\x18\x00vt100\xff\xf0\xff\xf6moshez\r\n",
        HAPPY,
        Query("moshez"),
        "RFC 854: options, subnegotiation, commands",
    ),
    Case("other case", b"MosheZ\r\n", HAPPY, Query("MosheZ"), "§2.5.3: one name only"),
    Case("exact case", b"Sam\r\n", b"the first Sam\r\n", Query("Sam"), "§2.5.3"),
    Case("ambiguous case", b"sam\r\n", NOBODY, Query("sam"), "§2.5.3, §3.2.6"),
    Case(
        "a name in UTF-8",
        "żółw\r\n".encode(),
        "zażółć gęślą jaźń\r\n".encode(),
        Query("żółw"),
        "§2.2",
    ),
    Case("/W twice", b"/W /W\r\n", NO_LIST, Query("", whois=True), "§2.5.4: never a name"),
    # --- what goes out ---
    Case(
        "line ends",
        b"ends\r\n",
        b"lf\r\ncr\r\ncrlf\r\nlfcr\r\n\r\nnone\r\n",
        Query("ends"),
        "§2.2: CRLF, the last line too",
    ),
    Case("an empty answer", b"empty\r\n", b"\r\n", Query("empty"), "§2.2"),
    Case(
        "international text",
        b"world\r\n",
        "zażółć 日本語 \N{GRINNING FACE} می\u200cخواهم\r\n".encode(),
        Query("world"),
        "§2.2",
    ),
    Case(
        "control characters",
        b"evil\r\n",
        "^[[31mred^? \ufffd31m\ufffd \ufffdlive\ufffd \ufffd^@^G^L^K end\ttab\r\n".encode(),
        Query("evil"),
        "§3.3",
    ),
    Case("verbatim", b"format\r\n", b"%s%n{0}$HOME\\x1b\r\n", Query("format"), "string in users"),
    Case("markup", b"script\r\n", b"<script>alert(1)</script>\r\n", Query("script"), "plain text"),
    Case(
        "a name of 1 MiB",
        b"longname\r\n",
        f"Login: longname       \t\t\tName: {'A' * (MAX_FIELD - 1)}…\r\nNo Plan.\r\n".encode(),
        Query("longname"),
        "CVE-1999-0708, CVE-2001-0735",
    ),
    Case(
        "a line of 1 MiB",
        b"longline\r\n",
        b"Login: longline\r\nPlan:\r\n" + b"p" * MAX_TEXT + b"\r\n[the rest was cut off]\r\n",
        Query("longline"),
        "CVE-1999-0708, CVE-2001-0735",
    ),
    Case(
        "a large answer",
        b"longtext\r\n",
        b"t" * (MAX_TEXT + 10) + b"\r\n",
        Query("longtext"),
        "string in users: verbatim",
    ),
    # --- the administrator's choice of atoms ---
    Case(
        "administrator A",
        b"alice\r\n",
        b"Login: alice          \t\t\tName: Alice Liddell\r\n"
        b"Office: Hill 016, 908-555-1234\t\tHome Phone: 212-555-0100\r\n",
        Query("alice"),
        "§3.2.3 A",
        showing("name", "office", "phone", "home_phone", "sessions"),
    ),
    Case(
        "administrator B",
        b"alice\r\n",
        b"Login: alice\r\nOffice: Hill 016, 908-555-1234\r\n",
        Query("alice"),
        "§3.2.3 B",
        showing("office", "phone"),
    ),
    Case(
        "administrator C",
        b"alice\r\n",
        b"Login: alice          \t\t\tName: Alice Liddell\r\n",
        Query("alice"),
        "§3.2.3 C",
        showing("name"),
    ),
    Case(
        "C, more",
        b"/W alice\r\n",
        b"Login: alice          \t\t\tName: Alice Liddell\r\n",
        Query("alice", whois=True),
        "§3.2.3 C: /W shows no atom that is hidden",
        showing("name"),
    ),
    # --- sources that fail ---
    Case("a source fails", b"alice\r\n", BROKEN, Query("alice"), "answers", broken, ready=False),
    Case("list, broken", b"\r\n", NO_LIST, Query(""), "§3.2.2: nobody is asked", broken),
    Case(
        "the next knows", b"moshez\r\n", HAPPY, Query("moshez"), "sources", half_broken, ready=False
    ),
    Case(
        "the next does not", b"bob\r\n", BROKEN, Query("bob"), "sources", half_broken, ready=False
    ),
    # --- bad input ---
    Case("nothing", b"", b"", None, "§3.1: zero octets and FIN", fin=True, ready=False),
    _malformed("NUL", b"\0\r\n", "§3.1, CVE-2000-0915"),
    _malformed("NUL in a name", b"moshez\0\r\n", "§3.1, CVE-2000-0915"),
    _malformed("ESC", b"\x1b[31mmoshez\r\n", "§3.1"),
    _malformed("DEL", b"moshez\x7f\r\n", "§3.1"),
    _malformed("C1", "moshez\x9b\r\n".encode(), "§3.1"),
    _malformed("bidi", "\u202ezehsom\r\n".encode(), "§3.1"),
    _malformed("Latin-1", b"\xa3\xf3\xb3w\r\n", "§2.2: not UTF-8"),
    _malformed("a surrogate", b"\xed\xa0\x80\r\n", "§2.2: not UTF-8"),
    _malformed("overlong", b"\xc0\xafetc\r\n", "§2.2: not UTF-8"),
    _malformed("IAC and no command", b"\xffmoshez\r\n", "never a guess: no name loses its first"),
    _malformed("no host", b"alice@\r\n", "§2.3 {H}"),
    _malformed("an empty host", b"alice@@h\r\n", "§2.3 {H}"),
    _malformed("a host with a blank", b"alice@h 1\r\n", "§2.3 {H}"),
    _malformed("500 @", b"@" * 500 + b"\r\n", "§2.3 {H}"),
    *map(_long, (511, 512, 513, 1024)),
    _too_long("line of 1025", b"a" * 1023 + b"\r\n", "max_query"),
    _too_long("line of 64 KiB", b"a" * 65534 + b"\r\n", "the 1988 worm"),
    _too_long("1 MiB and no end", b"a" * (1 << 20), "§3.1"),
    _too_long("500 × @localhost", b"a" + b"@localhost" * 500 + b"\r\n", "CVE-1999-0105, -0106"),
    # --- names that mean something elsewhere ---
    *(
        _inert(name, "CVE-1999-0150, CVE-1999-0152, CVE-2000-0128: shell")
        for name in (";id", "$(id)", "`id`", "|id", "moshez;id", "moshez\\", "'moshez'")
    ),
    *(
        _inert(name, "option injection")
        for name in ("-s bob", "-l moshez", "--help", "/Wmoshez", "-", "--")
    ),
    *(
        _inert(name, "CVE-2000-0915: files")
        for name in ("/etc/passwd", "../x", "../../etc/passwd", ".", "..", "~moshez", "/")
    ),
    *(
        _inert(name, "CVE-1999-0197, CVE-1999-0198, CVE-2001-1503: no list of accounts")
        for name in ("0", "a b c d e f g h", "moshez alice", "1 2 3")
    ),
    *(
        _inert(name, "CVE-1999-0259: wildcards")
        for name in ("*", "**", "search.**", "%", "_", "?", "m*", "[a-z]*", "mosh%", "moshe_")
    ),
    _inert("Liddell", "§3.2.6: part of a full name"),
    _inert("%n%s{}", "CVE-2001-0609: formats"),
]
