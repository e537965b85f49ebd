"""Grafana's dashboards: up to date, laid out, and about metrics that exist."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY

from scripts import dashboards
from scripts.dashboard_panels import DASHBOARDS, Dashboard
from service.gate import refusals
from tests.deploy.expressions import ROOT, expressions, metric_names, recorded

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


@pytest.mark.parametrize("where", expressions())
def test_expressions_parse_and_read_metrics_that_exist(where: str) -> None:
    names = metric_names(expressions()[where])
    assert names
    assert names <= ours() | vllms() | recorded() | PROMETHEUS_OWN


def test_codes_in_expressions_are_codes_of_the_service() -> None:
    known = {error.code for error in refusals.ERRORS}
    for where, expression in expressions().items():
        for codes in re.findall(r'code[!=]~"([^"]+)"', expression):
            assert set(codes.split("|")) <= known, where


def test_files_are_what_the_panels_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert dashboards.main(["--check"]) == 0, capsys.readouterr().out
    files = {path.name for path in (GRAFANA / "dashboards").iterdir()}
    assert files == {dashboards.path_of(board).name for board in DASHBOARDS}


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_panels_fill_the_grid_without_overlap(board: Dashboard) -> None:
    taken: set[tuple[int, int]] = set()
    model = dashboards.to_grafana(board)
    for panel in model["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in model["panels"]]
    assert ids == list(range(1, len(ids) + 1))


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_legends_name_labels_that_the_query_keeps(board: Dashboard) -> None:
    for panel in board.panels:
        for legend, query in panel.queries.items():
            kept = _kept_labels(promql_parser.parse(query))
            for label in re.findall(r"{{(\w+)}}", legend):
                assert kept is None or label in kept, f"{panel.title}: {legend}"


def _kept_labels(node: Any) -> set[str] | None:
    """Labels that an aggregation leaves; None for what is no aggregation."""
    if isinstance(node, promql_parser.BinaryExpr):
        return _kept_labels(node.lhs)
    if isinstance(node, promql_parser.AggregateExpr):
        return set(node.modifier.labels) if node.modifier else set()
    return None


def test_provisioning_leads_to_the_dashboards_and_to_prometheus() -> None:
    folder = GRAFANA / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["type"] == "prometheus"
    (provider,) = yaml.safe_load((folder / "dashboards" / "mentalllama.yml").read_text())[
        "providers"
    ]
    compose = (ROOT / "deploy" / "compose" / "compose.yaml").read_text()
    assert f"../grafana/dashboards:{provider['options']['path']}:ro" in compose
    for board in DASHBOARDS:
        assert json.loads(dashboards.path_of(board).read_text())["uid"] == board.uid
