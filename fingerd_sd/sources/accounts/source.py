# SPDX-License-Identifier: MIT
"""This machine's accounts: NSS (so LDAP and SSSD too), the files in their homes, their sessions.

It knows neither clients nor layouts. Accounts and files may be slow (a network behind NSS, a home
on a dead server), so a bounded pool of threads asks for both, never the loop. In doubt it hides a
user: it does not show a user who did nothing, nor one whose wish it cannot read.
"""

from __future__ import annotations

import pwd
import time
from collections.abc import Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from fingerd_sd.config.mistakes import Mistake
from fingerd_sd.config.table import Table
from fingerd_sd.directory.source import Source
from fingerd_sd.process.threads import Pool, Shared, Visit
from fingerd_sd.protocol.entry import ATOMS, Absent, Person
from fingerd_sd.sources import people, words
from fingerd_sd.sources.accounts.home import STARVED, Hidden, Home
from fingerd_sd.sources.accounts.last_login import last_login
from fingerd_sd.sources.accounts.mailbox import mail_state
from fingerd_sd.sources.accounts.sessions.listing import Reader, Sessions

if TYPE_CHECKING:
    from fingerd_sd.store.server import Server

MAX_THREADS = 8  # look-ups at once; more wait, each within its deadline
TIMEOUT = 5.0  # seconds for one look-up
LIFETIME = 2.0  # seconds: a new plan shows at once, a thousand queries a second cost one look-up
NAMES_KEPT = 60.0  # seconds: full names seldom change, and reading all accounts is slow
FILES = {  # in a home, by atom; the first that exists counts
    "project": (".project",),
    "plan": (".plan",),
    "key": (".pgpkey", ".pubkey"),
    "forward": (".forward",),
}
WISHES = ("project", "plan")  # a user with one of them wants to be shown
DEFAULT_SHELL = "/bin/sh"  # what an empty field means: passwd(5)


class Options(NamedTuple):
    """`visible`: "opt-in", only users with a readable plan or project; "all", every account.
    `uids`: the accounts of people. `unreadable_home`: whether "all" holds for a home that cannot be
    searched: "hide", or "show". `atoms`: the atoms to look for. `fleet`: whether sessions are those
    on all hosts, of which a store tells.
    """

    visible: str = "opt-in"
    uids: people.Range = people.Range()
    unreadable_home: str = "hide"
    atoms: frozenset[str] = frozenset(ATOMS)
    fleet: bool = False


def read(table: Table, name: str) -> AccountsSource:
    """Return the source that a `[[source]]` table describes; mistakes go to the table."""
    options = Options(
        visible=table.choice("visible", "opt-in", ("opt-in", "all")),
        uids=people.read_range(table),
        unreadable_home=table.choice("unreadable_home", "hide", ("hide", "show")),
        fleet=table.choice("sessions", "here", ("here", "fleet")) == "fleet",
    )
    table.close()
    source = AccountsSource(name, options)
    if options.fleet:
        source.without_store = table.mistake("sessions", '"fleet" needs url in [store]')
    return source


class AccountsSource:
    """The accounts of this machine that want to be shown. A `Source`, which also lists who is
    logged in, and matches full names.
    """

    timeout = TIMEOUT
    lifetime = LIFETIME

    def __init__(self, name: str, options: Options, sessions: Sessions | None = None) -> None:
        self.name = name
        self.without_store: Mistake | None = None
        self._options = options
        self._shared = Shared(Pool(MAX_THREADS, name))
        self._sessions = sessions or Sessions(Reader())
        self._names: words.Index = {}
        self._names_until = 0.0  # monotonic seconds

    def select(self, atoms: frozenset[str]) -> None:
        """Look only for `atoms`, which are those that somebody may see."""
        self._options = self._options._replace(atoms=atoms)

    def in_store(self, server: Server) -> Source:
        """Return what to ask in place of this source where hosts share the store `server`."""
        if not self._options.fleet:
            return self
        from fingerd_sd.store.presence.joined import Joined

        return Joined(self, server.hold(), server.host)

    async def find(self, user: str) -> Person | Absent:
        """Return the account `user`, or why it is not shown. Raises OSError if NSS fails."""
        return await self.visit(user, False).result()

    async def find_consented(self, user: str) -> Person | Absent:
        """Return the account `user`, who has consented elsewhere: neither a private home nor a
        missing plan hides the user, but a ~/.nofinger hides what is here.
        """
        return await self.visit(user, True).result()

    def visit(self, user: str, consented: bool) -> Visit[Person | Absent]:
        """Return the call that `find` or `find_consented` makes."""
        options = self._options
        if consented:
            options = options._replace(visible="all", unreadable_home="show")
        return Visit(self._shared, (user, consented), partial(self._look_up, user, options))

    async def who(self) -> Sequence[str] | None:
        """Return who is logged in; None if that cannot be known."""
        return await self._shared.call("who", self._sessions.who)

    async def match(self, asked: Sequence[str]) -> Sequence[str]:
        """Return the accounts whose full name has all words of `asked`, of those that NSS
        enumerates. Raises OSError if it cannot enumerate.
        """
        if time.monotonic() >= self._names_until:
            self._names = await self._shared.call("names", _all_names, self._options)
            self._names_until = time.monotonic() + NAMES_KEPT
        return words.matching(self._names, asked)

    def give_back(self) -> None:
        """Drop the index of full names."""
        self._names, self._names_until = {}, 0.0

    def _look_up(self, user: str, options: Options) -> Person | Absent:
        """Return what `find` does: NSS, home, files and sessions in one visit of a thread."""
        said = look_up(user, options)
        if isinstance(said, Absent) or "sessions" not in options.atoms or options.fleet:
            return said
        sessions, origin = self._sessions.of(said.login)
        told = f"{origin}; the last login: {said.origins['sessions']}"
        origins = MappingProxyType({**said.origins, "sessions": told})
        return said._replace(sessions=sessions, origins=origins)


