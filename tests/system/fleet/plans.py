# SPDX-License-Identifier: MIT
"""Users of three login hosts publish into the store, and two servers show that to clients."""

from __future__ import annotations

import re
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from ...helpers.ended import Ended
from ..finger import CONFIGURATION, SERVICE, Finger
from ..user import User
from ..waiting import wait_for
from .fleet import LOGIN_HOSTS, SERVERS, Fleet
from .network import CLIENTS
from .sharing import URL, share

KEEPER, ENTRANCE = "finger-publish.service", "finger-publish.socket"
FRIEND = CLIENTS[0]  # who sees plans
# Who publishes, and on which host.
PEOPLE = {"ada": "login1", "ben": "login2", "cyd": "login3"}
FIRST_UID = 2100
AUDIENCES = f"""
[[audience]]
name = "friends"
networks = ["{FRIEND}"]
show = ["name", "plan"]
rate = 0
[[audience]]
name = "others"
show = ["name"]
rate = 0
"""
PUBLISHING = """
[publish]
per_hour = 100_000
"""
SOURCE = """
[[source]]
type = "published"
"""
PLAN = "Curiouser"
FAILED = "Internal error in server\r\n"
NOTE = r"\[This answer is [0-9]+ [a-z]+ old: no newer one can be had now\]\r\n"
# What a publish says that is not acknowledged.
NOT_STORED = re.compile("nothing was stored|it may be stored or not")
PAUSE = 0.2  # seconds between two publishes of one user


def answer(login: str, plan: str = PLAN, more: str = "") -> str:
    """Return a regular expression of an answer about `login`, whoever asks. `plan`: one too."""
    name = f"Login: {login}\\s+Name: {login.capitalize()} Liddell\r\n"
    return f"{name}(Plan:\r\n{plan}\r\n)?{more}"


class Plans(Ended):
    """The users of PEOPLE, each on one host, and both servers, which know nobody but by the store.
    `url`: of that.
    """

    def __init__(self, fleet: Fleet, url: str = URL) -> None:
        self.fleet = fleet
        self.servers: list[Finger] = []
        self.users: dict[str, User] = {}
        try:
            for name in LOGIN_HOSTS:
                machine = fleet.machines[name]
                machine.write(CONFIGURATION, share(machine, KEEPER, url) + PUBLISHING + SOURCE)
                machine.systemctl("stop", KEEPER)
                machine.systemctl("start", ENTRANCE)
            for name in SERVERS:
                machine = fleet.machines[name]
                machine.write(CONFIGURATION, share(machine, SERVICE, url) + AUDIENCES + SOURCE)
                machine.systemctl("restart", SERVICE)
            self.servers = fleet.fingers(*SERVERS)
            for number, (login, name) in enumerate(PEOPLE.items(), FIRST_UID):
                self.users[login] = User(fleet.machines[name], login, number)
        except BaseException:
            self.leave()
            raise

    def leave(self, failed: bool = False) -> None:
        """Remove the users, and stop the keepers."""
        for user in self.users.values():
            user.drop()
        for name in LOGIN_HOSTS:
            self.fleet.machines[name].systemctl("stop", ENTRANCE, KEEPER)

    def publish(self, login: str, plan: str = PLAN) -> str:
        """Publish; return "" if that was acknowledged, or what was said."""
        said = self.users[login].publish("--plan", "-", stdin=f"{plan}\n")
        assert said.status == 0 or NOT_STORED.search(said.stderr), said
        return "" if said.status == 0 else said.stderr

    def wait_for_answers(self, login: str, right: str) -> None:
        """Wait until both servers give an answer that `right` matches, each to several clients."""
        for client in CLIENTS[:4]:
            wait_for(
                lambda: re.fullmatch(right, self.fleet.ask(login, client)),  # noqa: B023
                f"an answer about {login} to {client}",
                note=lambda: self.fleet.ask(login, client),  # noqa: B023
            )


class Numbers(Ended):
    """`login` publishes 1, 2, 3 and so on. `tried`: the last one; `stored`: the last one that was
    acknowledged. `refused`: what was said of the others.
    """

    def __init__(self, plans: Plans, login: str) -> None:
        self.login = login
        self.tried = self.stored = 0
        self.refused: list[str] = []
        self._plans = plans
        self._turn = threading.Lock()
        self._over = threading.Event()
        self._threads = ThreadPoolExecutor(1, "numbers")
        self._running: Future[None] = self._threads.submit(self._run)

    def leave(self, failed: bool = False) -> None:
        """Stop publishing."""
        self._over.set()
        self._threads.shutdown()
        if not failed:
            self._running.result()

    def wait_for_more(self) -> None:
        """Wait until one is acknowledged that has not been tried yet."""
        tried = self.tried + 1
        wait_for(lambda: self._alive() and self.stored > tried, f"{self.login} to be stored",
                 note=lambda: self.refused[-1:])  # fmt: skip

    def wait_for_refusal(self) -> None:
        """Wait until one is refused that has not been tried yet."""
        refused = len(self.refused) + 1
        wait_for(
            lambda: self._alive() and len(self.refused) > refused, f"{self.login} to be refused"
        )

    def check(self) -> None:
        """See that both servers come to show what was acknowledged, and nothing older."""
        with self._turn:
            right = "|".join(str(number) for number in range(self.stored, self.tried + 1))
            self._plans.wait_for_answers(self.login, answer(self.login, f"number (?:{right})"))

    def _alive(self) -> bool:
        if self._running.done():
            self._running.result()
        return True

    def _run(self) -> None:
        while not self._over.is_set():
            with self._turn:
                self.tried += 1
                said = self._plans.publish(self.login, f"number {self.tried}")
                if said:
                    self.refused.append(said)
                else:
                    self.stored = self.tried
            self._over.wait(PAUSE)
