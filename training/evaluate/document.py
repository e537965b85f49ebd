"""A report as sections of paragraphs, tables and plots, before it takes a form.

`training.evaluate.report_content` and `training.evaluate.comparison_content` build a `Document`;
`report_markdown`, `report_html` and `report_terminal` give it theirs. All words in it are this
project's, labels' names, or what a run says of itself: no post, no explanation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from training.evaluate.metrics import METRICS
from training.evaluate.results import Figure

NOT_MEASURED = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first column names its rows.

    Attributes:
        title: what it shows.
        header: one cell a column.
        rows: cells as they are shown.
        note: what a reader must know to read it, or "".
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot with the table of its numbers.

    Attributes:
        title: what it shows, in a line.
        draw: makes the SVG element; called by the form that shows plots.
        table: the same for those who do not see it, and for copying.
    """

    title: str
    draw: Callable[[], str]
    table: Table


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it.

    Attributes:
        id: anchor, unique in the document.
        title: the heading.
        paragraphs: plain text.
        tables: shown in every form.
        plots: shown where plots can be; the other forms point to those that do.
    """

    id: str
    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report.

    Attributes:
        title: its heading.
        notice: the non-clinical notice, shown first.
        sections: in order.
    """

    title: str
    notice: str
    sections: tuple[Section, ...] = field(default=())


def number(value: float, metric: str, *, signed: bool = False) -> str:
    """A figure as reports show it: most times 100 with one decimal, scores with three."""
    percent = metric not in METRICS or METRICS[metric].percent
    sign = "+" if signed else ""
    shown = f"{value * 100:{sign}.1f}" if percent else f"{value:{sign}.3f}"
    return shown.replace("-", "\N{MINUS SIGN}")


def span(interval: tuple[float, float], metric: str, *, signed: bool = False) -> str:
    """An interval as reports show it: `[80.0, 84.2]`."""
    low, high = (number(bound, metric, signed=signed) for bound in interval)
    return f"[{low}, {high}]"


def cell(figure: Figure | None, metric: str) -> str:
    """A figure with its interval, or a dash where it was not measured."""
    if figure is None or figure.value is None:
        return NOT_MEASURED
    shown = number(figure.value, metric)
    return f"{shown} {span(figure.interval, metric)}" if figure.interval else shown
