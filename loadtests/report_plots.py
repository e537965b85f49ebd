"""What the benchmark's page draws of each measurement."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from loadtests.measured import Measured
from training.evaluate.document import Plot, Table
from training.evaluate.plots import amounts, lines

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Lines:
    """A line for each figure, over a number.

    Attributes:
        title: of the plot.
        across: what the horizontal axis shows.
        up: what the vertical one shows.
        series: name of a line to the figure it draws.
        scale: what figures are multiplied by.
        logarithmic: of the horizontal axis.
        x: the figure that is drawn across; "" for the way's own name, which is a number then.
        only: ways are drawn that begin so, or end so.
    """

    title: str
    across: str
    up: str
    series: Mapping[str, str]
    scale: float = 1.0
    logarithmic: bool = False
    x: str = ""
    only: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar for each way."""

    title: str
    across: str
    figure: str
    scale: float = 1.0


_RATE = "requests_per_second"
_FIRSTS = MappingProxyType(
    {
        "label, p50": "first_label.p50",
        "label, p95": "first_label.p95",
        "token, p50": "first_token.p50",
        "token, p95": "first_token.p95",
    }
)
_TOTALS = MappingProxyType({"p50": "total.p50", "p95": "total.p95", "p99": "total.p99"})

PLOTS: Mapping[str, tuple[Lines | Bars, ...]] = MappingProxyType(
    {
        "explained": (Bars("Posts explained, a second", "posts a second", _RATE),),
        "labels": (Bars("Posts with all questions, a second", "posts a second", _RATE),),
        "questions": (
            Lines("Posts a second by questions", "questions", "posts a second", {"ours": _RATE}),
        ),
        "lengths": (
            Lines(
                "Posts a second by length",
                "tokens of a post",
                "posts a second",
                {"ours": _RATE},
                logarithmic=True,
            ),
        ),
        "explanation_share": (
            Lines("Posts a second by share", "% explained", "posts a second", {"ours": _RATE}),
        ),
        "concurrency": (
            Lines(
                "Posts a second by open requests",
                "open requests",
                "posts a second",
                {"ours": _RATE},
                logarithmic=True,
            ),
            Lines(
                "First label and first token by open requests",
                "open requests",
                "ms",
                _FIRSTS,
                logarithmic=True,
            ),
            Lines(
                "Whole answer by open requests",
                "open requests",
                "ms",
                _TOTALS,
                logarithmic=True,
            ),
        ),
        "growth": (
            Lines(
                "Time a post by number of posts",
                "posts",
                "ms a post",
                {"ours": "seconds_per_post"},
                scale=1000,
                logarithmic=True,
            ),
            Lines(
                "Memory by number of posts",
                "posts",
                "MiB",
                {"server": "resident_bytes"},
                scale=2**-20,
                logarithmic=True,
            ),
        ),
        "latency": (
            Lines(
                "First label and first token by offered load",
                "requests a second",
                "ms",
                _FIRSTS,
                x="offered",
                only="%",
            ),
            Lines(
                "Whole answer by offered load",
                "requests a second",
                "ms",
                _TOTALS,
                x="offered",
                only="%",
            ),
            Lines(
                "Answered and good by offered load",
                "offered requests a second",
                "requests a second",
                {"answered": _RATE, "within the objective": "goodput"},
                x="offered",
                only="%",
            ),
        ),
        "http": (Bars("Requests a second", "requests a second", _RATE),),
        "limits": (Bars("Share of the measured limit", "%", "share", 100),),
        "stability": (Bars("All questions, labels only", "posts a second", "posts_per_second"),),
        "start": (Bars("From start to ready", "s", "start_seconds"),),
        "paper": (
            Lines(
                "Decoding on paper, 7B on one H100",
                "requests in a step",
                "tokens a second",
                {"bound from above": "tokens_per_second"},
                logarithmic=True,
                x="batch",
                only="decode",
            ),
        ),
    }
)
"""By measurement."""


def plots_of(one: Measured, table: Table) -> tuple[Plot, ...]:
    """The plots of a measurement; those that nothing was measured for are left out."""
    found = []
    for plot in PLOTS.get(one.name, ()):
        draw = _bars(plot, one) if isinstance(plot, Bars) else _lines(plot, one)
        if draw is not None:
            found.append(Plot(plot.title, draw, table))
    return tuple(found)


def median(rounds: Rows, figure: str) -> float | None:
    """Median over the rounds of a figure; `a.b` is b of a. None where no round has it."""
    outer, _, inner = figure.partition(".")
    found = [(row.get(outer) or {}).get(inner) if inner else row.get(outer) for row in rounds]
    known = [float(value) for value in found if value is not None]
    return statistics.median(known) if known else None


def _bars(plot: Bars, one: Measured) -> partial[str] | None:
    values = {
        way: value * plot.scale
        for way, rounds in one.rows.items()
        if (value := median(rounds, plot.figure)) is not None
    }
    return partial(amounts, plot.title, values, across=plot.across) if values else None


def _lines(plot: Lines, one: Measured) -> partial[str] | None:
    ways = {
        way: rounds
        for way, rounds in one.rows.items()
        if way.startswith(plot.only) or way.endswith(plot.only)
    }
    series = {}
    for name, figure in plot.series.items():
        points = [
            (float(way) if not plot.x else (median(rounds, plot.x) or 0.0), value * plot.scale)
            for way, rounds in ways.items()
            if (value := median(rounds, figure)) is not None
        ]
        if points:
            series[name] = points
    if not series:
        return None
    return partial(
        lines,
        plot.title,
        series,
        across=plot.across,
        up=plot.up,
        logarithmic=plot.logarithmic,
    )
