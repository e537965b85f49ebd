"""Prometheus' rules, asked with promtool: what an alert fires on, and what it keeps silent on."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.expressions import PROMETHEUS, ROOT, alerts

TESTS = sorted((PROMETHEUS / "tests").glob("*.test.yml"))


def promtool(*arguments: str) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed; on Debian: apt-get install prometheus")
    done = subprocess.run(
        [program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_rules_and_the_configuration() -> None:
    promtool("check", "rules", *map(str, sorted((PROMETHEUS / "rules").glob("*.yml"))))
    promtool("check", "config", "--syntax-only", str(PROMETHEUS / "prometheus.yml"))


@pytest.mark.slow
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_alerts_fire_and_keep_silent_as_they_should(path: Path) -> None:
    promtool("test", "rules", str(path))


def test_every_alert_is_seen_firing_and_seen_silent() -> None:
    seen: dict[str, set[bool]] = {}
    for path in TESTS:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for one in case.get("promql_expr_test", ()):
                (name,) = re.findall(r'alertname="(\w+)"', one["expr"])
                seen.setdefault(name, set()).add(bool(one["exp_samples"]))
    assert seen == {alert["alert"]: {True, False} for alert in alerts()}


def test_every_alert_says_whom_it_is_for_and_links_to_its_part_of_the_runbook() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    headings = re.findall(r"^#+ (MentalLlama.+)$", page, re.MULTILINE)
    assert sorted(headings) == sorted(alert["alert"] for alert in alerts())
    for alert in alerts():
        assert alert["labels"]["severity"] in {"page", "ticket", "info"}
        assert alert["labels"]["audience"] in {"operator", "model_owner"}
        runbook = f"docs/operations.md#{alert['alert'].lower()}"
        assert alert["annotations"]["runbook_url"] == runbook
