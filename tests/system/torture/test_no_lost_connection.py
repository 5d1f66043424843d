# SPDX-License-Identifier: MIT
"""The process is restarted, reloaded, killed and left to exit while 64 clients ask: none is lost,
but for those whose connection a killed process had in its hands.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from .. import project
from ..finger import PROMPT, SERVICE, Finger
from ..waiting import wait_for
from .load import EMPTY, RESET, RIGHT, Load
from .programs import Asking

CLIENTS = 64
QUERIES = 20_000
FAULTS = {"restart": 20, "reload": 50, "kill": 10}
IDLE_EXITS = 100
IDLE = 0.05  # seconds

BEFORE, AFTER = "Happy and well", "Well and happy"
BOTH = f"({BEFORE}|{AFTER})\r\n"
NUMBER = "[0-9]+\r\n"
# What the fast path answers, what is looked up each time, and what is in somebody's hands for long.
QUESTIONS = [
    *[("moshez", BOTH)] * 30,
    *[("pid", NUMBER)] * 15,
    *[("nobody", "No such user\r\n")] * 3,
    ("slow", "slow but sure\r\n"),
]


def configuration(plan: str, idle_exit: float = 600) -> str:
    """Return one in which `moshez` has `plan`, and the probe answers for others."""
    return (
        f"[server]\nidle_exit = {idle_exit}\nlog_queries = false\n"
        f'[[source]]\ntype = "static"\nusers = {{ moshez = "{plan}" }}\n'
        '[[source]]\ntype = "probe"\n'
    )


@pytest.fixture
def restless(finger: Finger) -> Finger:
    """The service with the probe and no start limit, its port open."""
    project.install_probe(finger.machine)
    finger.configure(configuration(BEFORE))
    finger.drop_in(PROMPT)
    finger.listen()
    return finger


@dataclass
class Faults:
    """Does to the service what is asked, and remembers when it killed it, in monotonic seconds."""

    finger: Finger
    kills: list[tuple[float, float]] = field(default_factory=list)
    plan: str = BEFORE

    def restart(self) -> None:
        """Restart it."""
        self.finger.machine.systemctl("restart", SERVICE)

    def reload(self) -> None:
        """Change the plan and reload: until that is done either plan is right."""
        self.plan = AFTER if self.plan == BEFORE else BEFORE
        self.finger.configure(configuration(self.plan))
        self.finger.machine.systemctl("reload", SERVICE)

    def kill(self) -> None:
        """Kill it with SIGKILL; return when the next one is ready."""
        pid = self.finger.pid()
        began = time.monotonic()
        self.finger.machine.run("kill", "-KILL", str(pid))
        self.kills.append((began, time.monotonic()))
        wait_for(
            lambda: self.finger.pid() not in (0, pid) and self.finger.state() == "active",
            "the process after the one that was killed",
            note=self.finger.diary,
        )


def test_restarts_reloads_and_kills(restless: Finger, tell: Callable[[str, str], None]) -> None:
    faults = Faults(restless)
    order = [name for name, times in FAULTS.items() for _ in range(times)]
    random.Random(79).shuffle(order)
    with Asking(restless.machine, Load(QUESTIONS, CLIENTS, (0.0, 0.1), least=QUERIES)) as asking:
        restless.wait_for_state("active")  # the first of them has started it
        for name in order:
            getattr(faults, name)()
        found = asking.found()
    in_hands = [failed for failed in found.failed if failed[1] in (RESET, EMPTY)]
    assert [failed for failed in found.failed if failed not in in_hands] == []
    for query, outcome, began, ended in in_hands:
        assert any(began < after and before < ended for before, after in faults.kills), (
            f"{query} was {outcome} from {began} to {ended}, no kill in it: {faults.kills}"
        )
    assert len(in_hands) <= CLIENTS * len(faults.kills)
    assert found.outcomes[RIGHT] + len(in_hands) == found.asked >= QUERIES
    assert {f"{BEFORE}\r\n", f"{AFTER}\r\n"} <= found.answers.keys()
    did = ", ".join(f"{times} {name}s" for name, times in FAULTS.items())
    tell(
        f"{did} under {CLIENTS} clients",
        f"0 of {found.asked:,} refused, wrong or late;"
        f" {len(in_hands)} lost that the killed processes had in their hands",
    )


def test_idle_exits(restless: Finger, tell: Callable[[str, str], None]) -> None:
    restless.configure(configuration(BEFORE, IDLE))
    load = Load(
        [("pid", NUMBER)],
        CLIENTS,
        pause=(0.8 * IDLE, 1.6 * IDLE),  # so that some come in the very moment of an exit
        together=True,
        different=IDLE_EXITS + 1,
    )
    with Asking(restless.machine, load) as asking:
        found = asking.found()
    assert found.failed == []
    assert len(found.answers) > IDLE_EXITS
    tell(
        f"{IDLE_EXITS} idle exits and more between the queries of {CLIENTS} clients",
        f"{len(found.answers) - 1} exits, 0 of {found.asked:,} refused, lost or late",
    )
