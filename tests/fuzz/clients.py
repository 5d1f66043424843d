# SPDX-License-Identifier: MIT
"""What a client may send: a query, a conversation, and what the journal then gets."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping

from fingerd_sd.config.server import Limits
from fingerd_sd.directory.answer import BAD, FAILED, Answer
from fingerd_sd.directory.ruip import Ruip
from fingerd_sd.policy.audience import Audience
from fingerd_sd.process.log.journal import MAX_FIELD, MESSAGE_IDS, NativeJournal
from fingerd_sd.protocol.entry import ATOMS, Absent, Entry
from fingerd_sd.protocol.query import QueryError, line_length, parse
from fingerd_sd.protocol.text import escaped, is_printable
from fingerd_sd.serving.finger.proxied.header import MAX_V2, SIGNATURE, ProxyError
from fingerd_sd.serving.finger.proxied.header import parse as parse_header
from fingerd_sd.serving.metrics.respond import respond

from ..helpers.houses import ALICE, SAM, VILLAGE, Told, networks, ruip, static
from ..helpers.journald import read_entry
from ..helpers.wire import serving
from ..protocol.test_query import render
from ..serving.metrics.figures import figures, read
from .target import SEPARATOR, Target, any_text, assert_sendable, parts, quiet

EVERYTHING = Audience(
    "guests",
    networks("0.0.0.0/0", "::/0"),
    frozenset(ATOMS),
    list="sessions",
    forward=True,
    match_names=True,
    rate=0,
    forward_hosts=("*.example.org",),
)
LIMITS = Limits(max_query=64)  # so that an engine meets its end
FIELDS = {  # of the journal's entry for a query
    "MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER", "FINGER_QUERY", "FINGER_CLIENT",
    "FINGER_AUDIENCE", "FINGER_RESULT", "FINGER_SOURCE", "FINGER_BYTES", "FINGER_USEC",
}  # fmt: skip

HTTP = (
    b"GET /healthz HTTP/1.1\r\n", b"HEAD ", b"POST ", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0",
    b"Host: a\r\n", b"Expect: 100-continue\r\n", b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n", b"http://[::1]:99999/", b"//", b"%00", b"\r\n ", b": ",
)  # fmt: skip
STATUSES = {200, 400, 404, 405, 414, 431, 505}


class _Journal(NativeJournal):
    """Keeps the last datagram instead of sending it."""

    sent = b""

    def _send(self, datagram: bytes) -> None:
        self.sent = datagram


def village() -> Ruip:
    """Return a small house with somebody in it."""
    users: dict[str, Entry] = {"alice": ALICE, "sam": SAM, "evil": VILLAGE["evil"]}
    return ruip(static(users), audiences=[EVERYTHING])


def query(octets: bytes) -> None:
    """Any octets are one query or none, and have one answer, which tells nothing of the hidden."""
    length = line_length(octets)
    assert 0 <= length <= len(octets)
    assert line_length(octets[:length]) in (length, 0)
    malformed = False
    try:
        asked = parse(octets)
    except QueryError:
        malformed = True
    else:
        assert is_printable("".join((asked.user, *asked.hosts)))
        assert all(asked.hosts)
        assert parse(render(asked)) == asked
    quiet(_answers(octets, malformed))


async def _answers(octets: bytes, malformed: bool) -> None:
    answer = await _answer(village(), octets)
    assert (answer.result == BAD) is malformed
    absent = await _answer(ruip(Told()), octets)
    hidden = await _answer(ruip(Told(Absent("hides"))), octets)
    assert absent.octets == hidden.octets
    _logged(answer)


async def _answer(house: Ruip, octets: bytes) -> Answer:
    client = house.policy.client("127.0.0.1")  # who has no rate unless one is set
    answer = await house.answer(octets, client)
    assert answer.result != FAILED  # no source here fails: that would be a bug of ours
    assert_sendable(answer.octets)
    again = house.ready(octets, client, 0)
    assert again is None or again.octets == answer.octets
    return answer


def _logged(answer: Answer) -> None:
    """No query adds a field to the journal's entry, and each is told by its own text."""
    journal = _Journal()
    journal.query((answer.query, "192.0.2.1", "guests", answer.result, "static", 1, 1))
    entry = read_entry(journal.sent)
    assert set(entry) == FIELDS
    assert entry["FINGER_QUERY"] == answer.query
    assert is_printable("".join(entry.values()))


