# SPDX-License-Identifier: MIT
"""The metrics against their manual page, and the alert rules against both."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from ..helpers import needs
from ..serving.metrics.figures import CLIENT, HAPPY, figures
from .test_manual import MAN, TREE, names

PAGE = "finger-metrics.socket.5"
EXAMPLE = TREE / "packaging/example/prometheus"
ALERTS = Path(__file__).parent / "alerts.yml"


def shown() -> dict[str, set[str]]:
    """Return the metrics that there are, each with its labels."""
    needs.modules("prometheus_client")
    from fingerd_sd.serving.metrics.page import page

    well = figures()
    well.counts.query(HAPPY, CLIENT, 1)
    text = page(well, "")[1].decode()
    found = {
        name: set[str]() for name in re.findall(r"^# TYPE (\S+) \w+$", text, flags=re.MULTILINE)
    }
    for name, labels in re.findall(r"^(\w+?)(?:_bucket)?\{(.*)\} ", text, flags=re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return {name: labels - {"le"} for name, labels in found.items() if name in found}


def promtool(*arguments: str, cwd: Path) -> None:
    """Run promtool, which must be content."""
    needs.programs("promtool")
    done = subprocess.run(
        ["promtool", *arguments],
        check=False,
        cwd=cwd,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_manual_has_every_metric_and_no_other() -> None:
    there = {name for name in shown() if not re.search("_(sum|count)$", name)}
    assert set(names(PAGE, "METRICS")) == there


def test_the_manual_has_every_label_of_a_metric() -> None:
    text = (MAN / PAGE).read_text().partition(".Sh METRICS\n")[2].partition("\n.Sh ")[0]
    items = dict(re.findall(r"^\.It Va (\S+)\n((?:(?!\.It |\.El).*\n)*)", text, re.MULTILINE))
    for name, labels in shown().items():
        if name in items:
            assert set(re.findall(r"^\.Va (\w+)", items[name], re.MULTILINE)) == labels, name


def test_the_alert_rules_know_only_metrics_that_there_are() -> None:
    text = (EXAMPLE / "alerts.yml").read_text()
    rules = re.findall(r"expr: (.*?)\n +(?:for|annotations):", text, re.DOTALL)
    assert len(rules) == text.count("- alert:")
    told = {name for rule in rules for name in re.findall(r"(?:fingerd|process)_\w+", rule)}
    assert told <= {*shown(), "fingerd_query_duration_seconds_bucket"}


def test_promtool_accepts_the_examples() -> None:
    promtool("check", "rules", "alerts.yml", cwd=EXAMPLE)
    promtool("check", "config", "--syntax-only", "scrape.yml", cwd=EXAMPLE)


def test_every_alert_fires_for_what_it_is_for_and_for_nothing_else() -> None:
    rules = set(re.findall(r"alert: (\w+)", (EXAMPLE / "alerts.yml").read_text()))
    tried = re.findall(r"alertname: (\w+)(?=\n +exp_alerts:)", ALERTS.read_text())
    quiet = re.findall(r"alertname: (\w+) \}", ALERTS.read_text())
    assert rules == set(tried) == set(quiet)
    promtool("test", "rules", ALERTS.name, cwd=ALERTS.parent)
