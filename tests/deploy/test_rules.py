"""Alerts and recording rules: each seen firing and silent, and each explained."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.expressions import PROMETHEUS, ROOT, alerts, metric_names, recorded, rules

TESTS = sorted((PROMETHEUS / "tests").glob("*.test.yml"))


def promtool(*arguments: str) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed; on Debian: apt-get install prometheus")
    done = subprocess.run(
        [program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def cases() -> list[dict[str, Any]]:
    return [case for path in TESTS for case in yaml.safe_load(path.read_text())["tests"]]


def test_promtool_takes_the_rules_and_the_configuration() -> None:
    promtool("check", "rules", *map(str, sorted((PROMETHEUS / "rules").glob("*.yml"))))
    promtool("check", "config", "--syntax-only", str(PROMETHEUS / "prometheus.yml"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_alerts_fire_and_keep_silent_as_they_should(path: Path) -> None:
    promtool("test", "rules", str(path))


def test_every_alert_is_seen_firing_and_seen_silent() -> None:
    seen: dict[str, set[bool]] = {}
    for case in cases():
        for one in case.get("promql_expr_test", ()):
            (name,) = re.findall(r'alertname="(\w+)"', one["expr"])
            seen.setdefault(name, set()).add(bool(one["exp_samples"]))
    assert seen == {alert["alert"]: {True, False} for alert in alerts()}


def test_every_alert_says_whom_it_is_for_and_links_to_its_part_of_the_runbook() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for alert in alerts():
        assert alert["labels"]["severity"] in {"page", "ticket", "info"}
        assert alert["labels"]["audience"] in {"operator", "model_owner"}
        place, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert place == "docs/operations.md"
        assert anchor in anchors, alert["alert"]
    named = {heading for heading in headings if heading.startswith("MentalLlama")}
    assert named == {alert["alert"] for alert in alerts()}, "the runbook tells of each, and no more"


def test_every_recording_is_read_by_something() -> None:
    from tests.deploy.expressions import expressions

    read = {name for expression in expressions().values() for name in metric_names(expression)}
    assert recorded() <= read


def test_names_are_used_once() -> None:
    names = [rule.get("alert") or rule["record"] for rule in rules()]
    assert len(names) == len(set(names))
