"""Grafana's dashboards and Prometheus' rules read metrics that exist."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import yaml
from prometheus_client import REGISTRY

from service.gate import refusals
from tests.deploy.expressions import DASHBOARDS, ROOT, expressions, metric_names, recorded

GRAFANA = ROOT / "deploy" / "grafana"
PROMETHEUS_OWN = {"up", "ALERTS"}


def ours() -> set[str]:
    """Names of the samples of every metric of the service."""
    import service.metrics  # noqa: F401 - registers them

    names = set()
    for family in REGISTRY.collect():
        suffixes = {
            "counter": ("_total",),
            "histogram": ("_bucket", "_sum", "_count"),
        }.get(family.type, ("",))
        names |= {f"{family.name}{suffix}" for suffix in suffixes}
    return names


def vllms() -> set[str]:
    """Names of the samples of vLLM's metrics, read from its source: importing it takes seconds."""
    spec = importlib.util.find_spec("vllm")
    assert spec is not None
    assert spec.submodule_search_locations
    source = Path(next(iter(spec.submodule_search_locations))) / "v1" / "metrics" / "loggers.py"
    named = set(re.findall(r'"(vllm:\w+)"', source.read_text()))
    suffixes = ("", "_total", "_bucket", "_sum", "_count")
    return {f"{name}{suffix}" for name in named for suffix in suffixes}


def test_expressions_parse_and_read_metrics_that_exist() -> None:
    known = ours() | vllms() | recorded() | PROMETHEUS_OWN
    read = {where: metric_names(expression) for where, expression in expressions().items()}
    assert {where: names - known for where, names in read.items() if not names <= known} == {}
    assert recorded() <= set().union(*read.values()), "a recording that nothing reads"


def test_codes_in_expressions_are_codes_of_the_service() -> None:
    known = {error.code for error in refusals.ERRORS}
    for where, expression in expressions().items():
        for codes in re.findall(r'code[!=]~"([^"]+)"', expression):
            assert set(codes.split("|")) <= known, where


def test_provisioning_leads_to_the_dashboards() -> None:
    file = GRAFANA / "provisioning" / "dashboards" / "mentalllama.yml"
    (provider,) = yaml.safe_load(file.read_text())["providers"]
    compose = (ROOT / "deploy" / "compose" / "compose.yaml").read_text()
    assert f"../grafana/dashboards:{provider['options']['path']}:ro" in compose
    uids = [json.loads(path.read_text())["uid"] for path in DASHBOARDS]
    assert len(uids) == len(set(uids)) == 2
