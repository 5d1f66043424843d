# SPDX-License-Identifier: MIT
"""A page's octets become text: its charset, and HTML as a text browser would show it.

lxml (libxml2) reads HTML, since it is made for hostile markup. It is imported when the first such
page comes. This module does only the layout. Scripts, styles and forms are not part of the text.
"""

from __future__ import annotations

import codecs
import importlib.util
import re
import textwrap
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import Any

from fingerd_sd.protocol.text import decode
from fingerd_sd.sources.web.failures import PageError

WIDTH = 78  # columns of a paragraph: a terminal has 80
# Octets of HTML, in UTF-8. To libxml2 a tag costs the square of its attributes: at worst this takes
# a second of a processor, eight times as much more than a minute.
MAX_HTML = 1 << 17
SNIFF = 1024  # octets in which a page names its charset: HTML, "prescan a byte stream"
LXML = "lxml: install python3-lxml (Debian, Fedora), python-lxml (Arch), lxml (PyPI)"

# Charsets of real pages. Python knows more codecs: some of them unpack, or take for ever.
_CHARSETS = ("utf-", "ascii", "iso8859", "cp", "koi8", "gb", "big5", "shift_jis", "euc_", "mac")
_META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.I)
_BLANKS = re.compile("[ \t\n\r\f]+")


def _tags(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HIDDEN = _tags("head script style template iframe object canvas svg audio video select textarea")
_PARAGRAPHS = _tags("p h1 h2 h3 h4 h5 h6 ul ol dl pre blockquote table figure hr address form")
_LINES = _tags("div li dt dd tr section article header footer main nav aside figcaption caption")


def to_text(body: bytes, content_type: str) -> str:
    """Return the text of a page whose Content-Type is `content_type`, "" where it has none.

    Raises PageError if it is not text, if it is HTML longer than MAX_HTML, or if lxml is missing.
    It may take 20 ms for 64 KiB of HTML: call it in a thread.
    """
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    html = kind in ("text/html", "application/xhtml+xml")
    if not (html or not kind or kind.startswith("text/") or kind == "application/json"):
        raise PageError(f"is {kind[:60]}, no text")
    charset = _charset(parameters)
    if html and not charset:
        match = _META.search(body[:SNIFF])
        charset = match[1].decode("ascii", "replace") if match else ""
    text = _decode(body, charset)
    return html_to_text(text) if html else text


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'")
    return ""


def _decode(body: bytes, charset: str) -> str:
    """Return `body` as text: in `charset` if that is one of text, else UTF-8, else Latin-1."""
    name = _codec(charset)
    if not name.startswith(_CHARSETS) or name in ("utf-8", "utf-7"):
        return decode(body)
    return body.decode(name, "replace").removeprefix("\ufeff")


def _codec(charset: str) -> str:
    """Return Python's name of `charset`, "" if it has none. Only known names are looked up: Python
    remembers every name for ever, and a site can think of ever new ones.
    """
    name = normalize_encoding(charset).lower()
    name = aliases.get(name, name)
    if not name or "." in name or importlib.util.find_spec(f"encodings.{name}") is None:
        return ""
    try:
        return codecs.lookup(name).name
    except LookupError:  # a module there that is no codec
        return ""


def html_to_text(html: str) -> str:
    """Return what a reader would see of `html`, with LF line ends, wrapped at WIDTH columns.

    Raises PageError, as to_text.
    """
    try:
        from lxml import etree
    except ImportError:
        raise PageError(f"is HTML, for which the Python module is missing: {LXML}") from None
    # As octets, since a str with an encoding declaration of its own is refused; no huge_tree: depth
    # and size stay within libxml2's own bounds; and nothing is fetched.
    parser = etree.HTMLParser(
        encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True
    )
    octets = html.replace("\0", "").encode("utf-8", "replace")
    if len(octets) > MAX_HTML:
        raise PageError(f"longer than {MAX_HTML} octets of HTML")
    try:
        tree = etree.fromstring(octets, parser) if octets.strip() else None
    except etree.LxmlError:
        tree = None
    if tree is None:  # only comments, or nothing
        return ""
    layout = _Layout()
    skipped = None
    for event, element in etree.iterwalk(tree, events=("start", "end")):
        tag = element.tag
        if event == "start":
            if skipped is None and (tag in _HIDDEN or "hidden" in element.attrib):
                skipped = element
            elif skipped is None:
                layout.start(tag, element)
        else:
            if skipped is None:
                layout.end(tag, element)
            elif skipped is element:
                skipped = None
            if skipped is None and element.tail:
                layout.text(element.tail)
    return layout.done()


class _Layout:
    """Lines of text, made from elements as they come."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._line: list[str] = []  # what will become the next line, or the next wrapped lines
        self._item = ""  # the sign of a list's item, which stands before the line
        self._depth = 0  # of lists and quotes
        self._pre = 0
        self._link = 0  # where in _line the text of the link begins

    def start(self, tag: str, element: Any) -> None:
        if tag in _PARAGRAPHS:
            self._break(not (tag in ("ul", "ol") and self._depth))
        elif tag in _LINES or tag == "br":
            self._break()
        if tag in ("ul", "ol", "blockquote", "dd"):
            self._depth += 1
        elif tag == "li":
            self._item = "* "
        elif tag == "pre":
            self._pre += 1
        elif tag == "hr":
            self._done.append("-" * 20)
        elif tag in ("td", "th") and self._line:
            self._line.append("  " if self._pre else " | ")
        elif tag == "img" and element.get("alt"):
            self._line.append(f"[{element.get('alt')}]")
        elif tag == "a":
            self._link = len(self._line)
        if element.text:
            self.text(element.text)

    def end(self, tag: str, element: Any) -> None:
        if tag == "a":
            href = element.get("href", "")
            shown = "".join(self._line[self._link :]).strip()
            if href.startswith(("http:", "https:", "gemini:", "gopher:", "finger:")):
                self._line.append("" if href == shown else f" <{href}>")
        if tag in _PARAGRAPHS or tag in _LINES:
            self._break(tag in _PARAGRAPHS and not (tag in ("ul", "ol") and self._depth > 1))
        if tag in ("ul", "ol", "blockquote", "dd"):
            self._depth -= 1
        elif tag == "pre":
            self._pre -= 1

    def text(self, text: str) -> None:
        self._line.append(text if self._pre else _BLANKS.sub(" ", text))

    def done(self) -> str:
        self._break()
        while self._done and not self._done[-1]:
            self._done.pop()
        return "".join(f"{line}\n" for line in self._done)

    def _break(self, blank: bool = False) -> None:
        """End the line; `blank`: leave an empty line before the next one."""
        text = "".join(self._line)
        self._line = []
        self._link = 0
        indent = "  " * min(self._depth, 8)
        if self._pre:
            self._done += text.replace("\r\n", "\n").strip("\n").split("\n") if text else []
        elif text := _BLANKS.sub(" ", text).strip(" "):
            first = indent[len(self._item) :] + self._item
            self._done += textwrap.wrap(
                text,
                WIDTH,
                initial_indent=first,
                subsequent_indent=" " * len(first),
                break_long_words=False,
                break_on_hyphens=False,
            )
            self._item = ""
        if blank and self._done and self._done[-1]:
            self._done.append("")
