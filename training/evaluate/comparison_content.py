"""What a comparison says: from `Comparison` to a `Document`."""

from __future__ import annotations

from training.evaluate.compare import Comparison, Difference, SetComparison, Side
from training.evaluate.document import NOT_MEASURED, Document, Section, Table, number, span
from training.evaluate.metrics import METRICS
from training.evaluate.report_content import NOTICE

SHOWN = "weighted_f1"
"""The metric of the first table, which is also the terminal's."""


def comparison_document(comparison: Comparison) -> Document:
    """Return the report of a comparison."""
    rows = sum(one.rows for one in comparison.sets)
    settings = comparison.bootstrap
    text = (
        f"A: {_side(comparison.a)}. B: {_side(comparison.b)}. Measured on the {comparison.split} "
        f"split of {comparison.data.name}, {rows:,} rows that both answered."
    )
    method = (
        f"In brackets: the {settings.level:.0%} percentile interval of the difference over "
        f"{settings.resamples:,} resamples of posts, the same for both. The p-values are not "
        "corrected for the number of sets and metrics."
    )
    others = [metric for metric in METRICS if metric != SHOWN and metric in comparison.mean]
    return Document(
        title=f"{comparison.b.model.name} against {comparison.a.model.name}",
        notice=NOTICE,
        sections=(
            Section("difference", "Difference", (text, method), (difference_table(comparison),)),
            Section(
                "metrics",
                "Other metrics",
                tables=tuple(difference_table(comparison, metric) for metric in others),
            ),
            Section("flips", "Right and wrong", tables=(flips_table(comparison),)),
        ),
    )


def difference_table(comparison: Comparison, metric: str = SHOWN) -> Table:
    """One metric of both runs, a row a set and one for the mean."""
    rows = [
        _row(one.set, f"{one.rows:,}", one.metrics.get(metric), metric) for one in comparison.sets
    ]
    mean = _row("Mean", "", comparison.mean.get(metric), metric)
    shown = METRICS[metric]
    better = "Higher" if shown.higher_is_better else "Lower"
    return Table(
        f"{shown.title}{' (%)' if shown.percent else ''}",
        ("Set", "Rows", "A", "B", "B - A", "Interval", "p"),
        (*rows, mean),
        f"{better} is better.",
    )


def flips_table(comparison: Comparison) -> Table:
    """How often which run is right, a row a set."""
    return Table(
        "Rows by who is right",
        ("Set", "Both", "A alone", "B alone", "Neither", "p (McNemar)", "Same label (%)"),
        tuple(_flips(one) for one in comparison.sets),
        "The exact McNemar test takes rows for independent; several questions on one post are not.",
    )


def _side(side: Side) -> str:
    return f"{side.model.name} (run {side.run}, {side.way.replace('_', ' ')})"


def _row(
    name: str, rows: str, one: Difference | None, metric: str
) -> tuple[str, str, str, str, str, str, str]:
    if one is None:
        return (name, rows, *(NOT_MEASURED,) * 5)
    return (
        name,
        rows,
        number(one.a, metric),
        number(one.b, metric),
        number(one.difference, metric, signed=True),
        span(one.interval, metric, signed=True) if one.interval else NOT_MEASURED,
        NOT_MEASURED if one.p_value is None else _p(one.p_value),
    )


def _flips(one: SetComparison) -> tuple[str, ...]:
    flips = one.flips
    counts = (flips.both, flips.only_a, flips.only_b, flips.neither)
    return (
        one.set,
        *(f"{count:,}" for count in counts),
        _p(flips.p_value),
        number(one.same_label, "accuracy"),
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