def conversation(octets: bytes) -> None:
    """However a client cuts what it sends, it has the answer to the first line. The first part of a
    case says by its octets how long the pieces are.
    """
    sizes, sent = parts(octets, 2)
    pieces = []
    rest = sent
    for size in sizes:
        pieces.append(rest[: size + 1])
        rest = rest[size + 1 :]
    pieces = [piece for piece in (*pieces, rest) if piece]
    got, expected = quiet(_converse(pieces))
    assert got == [expected, expected]


async def _converse(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    """Return what a client gets in one piece and in these, and what the first line is due."""
    house = village()
    sent = b"".join(pieces)
    length = line_length(sent) or len(sent)
    if length > LIMITS.max_query:
        expected = house.malformed(sent, house.policy.client("")).octets
    else:
        expected = (await house.answer(sent[:length], house.policy.client(""))).octets
    got = []
    async with serving(house, LIMITS) as serves:
        for these in ([sent], pieces):
            with serves.connect("unix") as peer:
                for piece in these:
                    try:
                        await peer.send(piece)
                    except BrokenPipeError:  # it has its answer already
                        break
                    await asyncio.sleep(0)
                peer.end()
                got.append(await peer.receive())
    return got, expected if sent else b""


def journal(octets: bytes) -> None:
    """No text adds a field to an entry, and journald can read each field as UTF-8."""
    long, message, name, value = parts(octets, 4)
    texts = [any_text(text) for text in (message, name, value)]
    if long:  # the end of what a field may hold
        texts[0] = "x" * (MAX_FIELD - len(long)) + texts[0]
    fields: Mapping[str, str] = {"FINGER_SOURCE": texts[1], "CODE_FUNC": texts[2]}
    kept = _Journal()
    kept.write(6, texts[0], "QUERY", fields)
    entry = read_entry(kept.sent)
    assert set(entry) == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "MESSAGE_ID", *fields}
    assert entry["MESSAGE_ID"] == MESSAGE_IDS["QUERY"]
    for text, field in zip(texts, ("MESSAGE", "FINGER_SOURCE", "CODE_FUNC"), strict=True):
        whole = text.encode("utf-8", "backslashreplace").decode("utf-8")
        assert whole.startswith(entry[field])
        assert entry[field] == whole or len(entry[field].encode()) > MAX_FIELD - 4
    shown = escaped(octets)
    assert is_printable(shown)
    assert "\n" not in shown


GRAMMAR = (
    b"/W", b"/w", b" ", b"\t", b"@", b"alice", b"evil", b"Alice Liddell", b"@a.example.org", b"\r",
    b"\n", b"\r\n", b"\xff\xfa", b"\xff\xf0", b"\xff\xfd\x01", b"\xe2\x80\xae", b"\x1b[", b"\\",
)  # fmt: skip


def metrics(octets: bytes) -> None:
    """Any octets before an empty line have one whole response, of a status that is meant for it."""
    response = read(respond(octets + b"\r\n\r\n", figures()))
    assert response.status in STATUSES
    if response.status == 200:
        assert octets.decode("iso-8859-1").split()[0] in ("GET", "HEAD")


PROXY = (
    b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"192.0.2.7 ", b"2001:db8::7 ", b"79", b"\r\n",
    SIGNATURE, b"\x20\x00\x00\x00", b"\x21\x11\x00\x0c", b"\x21\x21\x00\x24", b"\x21\x31",
)  # fmt: skip


def header(octets: bytes) -> None:
    """Any octets are a header, part of one, or neither. One that names a client names an address;
    and it says the same by itself, in parts, and with anything behind it.
    """
    try:
        said = parse_header(octets)
    except ProxyError:
        return
    if said is None:
        assert len(octets) < MAX_V2
        return
    assert 0 < said.size <= min(len(octets), MAX_V2)
    assert parse_header(octets[: said.size]) == said == parse_header(octets + b"\r\n")
    for end in (said.size - 1, said.size // 2, 1):
        assert parse_header(octets[:end]) is None
    for address in filter(None, (said.client, said.server())):
        ipaddress.ip_address(address)


TARGETS = (
    Target("header", header, PROXY, 20000, 256),
    Target("query", query, GRAMMAR, 5000, 256),
    Target("conversation", conversation, (*GRAMMAR, SEPARATOR, b"x" * 60), 2000, 512),
    Target("metrics", metrics, HTTP, 5000, 1024),
    Target("journal", journal, (SEPARATOR, b"\n", b"\nMESSAGE_ID=", b"\xff", "ż".encode()), 20000),
)
