"""The report's plots, as SVG elements for an HTML page.

matplotlib draws with stand-in colours, which become the page's CSS variables, so that one drawing
serves a light page and a dark one. Text stays text. Nothing in an element refers outside it.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from training.evaluate.results import Confusion, CoveragePoint, Figure, ReliabilityBin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

# Stand-in colour to what the page's style sheet calls it.
_INK, _MUTED = "#010101", "#020202"
_SERIES = ("#030303", "#040404", "#050505", "#060606", "#070707")
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    **{colour: f"var(--series-{place})" for place, colour in enumerate(_SERIES, 1)},
}
_MARKERS = ("o", "s", "^", "D", "v")
_DASHES = ("-", "--", ":", "-.", "-")
_HATCHES = ("", "///", "...", "xxx", "\\\\\\")


def bars(title: str, figures: Mapping[str, Mapping[str, Figure]]) -> str:
    """Draw horizontal bars with intervals.

    Args:
        title: read out in place of the drawing.
        figures: name of a bar (a way of answering) to group (a set) to its figure, a fraction.
    """
    groups = list(dict.fromkeys(group for one in figures.values() for group in one))
    height = 0.8 / max(len(figures), 1)
    drawing = _drawing(7.2, 1.2 + len(groups) * (0.2 + 0.18 * len(figures)))
    axes = drawing.subplots()
    for place, (name, by_group) in enumerate(figures.items()):
        known = [(groups.index(group), one) for group, one in by_group.items()]
        measured = [(y, one.value, one.interval) for y, one in known if one.value is not None]
        axes.barh(
            [y + (place + 0.5) * height - 0.4 for y, _, _ in measured],
            [100 * value for _, value, _ in measured],
            height=height * 0.9,
            color=_SERIES[place % len(_SERIES)],
            alpha=0.75,
            hatch=_HATCHES[place % len(_HATCHES)],
            edgecolor=_INK,
            linewidth=0.4,
            label=name,
        )
        for y, _, interval in measured:
            if interval:
                ends = [100 * bound for bound in interval]
                middle = y + (place + 0.5) * height - 0.4
                axes.plot(ends, [middle, middle], color=_INK, linewidth=1.1)
    axes.set_yticks(range(len(groups)), groups)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("%")
    axes.grid(axis="x", color=_MUTED, linewidth=0.3)
    axes.set_axisbelow(True)
    _legend(drawing, axes)
    return _svg(drawing, title)


def amounts(title: str, values: Mapping[str, float], *, across: str) -> str:
    """Draw a horizontal bar for each amount, with its number.

    Args:
        title: read out in place of the drawing.
        values: name of a bar to its amount.
        across: what the axis shows, with its unit; it begins at 0.
    """
    drawing = _drawing(5.6, 0.9 + 0.32 * len(values))
    axes = drawing.subplots()
    names = list(values)
    axes.barh(range(len(names)), list(values.values()), color=_SERIES[0], alpha=0.75)
    for place, value in enumerate(values.values()):
        axes.text(value, place, f" {value:.3g}", va="center", color=_INK, fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * max(values.values(), default=1.0))
    axes.set_xlabel(across)
    axes.grid(axis="x", color=_MUTED, linewidth=0.3)
    axes.set_axisbelow(True)
    return _svg(drawing, title)


def reliability(title: str, series: Mapping[str, Sequence[ReliabilityBin]]) -> str:
    """Draw accuracy against the top label's probability, above how many rows lie where.

    Args:
        title: read out in place of the drawing.
        series: name, such as "calibrated", to its bins.
    """
    drawing = _drawing(4.2, 4.6)
    upper, lower = drawing.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color=_MUTED, linewidth=0.8, linestyle="--")
    for place, (name, bins) in enumerate(series.items()):
        colour = _SERIES[place % len(_SERIES)]
        points = [
            (one.confidence, one.accuracy)
            for one in bins
            if one.confidence is not None and one.accuracy is not None
        ]
        upper.plot(
            [x for x, _ in points],
            [y for _, y in points],
            color=colour,
            marker=_MARKERS[place % len(_MARKERS)],
            linestyle=_DASHES[place % len(_DASHES)],
            markersize=4,
            linewidth=1.2,
            label=name,
        )
        lower.stairs(
            [one.rows for one in bins],
            [bins[0].low, *(one.high for one in bins)] if bins else None,
            color=colour,
            linewidth=1.2,
        )
    upper.set_ylim(0, 1.03)  # a marker at 1 stays whole
    lower.set_xlim(0, 1)
    upper.set_ylabel("accuracy")
    lower.set_ylabel("rows")
    lower.set_xlabel("probability of the top label")
    _legend(drawing, upper)
    return _svg(drawing, title)


def coverage(title: str, series: Mapping[str, Sequence[CoveragePoint]]) -> str:
    """Draw accuracy against the share of rows that are answered."""
    drawing = _drawing(4.2, 3.6)
    axes = drawing.subplots()
    for place, (name, points) in enumerate(series.items()):
        axes.plot(
            [100 * one.coverage for one in points],
            [100 * one.accuracy for one in points],
            color=_SERIES[place % len(_SERIES)],
            marker=_MARKERS[place % len(_MARKERS)],
            linestyle=_DASHES[place % len(_DASHES)],
            markersize=3.5,
            linewidth=1.2,
            label=name,
        )
    axes.set_xlim(0, 102)
    axes.set_xlabel("rows answered, %")
    axes.set_ylabel("accuracy of those, %")
    axes.grid(color=_MUTED, linewidth=0.3)
    _legend(drawing, axes)
    return _svg(drawing, title)


def confusion(title: str, matrix: Confusion, names: Sequence[str]) -> str:
    """Draw a confusion matrix: rows are references, shades are shares of a row.

    Args:
        title: read out in place of the drawing.
        matrix: the counts.
        names: what the columns are called: each label, and last what rows without one are.
    """
    from matplotlib.patches import Rectangle

    size = len(matrix.labels)
    without = any(row[-1] for row in matrix.counts)
    columns = size + 1 if without else size
    drawing = _drawing(1.8 + 0.55 * columns, 1.4 + 0.42 * size)
    axes = drawing.subplots()
    for y, row in enumerate(matrix.counts):
        total = sum(row)
        for x, count in enumerate(row[:columns]):
            share = count / total if total else 0
            axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, color=_SERIES[0], alpha=0.6 * share))
            axes.text(x, y, str(count), ha="center", va="center", color=_INK, fontsize=8)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_xticks(range(columns), names[:columns], rotation=40, ha="right")
    axes.set_yticks(range(size), names[:size])
    axes.set_xlabel("given")
    axes.set_ylabel("reference")
    return _svg(drawing, title)


def lines(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    across: str,
    up: str,
    logarithmic: bool = False,
) -> str:
    """Draw a line for each series.

    Args:
        title: read out in place of the drawing.
        series: name to points, from left to right.
        across: what the horizontal axis shows, with its unit.
        up: the vertical one, which begins at 0.
        logarithmic: of the horizontal axis.
    """
    drawing = _drawing(4.6, 3.4)
    axes = drawing.subplots()
    for place, (name, points) in enumerate(series.items()):
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            _DASHES[place % len(_DASHES)],
            color=_SERIES[place % len(_SERIES)],
            marker=_MARKERS[place % len(_MARKERS)],
            markersize=4,
            label=name,
        )
    if logarithmic:
        axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(color=_MUTED, linewidth=0.3)
    _legend(drawing, axes)
    return _svg(drawing, title)


def _drawing(width: float, height: float) -> Drawing:
    from matplotlib.figure import Figure as Drawing

    return Drawing(figsize=(width, height), layout="constrained")


def _legend(drawing: Drawing, axes: Axes) -> None:
    # Above the axes, where it covers no data.
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        drawing.legend(
            handles,
            labels,
            loc="outside upper left",
            ncols=min(len(labels), 3),
            frameon=False,
            labelcolor=_INK,
            fontsize=8,
        )


def _svg(drawing: Drawing, title: str) -> str:
    """The drawing as an element with a title, in the page's colours."""
    import matplotlib as mpl

    for axes in drawing.axes:
        axes.set_facecolor("none")
        axes.tick_params(colors=_INK, labelsize=8)
        axes.xaxis.label.set_color(_INK)
        axes.yaxis.label.set_color(_INK)
        for edge in axes.spines.values():
            edge.set_color(_MUTED)
    buffer = io.StringIO()
    # Names inside the file come from the salt: without one they change with every run.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        drawing.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    element = text[text.index("<svg") :]
    # The style would hold for the whole page, and the metadata say nothing.
    element = re.sub(r"<(metadata|style)\b.*?</\1>", "", element, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        element = element.replace(colour, variable)
    # Ids are unique within a drawing; a page holds many.
    prefix = f"p{hashlib.sha256(title.encode()).hexdigest()[:10]}-"
    element = re.sub(r'\bid="', f'id="{prefix}', element)
    element = re.sub(r'(href="|url\()#', rf"\1#{prefix}", element)
    label = escape(title, quote=True)
    return element.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
