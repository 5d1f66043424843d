# SPDX-License-Identifier: MIT
"""What must be reached, and what was: each bound with the figure that it is held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from . import cold, first, peers
from .rounds import FULL, LATE, Round

AT = FULL  # where the ratios are taken
SLACK = "256"  # clients: the same while the load generator is what is waited for


@dataclass(frozen=True)
class Bound:
    """`value` against `most` (or against `least`); None: it could not be measured."""

    what: str
    value: float | None
    bound: float
    unit: str = "×"
    least: bool = False
    binding: bool = True  # else shown beside the others only

    @property
    def met(self) -> bool | None:
        """Whether it is met."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.least else self.value <= self.bound

    def row(self) -> str:
        """Return it as a row of a Markdown table."""
        sign = "≥" if self.least else "≤"
        value = "not measured" if self.value is None else f"{self.value:.3g} {self.unit}"
        met = {True: "yes", False: "**no**", None: "–"}[self.met]
        return f"| {self.what} | {sign} {self.bound:.3g} {self.unit} | {value} | {met} |"


def ratio(rounds: list[Round], ours: str, other: str, at: str = AT) -> float | None:
    """Return the median over the rounds of our processor time for a query ÷ the other's."""
    ratios = [
        this[ours][at]["cpu_us"] / this[other][at]["cpu_us"]
        for this in rounds
        if at in this.get(ours, {}) and at in this.get(other, {})
    ]
    return median(ratios) if ratios else None


def _cost(rounds: list[Round]) -> list[Bound]:
    quiet, logging, plain = peers.OURS, peers.OURS_LOGGING, peers.OURS_PLAIN
    c, helped, proxied = peers.LIMIT, peers.LIMIT_HELPED, peers.OURS_PROXIED

    def against(other: str, bound: float, text: str, at: str = AT, ours: str = quiet) -> Bound:
        return Bound(text, ratio(rounds, ours, other, at), bound)

    def beside(ours: str, other: str, bound: float, text: str, at: str = AT) -> Bound:
        return Bound(text, ratio(rounds, ours, other, at), bound, binding=False)

    return [
        against(c, 1.25, "no query log ÷ C"),
        against(c, 1.6, "with the query log ÷ C", ours=logging),
        against(peers.TWISTED, 0.5, "no query log ÷ Twisted's tutorial"),
        against(peers.PROTOCOL, 0.33, "no query log ÷ asyncio Protocol with a timer"),
        against(peers.PYFINGERD, 0.25, "no query log ÷ pyfingerd"),
        against(peers.GO, 0.8, "no query log ÷ Go"),
        against(peers.BSD, 0.01, "no query log ÷ Debian's fingerd"),
        against(c, 1.3, "asked after accept: no query log ÷ C", at=LATE),
        against(c, 1.15, f"{SLACK} clients, server not full: no query log ÷ C", SLACK),
        against(c, 1.35, f"{SLACK} clients, server not full: with it ÷ C", SLACK, logging),
        against(quiet, 1.15, "the same: by a balancer's header ÷ without", SLACK, proxied),
        beside(quiet, peers.TWISTED, 0.5, "the same: no query log ÷ Twisted's tutorial", SLACK),
        beside(c, peers.TWISTED, 0.5, "the same: C ÷ Twisted's tutorial", SLACK),
        beside(quiet, peers.PROTOCOL, 0.33, "the same: no query log ÷ asyncio Protocol", SLACK),
        beside(quiet, peers.PYFINGERD, 0.25, "the same: no query log ÷ pyfingerd", SLACK),
        beside(quiet, peers.GO, 0.8, "the same: no query log ÷ Go", SLACK),
        beside(quiet, peers.BSD, 0.01, "the same: no query log ÷ Debian's fingerd", SLACK),
        beside(plain, c, 1.25, "beside: plain socket, no query log ÷ C"),
        beside(plain, c, 1.3, "beside: plain socket, asked after accept ÷ C", at=LATE),
        beside(quiet, helped, 1.25, "beside: no query log ÷ C with the same help of the kernel"),
        beside(quiet, helped, 1.3, "beside: the same, asked after accept", at=LATE),
        beside(quiet, peers.BSD_SAY, 0.01, "beside: ÷ fingerd without finger(1)"),
    ]


