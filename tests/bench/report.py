# SPDX-License-Identifier: MIT
"""The report: what was measured, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from . import first_report, peers
from .bounds import SLACK, bounds, ratio
from .rounds import FULL, LATE, Round
from .show import of, show, table

HOW = """\
One core for the server, one for the load; every server stands behind the same kind of socket and
is asked for the same answer where it lets us. All take their turn in each round; figures are
medians over the rounds, ratios are taken within a round. *Processor µs a query* is the time on the
processor of the server's process, user and system, its children's included; it is the figure to
compare, since queries a second end where the load generator does: *load* says how busy that was.

On two cores the generator, which has the kernel's work for each handshake, is slower than a fast
server. That one then finds hardly more than one client at each look and pays for the look each
time, where a slow server finds many: so what a query costs it is not what it costs a busy one. The
bounds are therefore taken where the server is what is waited for: *full*, 256 clients, while its
core has other work, a loop that counts to no end. The same without that stands beside.

fingerd-sd has the socket options of its units, TCP_DEFER_ACCEPT among them; the minimal C server
stands there without and with them.
"""


def _cost(results: Mapping[str, Any]) -> list[str]:
    rounds: list[Round] = results["rounds"]
    names = list(rounds[0])
    levels = list(next(iter(rounds[0].values())))
    lines = ["## Processor µs a query", ""]
    head = ["server", *(level if level in (LATE, FULL) else f"{level} clients" for level in levels)]
    rows = []
    for name in names:
        costs = [show(of(rounds, name, level, "cpu_us"), ".1f") for level in levels]
        over = (show(ratio(rounds, name, peers.LIMIT, at), ".2f") for at in (SLACK, FULL))
        rows.append([name, *costs, *over])
    lines += table([*head, f"÷ C at {SLACK}", f"÷ C, {FULL}"], rows)
    lines += ["*late*: 256 clients that ask 10 ms after they connected.", ""]
    lines += ["## Queries a second, and how long they took (ms)", ""]
    head = ["server"]
    for level in levels:
        head += [f"{level}: a second", "load", "p50", "p99"]
    rows = []
    for name in names:
        row = [name]
        for level in levels:
            row.append(show(of(rounds, name, level, "per_second")))
            row.append(show(of(rounds, name, level, "load_busy"), ".0%"))
            for key in ("p50_us", "p99_us"):
                us = of(rounds, name, level, key)
                row.append(show(us / 1000 if us is not None else None, ".2f"))
        rows.append(row)
    lines += table(head, rows)
    bad = sum(s["bad"] + s["reset"] for r in rounds for p in r.values() for s in p.values())
    asked = sum(s["queries"] for r in rounds for p in r.values() for s in p.values())
    lines += [f"{asked:,.0f} queries, {bad:,.0f} of them lost, cut, wrong or reset.", ""]
    logging = [sample for this in rounds for sample in this.get(peers.OURS_LOGGING, {}).values()]
    if logging:
        share = sum(s["logged"] for s in logging) / sum(s["queries"] for s in logging)
        lines += [f"The stand-in for journald took {share:.1%} of the query log's entries.", ""]
    return lines


def _junk(results: Mapping[str, Any]) -> list[str]:
    head = ["server", "junk: lost", "junk: reset after it", "trail: lost", "trail: reset after it"]
    rows = [
        [
            name,
            *(
                f"{found[mode][key] / found[mode]['queries']:.1%}"
                for mode in ("junk", "trail")
                for key in ("bad", "reset")
            ),
        ]
        for name, found in results["junk"].items()
    ]
    text = "*junk*: 700 octets behind the line, and again while the answer goes out."
    more = "*trail*: the same in segments of their own."
    return [
        "## Answers, when clients send more than a line",
        "",
        *table(head, rows),
        text,
        more,
        "",
    ]


def _memory(results: Mapping[str, Any]) -> list[str]:
    head = [
        "server",
        "idle, MiB",
        "after 1 %",
        "after all",
        "a silent client, KiB",
        "held",
        "a second without",
        "beside them",
        "µs without",
        "beside",
    ]
    rows = []
    for name, found in results["memory"].items():
        sizes = [found[key] / 1024 if key in found else None for key in ("idle", "warm", "after")]
        rates = [found.get(key) for key in ("without", "beside")]
        costs = [found.get(key) for key in ("without_us", "beside_us")]
        rows.append(
            [
                name,
                *(show(size, ".1f") for size in sizes),
                show(found["kib"], ".2f"),
                show(found["held"]),
                *map(show, rates),
                *(show(cost, ".1f") for cost in costs),
            ]
        )
    queries = f"*all*: {results['plan']['growth']:,} queries by 256 clients."
    return ["## Resident memory, and silent clients", "", *table(head, rows), queries, ""]


def _cold(results: Mapping[str, Any]) -> list[str]:
    found = results["cold"]
    rows = []
    for name, times in found["ms"].items():
        burst = found["bursts"].get(name)
        rows.append(
            [
                name,
                show(median(times), ".1f"),
                show(min(times), ".1f"),
                show(median(burst) if burst else None, ".1f"),
            ]
        )
    slowest = f"{results['plan']['burst']} at once: all answered"
    head = ["started by its first client", "whole answer, ms", "the fastest", slowest]
    lines = ["## Cold start", "", *table(head, rows)]
    idle = [f"{name} {kib / 1024:.1f} MiB" for name, kib in found["idle"].items()]
    lines += [f"Resident memory at rest after the first answer: {'; '.join(idle)}.", ""]
    lines += ["fingerd-sd's in parts:", ""]
    rows = [[name, f"{ms:.1f}"] for name, ms in found["parts"].items()]
    lines += table(["part", "ms"], rows)
    lines += ["Its imports (`-X importtime`, which slows them), each without what it imports:", ""]
    return [
        *lines,
        *table(["module", "ms"], [[name, f"{ms:.1f}"] for name, ms in found["imports"]]),
    ]


def _scale(results: Mapping[str, Any]) -> list[str]:
    found = results["scale"]
    lines = ["## Scale", ""]
    keys = ("same", "any", "start", "mib", "bad")
    rows = [
        [f"{int(users):,}", *(show(row.get(key), ".1f") for key in keys)]
        for users, row in found["users"].items()
    ]
    lines += table(
        [
            "users in the directory",
            "µs: the same one",
            "µs: any of them",
            "start, s",
            "memory, MiB",
            "wrong",
        ],
        rows,
    )
    rows = [
        [f"{row['held']:,.0f}", f"{row['us']:.1f}", f"{row['bad']:.0f}"]
        for row in found["open"].values()
    ]
    lines += table(["connections open beside", "µs a query", "lost"], rows)
    rows = [
        [number, f"{row['per_second']:,.0f}", f"{row['us']:.1f}"]
        for number, row in found["processes"].items()
    ]
    return [*lines, *table(["processes on one socket", "a second", "µs a query"], rows)]


def _profile(results: Mapping[str, Any]) -> list[str]:
    found = results["profile"]
    lines = ["## Where the time goes", "", "Of the processor time, by perf, 256 clients.", ""]
    for key, head in (("where", "code of"), ("call", "system call")):
        shares = {name: shown[key] for name, shown in found.items()}
        names = sorted({one for those in shares.values() for one in those})
        rows = [[one, *(those.get(one, 0.0) for those in shares.values())] for one in names]
        rows = sorted((row for row in rows if max(row[1:]) >= 1), key=lambda row: -row[1])
        lines += table(
            [head, *shares], [[row[0], *(f"{s:.0f} %" for s in row[1:])] for row in rows]
        )
    return lines


def report(results: Mapping[str, Any]) -> str:
    """Return the whole report."""
    facts = [f"- {key}: {value}" for key, value in results["machine"].items()]
    lines = ["# Benchmark", "", *facts, "", HOW, "## What must be reached", ""]
    lines += ["| what | bound | measured | met |", "|---|---|--:|---|"]
    lines += [*(bound.row() for bound in bounds(results)), ""]
    parts = {
        "rounds": _cost,
        "first": first_report.first,
        "junk": _junk,
        "memory": _memory,
        "cold": _cold,
        "scale": _scale,
        "profile": _profile,
    }
    for part, shown in parts.items():
        if results.get(part):
            lines += shown(results)
    lines += ["## The servers", ""]
    lines += [f"- {name}: {about}" for name, about in results["peers"].items()]
    lines += [f"- left out: {name}: {why}" for name, why in results["missing"].items()]
    return "\n".join([*lines, ""])