def _all_names(options: Options) -> words.Index:
    """Return the full names of the accounts of people. It blocks."""
    from fingerd_sd.sources.accounts.passwd import accounts  # imports ctypes, which few need

    return words.index(
        (account.name, name)
        for account in accounts()
        if options.uids.min_uid <= account.uid <= options.uids.max_uid
        if (name := people.parse_gecos(account.gecos, account.name).get("name"))
    )


def look_up(user: str, options: Options) -> Person | Absent:
    """Return the account `user`, or why it is not shown. It blocks for as long as NSS and the disk
    do. getpwnam(3) says what an account is. Raises OSError if files cannot be opened.
    """
    found = _look_up(user, options)
    if isinstance(found, Absent):
        people.need_descriptors()
    return found


def _look_up(user: str, options: Options) -> Person | Absent:
    account = people.account_of(user, options.uids)
    if isinstance(account, Absent):
        return account
    try:
        return _person(account, options)
    except Hidden as reason:
        return Absent(str(reason))


def _person(account: pwd.struct_passwd, options: Options) -> Person:
    """Return `account` as a person. Raises Hidden if the user does not want that, or if that cannot
    be known.
    """
    files, origins = _files(account, options)
    if options.visible == "opt-in" and files.keys().isdisjoint(WISHES):
        notes = "; ".join(origins[wish] for wish in WISHES if wish in origins)
        raise Hidden(f'no readable ~/.plan or ~/.project, and visible is "opt-in": {notes}')
    gecos, told = people.told_by(account)
    origins |= dict.fromkeys(("name", "directory", "shell", *gecos), told)
    last, mail = None, None
    if "sessions" in options.atoms:
        last, origins["sessions"] = last_login(account.pw_uid, account.pw_name)
    if "mail" in options.atoms:
        mail, origins["mail"] = mail_state(account.pw_name)
    return Person(
        login=account.pw_name,
        name=gecos.get("name", ""),
        directory=account.pw_dir,
        shell=account.pw_shell or DEFAULT_SHELL,
        office=gecos.get("office"),
        phone=gecos.get("phone"),
        home_phone=gecos.get("home_phone"),
        last_login=last,
        forward=files.get("forward"),
        mail=mail,
        key=files.get("key"),
        project=files.get("project"),
        plan=files.get("plan"),
        origins=MappingProxyType(origins),
        uid=account.pw_uid,
    )


def _files(account: pwd.struct_passwd, options: Options) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts of the user's files by atom, and for each atom its origin or why it is
    missing. Raises Hidden where the user must not be shown.
    """
    show_anyway = options.visible == "all" and options.unreadable_home == "show"
    texts: dict[str, str] = {}
    origins: dict[str, str] = {}
    try:
        with Home(account.pw_dir, account.pw_uid) as home:
            if home.has(".nofinger"):
                raise Hidden(f"{account.pw_dir}/.nofinger exists")
            for atom, names in FILES.items():
                if atom not in options.atoms and atom not in WISHES:
                    continue
                try:
                    found = next(filter(None, map(home.read, names)), None)
                except Hidden as reason:
                    origins[atom] = str(reason)
                    continue
                if found is None:
                    origins[atom] = f"no {account.pw_dir}/{names[0]}"
                else:
                    texts[atom], origins[atom] = found.text, found.path
    except OSError as error:
        if error.errno in STARVED:
            raise
        why = f"the home {account.pw_dir} cannot be searched: {error.strerror}"
        # A missing home has no .nofinger; a home that cannot be searched might have one.
        if not (show_anyway or isinstance(error, FileNotFoundError)):
            raise Hidden(why) from None
        origins |= dict.fromkeys(FILES, why)
    return texts, origins