def _memory(memory: Mapping[str, Mapping[str, float]]) -> list[Bound]:
    def of(name: str, key: Callable[[Mapping[str, float]], float]) -> float | None:
        found = memory.get(name)
        return key(found) if found else None

    found = [
        Bound(
            "throughput beside silent clients ÷ without",
            of(peers.OURS, lambda row: row["ratio"]),
            0.9,
            least=True,
        ),
        Bound(
            "resident memory, idle",
            of(peers.OURS_LOGGING, lambda row: row["idle"] / 1024),
            24,
            "MiB",
        ),
    ]
    for name in (peers.OURS, peers.OURS_PLAIN):
        kib = of(name, lambda row: row["kib"])
        found.append(Bound(f"memory of a silent client, {name}", kib, 0.8, "KiB"))
    for name in (peers.OURS, peers.OURS_LOGGING):
        grown = of(name, lambda row: (row["after"] - row["idle"]) / 1024)
        found.append(Bound(f"growth in all queries, {name}", grown, 0.5, "MiB"))
    return found


def _first(rounds: list[Round]) -> list[Bound]:
    def cost(name: str, kind: str, bound: float, text: str) -> Bound:
        return Bound(f"{text} ÷ C", ratio(rounds, name, peers.LIMIT, kind), bound)

    static, database, account = first.OURS_FIRST
    found = [
        cost(peers.OURS, first.KEPT, 1.15, "kept answer, no query log"),
        cost(peers.OURS_LOGGING, first.KEPT, 1.35, "kept answer, with the query log"),
    ]
    for kind in (first.ABSENT, first.FOUND):
        found += [
            cost(static, kind, 2.2, f"first asking, static, {kind}"),
            cost(database, kind, 5, f"first asking, SQLite, {kind}"),
            cost(account, kind, 8, f"first asking, account, {kind}"),
        ]
    return found


def _cold(found: Mapping[str, Any]) -> list[Bound]:
    singles, bursts = found.get("ms", {}), found.get("bursts", {})
    bare = median(singles[cold.BARE]) if singles.get(cold.BARE) else None
    result = []
    most = {peers.OURS: 0.55, peers.OURS_LOGGING: 0.55, first.OURS_ACCOUNTS: 1.15}
    for name, bound in most.items():
        if bare and singles.get(name):
            mounted = cold.reference(name)
            pairs = zip(singles[name], singles.get(mounted, singles[cold.BARE]), strict=True)
            value = median(ours / reference for ours, reference in pairs)
            same = " with the same mounts" if mounted in singles else ""
            result.append(Bound(f"cold start ÷ `{cold.BARE}`{same}, {name}", value, bound))
        if bare and bursts.get(name):
            worst = median(bursts[name]) / bare
            result.append(Bound(f"all of a burst answered ÷ the same, {name}", worst, 2))
    result += [
        Bound(f"resident memory, idle, {name}", kib / 1024, 24, "MiB")
        for name, kib in found.get("idle", {}).items()
    ]
    return result


def bounds(results: Mapping[str, Any]) -> list[Bound]:
    """Return all bounds for what was measured."""
    junk = results.get("junk", {})
    lost = [
        sample["bad"] + sample["reset"]
        for name in (peers.OURS, peers.OURS_LOGGING, peers.OURS_PLAIN)
        for sample in junk.get(name, {}).values()
    ]
    harmed = Bound(
        "answers lost or reset though more than a line came",
        sum(lost) if lost else None,
        0,
        "answers",
    )
    waiting = results.get("floor", {})
    floor = Bound("beside clients that wait at the floor ÷ without", waiting.get("ratio"), 1.1)
    rounds, asked = results.get("rounds") or [], results.get("first") or []
    memory, starts = results.get("memory", {}), results.get("cold", {})
    return [*_cost(rounds), *_first(asked), floor, *_memory(memory), harmed, *_cold(starts)]
