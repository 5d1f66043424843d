# SPDX-License-Identifier: MIT
"""`[web]`: what the web side is called, whose word it takes for a client's address, and the links
that everybody has.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from fingerd_sd.config.table import Table, quoted

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

USER = "{user}"  # in a link's href: the user's name, percent-encoded
SCHEMES = ("https", "http", "mailto", "acct", "gemini", "finger", "xmpp", "sip", "urn")

_DOMAIN = re.compile(r"[0-9a-z](?:[0-9a-z._-]{0,251}[0-9a-z])?", re.IGNORECASE)
_HREF = re.compile(rf"(?i:{'|'.join(SCHEMES)}):[!#-;=?-\[\]_a-z~]+")  # RFC 3986's characters


class LinkTemplate(NamedTuple):
    """A link that everybody has, as in RFC 7033 §4.4.4. `href`: with USER for the user's name."""

    rel: str
    href: str
    type: str = ""


class WebKeys(NamedTuple):
    """All of `[web]`. `domains`: what follows the "@" in users' addresses, in lower case, the first
    is shown; None: what the machine is called. `trusted_proxies`: peers that say who the client is.
    """

    domains: tuple[str, ...] | None = None
    links: tuple[LinkTemplate, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()


def read_web(table: Table) -> WebKeys:
    """Return what `[web]` says; mistakes go to the table."""
    domains = table.strings("domains", ())
    if table.value("domains") == []:
        table.wrong("domains", 'expected at least one domain, such as ["example.org"]')
    for domain in domains:
        if not _DOMAIN.fullmatch(domain):
            table.wrong("domains", f'expected domains such as "example.org", not {quoted(domain)}')
    keys = WebKeys(
        domains=tuple(domain.lower() for domain in domains) or None,
        links=tuple(_read_links(table)),
        trusted_proxies=tuple(_read_networks(table)),
    )
    table.close()
    return keys


def _read_networks(table: Table) -> Iterator[Network]:
    for text in table.strings("trusted_proxies", ()):
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            table.wrong(
                "trusted_proxies",
                'expected addresses or networks such as "127.0.0.1" or "2001:db8::/64", not'
                f" {quoted(text)}",
            )
            continue
        if not network.prefixlen:
            table.wrong(
                "trusted_proxies",
                f'"{text}" holds everybody: each client could then say that it is another one; name'
                " the addresses of your proxies",
            )
        yield network


def _read_links(table: Table) -> Iterator[LinkTemplate]:
    links = table.value("links")
    if links is None:
        return
    if not isinstance(links, list) or not all(isinstance(link, dict) for link in links):
        table.wrong(
            "links",
            "expected an array of tables such as"
            ' {rel = "http://openid.net/specs/connect/1.0/issuer", href = "https://id.example.org"}',
        )
        return
    for number, values in enumerate(links, 1):
        link = table.inner("links", values, number)
        rel, href, kind = link.text("rel", ""), link.text("href", ""), link.text("type", "")
        if not rel.isprintable() or not rel or " " in rel:
            link.wrong("rel", 'expected what the link is, such as "avatar" or a URI (RFC 7033)')
        if not _HREF.fullmatch(href.replace(USER, "user")):
            link.wrong(
                "href",
                f"expected an absolute address, with {USER} for the user's name, such as"
                f' "https://id.example.org/{USER}", not {quoted(href)}',
            )
        if not kind.isprintable():
            link.wrong("type", 'expected a media type such as "text/html"')
        link.close()
        yield LinkTemplate(rel, href, kind)
