"""Every PromQL expression that the project deploys, and what each is made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))

_COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")
_SETS = ("and", "unless")


def rules() -> list[dict[str, Any]]:
    """Every rule, of recordings and of alerts."""
    groups = [
        group
        for path in sorted((PROMETHEUS / "rules").glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def recorded() -> set[str]:
    """Names that recording rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}


def expressions() -> dict[str, str]:
    """Where an expression stands to the expression, variables of Grafana's filled in."""
    found = {f"rule {rule.get('alert') or rule['record']}": rule["expr"] for rule in rules()}
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        variables = [one["name"] for one in board["templating"]["list"]]
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                query = target["expr"]
                for variable in variables:
                    query = query.replace(f"${variable}", ".+")
                found[f"{path.stem}: {panel['title']} ({target['legendFormat']})"] = query
    return found


def nodes(expression: Any) -> Iterator[Any]:
    """A node and all below it."""
    yield expression
    parts = [
        getattr(expression, name, None)
        for name in ("lhs", "rhs", "expr", "vector_selector", "param")
    ]
    for part in [*parts, *getattr(expression, "args", ())]:
        if part is not None:
            yield from nodes(part)


def metric_names(expression: str) -> set[str]:
    """Names of the metrics that an expression reads."""
    parsed = promql_parser.parse(expression)
    return {
        node.name
        for node in nodes(parsed)
        if isinstance(node, promql_parser.VectorSelector) and node.name
    }


def quantities(expression: str) -> list[str]:
    """The parts of an expression that are there whether or not an alert fires.

    A comparison gives nothing while all is well: what is compared must be there, on either side of
    an `and` or `unless`.
    """
    parsed = promql_parser.parse(expression)
    return list(_quantities(parsed))


def _quantities(node: Any) -> Iterator[str]:
    while isinstance(node, promql_parser.ParenExpr):
        node = node.expr
    if isinstance(node, promql_parser.BinaryExpr) and str(node.op) in (*_COMPARISONS, *_SETS):
        yield from _quantities(node.lhs)
        if str(node.op) in _SETS:
            yield from _quantities(node.rhs)
    elif not isinstance(node, promql_parser.NumberLiteral):
        yield node.prettify()
