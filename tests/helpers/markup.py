# SPDX-License-Identifier: MIT
"""A page taken apart, which fails where something is in it that our pages do not have."""

from __future__ import annotations

from html.parser import HTMLParser

EMPTY = {"link", "meta"}  # elements without an end
FIXED = {
    *("html", "head", "meta", "title", "link", "body", "header", "nav", "main", "footer"),
    *("h1", "h2", "p", "bdi", "pre", "dl", "dt", "dd", "ul", "li", "small", "span", "time", "a"),
}
ATTRIBUTES = {
    *("lang", "charset", "name", "content", "rel", "href", "type", "title", "class", "dir"),
    *("datetime", "aria-label"),
}


class Page(HTMLParser):
    """A page, taken apart. It fails where an element is not closed."""

    def __init__(self, octets: bytes) -> None:
        super().__init__()
        self.links: list[dict[str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.shape: list[str] = []
        self._open: list[str] = []
        self.feed(octets.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        assert tag in FIXED
        assert {name for name, _ in attrs} <= ATTRIBUTES
        if tag == "a":
            self.links.append({name: value or "" for name, value in attrs})
        else:
            self.shape.append(tag)
        if tag not in EMPTY:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        """Note its end."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note a text, of all elements that hold it."""
        for tag in self._open:
            self.texts[tag][-1] += data

    def handle_comment(self, data: str) -> None:
        """Fail: there is none."""
        raise AssertionError(data)

    handle_pi = unknown_decl = handle_comment
