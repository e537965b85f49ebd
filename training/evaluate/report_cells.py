"""How a report names the ways of answering and shows their figures in cells and tables."""

from __future__ import annotations

from collections.abc import Sequence

from training.evaluate.document import NOT_MEASURED, Table, cell, number
from training.evaluate.metrics import METRICS
from training.evaluate.results import (
    BASELINE_PREFIX,
    FREE_FORM,
    READ,
    READ_UNCALIBRATED,
    Results,
    Scores,
    SetResults,
)


def way_title(way: str, results: Results) -> str:
    """What reports call a way of answering."""
    if way.startswith(BASELINE_PREFIX):
        return f"Baseline: {way.removeprefix(BASELINE_PREFIX).replace('_', ' ')}"
    calibrated = ", calibrated" if results.model.calibrated_questions else ""
    titles = {
        READ: f"Label reads{calibrated}",
        READ_UNCALIBRATED: "Label reads, uncalibrated",
        FREE_FORM: "Free form",
    }
    return titles.get(way, way)


def ways_shown(results: Results) -> list[str]:
    """The ways of a run in the order of the reports; uncalibrated reads only where they differ."""
    ways = dict.fromkeys(way for one in results.sets for way in one.ways)
    if not results.model.calibrated_questions:
        ways.pop(READ_UNCALIBRATED, None)
    known = [way for way in (READ, READ_UNCALIBRATED, FREE_FORM) if way in ways]
    return [*known, *(way for way in ways if way not in known)]


def by_set(results: Results, way: str, metrics: Sequence[str]) -> Table:
    """A row a set and one for the mean, for one way of answering."""
    sets = [one for one in results.sets if way in one.ways]
    measured = [
        metric for metric in metrics if any(metric in one.ways[way].all.figures for one in sets)
    ]
    return Table(
        way_title(way, results),
        ("Set", *(heading(metric) for metric in measured)),
        (
            *((one.set, *(of_way(one, way, metric) for metric in measured)) for one in sets),
            ("Mean", *(mean_of(results, way, metric) for metric in measured)),
        ),
    )


def scores_table(
    title: str, first: str, rows: Sequence[tuple[str, Scores]], metrics: Sequence[str]
) -> Table:
    """A row for each named scores; metrics that none of them has are left out."""
    measured = [metric for metric in metrics if any(metric in one.figures for _, one in rows)]
    return Table(
        title,
        (first, "Rows", *(heading(metric) for metric in measured)),
        tuple(
            (name, f"{one.rows:,}", *(figure_of(one, metric) for metric in measured))
            for name, one in rows
        ),
    )


def heading(metric: str) -> str:
    """A metric as the head of a column."""
    return f"{METRICS[metric].title}{' (%)' if METRICS[metric].percent else ''}"


def of_way(one: SetResults, way: str, metric: str) -> str:
    """The cell of a set's figure."""
    return figure_of(one.ways[way].all if way in one.ways else None, metric)


def figure_of(scores: Scores | None, metric: str) -> str:
    """The cell of one of the scores."""
    return cell(scores.figures.get(metric) if scores else None, metric)


def value_of(one: SetResults, way: str, metric: str) -> str:
    """The same as `of_way` without the interval."""
    figure = one.ways[way].all.figures.get(metric) if way in one.ways else None
    return NOT_MEASURED if figure is None or figure.value is None else number(figure.value, metric)


def mean_of(results: Results, way: str, metric: str) -> str:
    """The cell of the mean over sets."""
    mean = results.mean.get(way)
    return cell(mean.figures.get(metric) if mean else None, metric)
