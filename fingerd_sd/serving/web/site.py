# SPDX-License-Identifier: MIT
"""The site: a request in, a reply out.

It knows no sockets and no aiohttp. What is refused is one sentence, the same for a user who is
absent and for one who is hidden.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from fingerd_sd.directory.answer import ABSENT, BAD, FOUND, MISSES, REFUSED, Answer
from fingerd_sd.directory.cache import Cache, Current
from fingerd_sd.policy.audience import PLANS
from fingerd_sd.policy.rules import Client
from fingerd_sd.protocol.reply import LIST_DENIED, NO_SUCH_USER, fixed
from fingerd_sd.serving.web import forms, webfinger
from fingerd_sd.serving.web.asking import LIMITED_SAID, MALFORMED_SAID, Asking, Said
from fingerd_sd.serving.web.forms.values import TYPES, Form, Place
from fingerd_sd.serving.web.replies import STATUS, Reply, made, refused
from fingerd_sd.serving.web.target import (
    OF_PEOPLE,
    OF_USER,
    Target,
    TargetError,
    forget,
    preferred,
    target_of,
)

if TYPE_CHECKING:
    from fingerd_sd.config.web import LinkTemplate

ALLOWED = ("GET", "HEAD")
STYLE_AGE = 31_536_000  # seconds for the stylesheet: its address changes with it
NO_PAGE = "No such page"  # where no user could be either

_OTHER = Target("none")
_VARY = {"Vary": "Accept"}
_ANYBODY = {"Access-Control-Allow-Origin": "*"}  # RFC 7033 §5
_DENIED = Said(Answer(fixed(LIST_DENIED), REFUSED, ""))


class Identity(NamedTuple):
    """What the site is called. `place`: what it calls itself; `domains`: those whose users are its
    own; `links`: what everybody has.
    """

    place: Place
    domains: tuple[str, ...]
    links: tuple[LinkTemplate, ...] = ()


class Site:
    """Answers requests by `asking`. It never raises for anything that a client or a source does."""

    def __init__(
        self, asking: Asking, identity: Identity, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.asking = asking
        self._clock = clock  # the loop's
        self._identity = identity
        news = asking.directory.news
        self._kept: Cache[Hashable, Reply] = Cache() if news is None else Current(news)

    def forget(self) -> None:
        """Drop all replies that are kept, and how requests were read."""
        self._kept.clear()
        forget()

    async def reply(
        self, method: str, raw: str, accept: str, client: Client, started: float
    ) -> Reply:
        """Return the reply to a request of `method` for the target `raw`, as it came. `accept`: the
        Accept headers, joined by commas. `started`: when it came, in the loop's seconds.
        """
        form = preferred(accept, OF_PEOPLE)
        if method not in ALLOWED:
            text = f"This site answers {' and '.join(ALLOWED)} only"
            return self.sentence(form, 405, text, BAD, {"Allow": ", ".join(ALLOWED)})
        try:
            target = target_of(raw)
        except TargetError as error:
            if not self.asking.policy.admit(client, started):
                return self._told(LIMITED_SAID, _OTHER, form, client)
            self.asking.counted(MALFORMED_SAID, client)
            return self.sentence(form, 400, str(error), BAD)
        form = target.form or (preferred(accept, OF_USER) if target.page == "user" else form)
        if target.page == "style":
            return _style()
        if not self.asking.policy.admit(client, started):
            return self._told(LIMITED_SAID, target, form, client)
        key = (client.audience.name, target, form)
        kept = self._kept.get(key, started)
        if kept is not None:
            if kept.result in MISSES:
                self.asking.policy.missed(client)
            return kept
        said, reply = await self._made(target, form, client, started)
        # Only now: before it leaves, it would tell another client how long the look-up took.
        if said.lifetime > 0 and said.news == self.asking.news():
            size = len(reply.body) + len(target.user) + len(target.query)
            self._kept.put(key, reply, size, self._clock() + said.lifetime)
        return reply

    def sentence(
        self, form: Form, status: int, text: str, result: str, more: Mapping[str, str] | None = None
    ) -> Reply:
        """Return a reply of one sentence. `result`: for the log. `more`: headers."""
        body = forms.sentence(form, status, text, self._identity.place)
        return refused(status, body, TYPES[forms.spoken(form)], result, "", more or {})

    async def _made(
        self, target: Target, form: Form, client: Client, started: float
    ) -> tuple[Said, Reply]:
        """Return what is said to an admitted client, and the reply that tells it."""
        if target.page == "webfinger":
            return await self._finger(target, client, started)
        if target.page == "none":
            said = Said(Answer(fixed(NO_PAGE), ABSENT, ""))
        elif target.page == "feed" and client.audience.list != PLANS:
            said = self.asking.counted(_DENIED, client)
        else:  # a list has no user
            said = await self.asking.ask(target.user, client, started)
        return said, self._told(said, target, form, client)

    async def _finger(self, target: Target, client: Client, started: float) -> tuple[Said, Reply]:
        """Return the same for WebFinger, which answers in JSON whatever the client accepts."""
        _, domains, links = self._identity
        try:
            asked = webfinger.parse(target.query)
        except webfinger.BadResource as error:
            said = self.asking.counted(MALFORMED_SAID, client)
            return said, self.sentence("json", 400, error.say, BAD, _ANYBODY)
        user = asked.user_of(domains)
        if user is None:
            said = await self.asking.nobody(client, started)
        else:
            said = await self.asking.ask(user.encode(), client, started)
        if said.entry is None:
            return said, self._told(_one(said), target, "json", client)
        body = webfinger.jrd(asked, said.entry, domains, links, self._identity.place)
        return said, self._fresh(said, made(body, webfinger.TYPE, said.answer.source, _ANYBODY))

    def _told(self, said: Said, target: Target, form: Form, client: Client) -> Reply:
        """Return what `said` is in `form`."""
        answer, place = said.answer, self._identity.place
        if form == "vcard":
            answer = _one(said).answer
        if answer.result != FOUND:
            text = answer.octets.decode().strip()
            more = _ANYBODY if target.page == "webfinger" else None
            reply = self.sentence(form, STATUS[answer.result], text, answer.result, more)
            return reply._replace(source=answer.source)
        if form == "text":
            body = answer.octets.replace(b"\r\n", b"\n")
        elif said.entry is not None:
            body = forms.person(form, said.login, said.entry, place, bool(client.audience.list))
        else:
            body = forms.people(form, said.rows, said.kind or "sessions", place, said.cut)
        return self._fresh(said, made(body, TYPES[form], answer.source, _VARY))

    def _fresh(self, said: Said, reply: Reply) -> Reply:
        """Return `reply` with the moment when the client is to ask again. Where a source tells of
        its changes, that is always: who takes a plan back expects it to be gone.
        """
        until = self._clock() if said.news is not None else self._clock() + said.lifetime
        return reply._replace(until=until)


def _one(said: Said) -> Said:
    """Return `said` if it is of one user; where several have the name, nobody is meant."""
    if said.entry is None and said.answer.result == FOUND:
        return Said(Answer(fixed(NO_SUCH_USER), ABSENT, ""))
    return said


@cache
def _style() -> Reply:
    body, _ = forms.style()
    kept = {"Cache-Control": f"public, max-age={STYLE_AGE}, immutable"}
    return made(body, "text/css; charset=utf-8", "", kept)
