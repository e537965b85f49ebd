"""Writes Grafana's dashboards, one for each audience, into `deploy/grafana/dashboards/`.

What they show stands in `scripts.dashboard_panels`. Tests read the expressions from there and ask a
real Prometheus.

    .venv/bin/python -m scripts.dashboards [--check]

Exit codes: 0 done, or up to date; 1 with `--check`: a file differs from what this would write.
"""

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from scripts.dashboard_panels import DASHBOARDS, Dashboard, Panel
from service import generated

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "deploy" / "grafana" / "dashboards"

_COLUMNS = 24
_HEIGHT = 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def to_grafana(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana's JSON model (schema version 39, Grafana 10.4 and later)."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in dashboard.rows.items():
        place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        panels.append({"type": "row", "title": title, "gridPos": place, "panels": []})
        x, y = 0, y + 1
        for panel in row:
            if x + panel.width > _COLUMNS:
                x, y = 0, y + _HEIGHT
            panels.append(_panel(panel, x, y))
            x += panel.width
        y += _HEIGHT
    numbered = [{"id": number, **panel} for number, panel in enumerate(panels, 1)]
    source = {"name": "datasource", "label": "Data source", "type": "datasource"}
    variables: list[dict[str, Any]] = [{**source, "query": "prometheus"}]
    variables += [_variable(name, metric) for name, metric in dashboard.variables.items()]
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": ["mentalllama"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": variables},
        "panels": numbered,
    }


def _variable(name: str, metric: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _SOURCE,
        "query": f"label_values({metric}, {name})",
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(panel: Panel, x: int, y: int) -> dict[str, Any]:
    heat = panel.kind == "heatmap"
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": _SOURCE,
            "expr": query,
            "legendFormat": legend,
            "format": "heatmap" if heat else "time_series",
            "instant": panel.kind == "stat",
        }
        for number, (legend, query) in enumerate(panel.queries.items())
    ]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.limit is not None:
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
        steps = [{"color": "transparent", "value": None}, {"color": "red", "value": panel.limit}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.reading,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": _HEIGHT},
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"calculate": False} if heat else {},
    }


def text_of(dashboard: Dashboard) -> str:
    """The content of the dashboard's file."""
    return json.dumps(to_grafana(dashboard), indent=2) + "\n"


def path_of(dashboard: Dashboard) -> Path:
    """Where its file lies."""
    return FOLDER / f"{dashboard.uid.removeprefix('mentalllama-')}.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or compare them; returns the exit code."""
    codes = [
        generated.run(
            partial(text_of, dashboard),
            path_of(dashboard),
            what="a dashboard of Grafana's",
            remedy="python -m scripts.dashboards",
            arguments=arguments,
        )
        for dashboard in DASHBOARDS
    ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
