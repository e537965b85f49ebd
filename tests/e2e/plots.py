"""The dashboards without Grafana: each panel's expressions, plotted from Prometheus."""

from __future__ import annotations

import math
import re
from pathlib import Path

import matplotlib
from matplotlib import pyplot

from scripts.dashboard_panels import Dashboard
from tests.e2e.prometheus import Prometheus

COLUMNS = 3


def plot(
    board: Dashboard, prometheus: Prometheus, start: float, end: float, path: Path
) -> list[str]:
    """Plot a dashboard into a PNG file; returns the titles of panels without a line."""
    matplotlib.use("Agg")
    panels = list(board.panels)
    rows = -(-len(panels) // COLUMNS)
    figure, axes = pyplot.subplots(
        rows, COLUMNS, figsize=(18, 3.2 * rows), squeeze=False, layout="constrained"
    )
    figure.suptitle(board.title)
    empty = []
    for panel, axis in zip(panels, axes.flat, strict=False):
        for legend, query in panel.queries.items():
            for variable in board.variables:
                query = query.replace(f"${variable}", ".+")
            for series in prometheus.series(query, start, end):
                name = re.sub(r"{{(\w+)}}", lambda m: series["metric"].get(m[1], "?"), legend)  # noqa: B023
                values = [float(value) for _, value in series["values"]]
                if not all(map(math.isnan, values)):
                    times = [float(at) - start for at, _ in series["values"]]
                    axis.plot(times, values, label=name)
        if not axis.lines:
            empty.append(panel.title)
        if panel.limit is not None:
            axis.axhline(panel.limit, color="red", linewidth=0.8, linestyle=":")
        axis.set_title(f"{panel.title} [{panel.unit}]", fontsize=9)
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=7)
        if 0 < len(axis.get_legend_handles_labels()[0]) <= 9:
            axis.legend(fontsize=6, loc="upper left")
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    figure.savefig(path, dpi=70)
    pyplot.close(figure)
    return empty
