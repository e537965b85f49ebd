"""The benchmark's results as JSON and as one HTML page with plots; no post and no completion."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from loadtests.goals import GOALS, Outcome
from loadtests.measures import Measured
from training.evaluate.document import NOT_MEASURED, Document, Plot, Section, Table
from training.evaluate.plots import lines

NOTICE = (
    "Speed of software that reads labels in texts, on one machine. Nothing here is about a person; "
    "the texts were written for this measurement."
)

_ABOUT: Mapping[str, tuple[str, str]] = {
    "explained": (
        "Label and explanation, one question a post",
        "ours: /analyze. chat: a plain vLLM server's chat completions, the label parsed from the "
        "text. transformers: generate in left-padded batches of 8.",
    ),
    "labels": (
        "All questions on a post, labels only",
        "ours: /analyze, the post computed once. chat: a completion for each question, up to its "
        "answer sentence. reads: one token for each question, with its log-probabilities. The "
        "limit: operations that the work needs over the measured bf16 ceiling, when a post is "
        "computed once (shared) and when it is computed for each question (single).",
    ),
    "questions": ("Questions on a post of 300 tokens", "How cost grows with them."),
    "lengths": ("Length of a post in tokens", "All questions on each."),
    "explanation_share": ("Percent of the posts that are explained", "One question a post."),
    "concurrency": ("Requests open at once", "Label and explanation, as a stream."),
    "growth": ("Number of posts", "Labels, one question a post; memory of the server."),
    "latency": (
        "Latency under load",
        "One at a time; as many as fit (saturated); Poisson arrivals at shares of that rate. "
        "Times from when a request was due. Goodput: answers a second within twice the unloaded "
        "95th percentiles of first label and whole answer.",
    ),
    "http": (
        "What HTTP costs",
        "http: /analyze. in_process: the same reads by an Analyzer in the benchmark's process. "
        "chat_ours, chat_plain: chat completions by our server and by plain vLLM.",
    ),
    "overhead": ("Our own overhead", "/analyze on an engine that answers at once."),
    "limits": (
        "The machine's limit",
        "Prefill of long posts against the measured bf16 matrix ceiling; decoding of one stream "
        "against the measured reading bandwidth.",
    ),
}

_X_AXES: Mapping[str, tuple[str, str, str, bool]] = {
    "questions": ("questions", "requests_per_second", "posts a second", False),
    "lengths": ("tokens", "requests_per_second", "posts a second", True),
    "explanation_share": ("% explained", "requests_per_second", "posts a second", False),
    "concurrency": ("open requests", "requests_per_second", "posts a second", True),
    "growth": ("posts", "requests_per_second", "posts a second", True),
}


def to_json(
    measured: Sequence[Measured], outcomes: Sequence[Outcome], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that was measured, and every goal."""
    return {
        "schema_version": 1,
        **facts,
        "goals": [outcome.to_json() for outcome in outcomes],
        "measurements": {one.name: one.rows for one in measured},
    }


def document(
    measured: Sequence[Measured], outcomes: Sequence[Outcome], facts: Mapping[str, Any]
) -> Document:
    """The page."""
    said = "; ".join(f"{name}: {value}" for name, value in facts.items() if value)
    met = sum(outcome.met for outcome in outcomes)
    return Document(
        title="Benchmark of the service",
        notice=NOTICE,
        sections=(
            Section(
                "goals",
                "Goals",
                (f"{met} of {len(GOALS)} are met.", said),
                (goal_table(outcomes),),
            ),
            *(_section(one) for one in measured),
        ),
    )


def goal_table(outcomes: Sequence[Outcome]) -> Table:
    """Every goal with its target and what became of it."""
    rows = tuple(
        (
            outcome.goal.id,
            outcome.goal.what,
            f"{'at least' if outcome.goal.at_least else 'at most'} {outcome.goal.target:g} "
            f"{outcome.goal.unit}",
            NOT_MEASURED if outcome.value is None else f"{outcome.value:.3g}",
            "met" if outcome.met else "not met",
            outcome.note,
        )
        for outcome in outcomes
    )
    return Table("Goals", ("Goal", "What", "Target", "Measured", "", "How"), rows)


def _section(one: Measured) -> Section:
    title, about = _ABOUT.get(one.name, (one.name, ""))
    plots = [plot] if (plot := _plot(one)) else []
    return Section(one.name, title, (about,), (_table(one),), tuple(plots))


def _table(one: Measured) -> Table:
    """A row a way: the median over its rounds."""
    rows = tuple((way, *(_cell(rounds, name) for name in _COLUMNS)) for way, rounds in _ways(one))
    kept = [
        place
        for place in range(len(_COLUMNS))
        if any(row[place + 1] != NOT_MEASURED for row in rows)
    ]
    header = ("", *(list(_COLUMNS.values())[place] for place in kept))
    return Table(
        f"{one.name}: median of the rounds",
        header,
        tuple((row[0], *(row[place + 1] for place in kept)) for row in rows),
    )


_COLUMNS: Mapping[str, str] = {
    "requests": "Requests",
    "errors": "Errors",
    "requests_per_second": "Requests/s",
    "tokens_per_second": "Tokens/s",
    "offered": "Offered/s",
    "goodput": "Goodput/s",
    "first_label.p50": "First label, ms, median",
    "first_label.p95": "95%",
    "first_token.p50": "First token, ms, median",
    "total.p50": "Answer, ms, median",
    "total.p95": "95%",
    "total.p99": "99%",
    "limit_shared": "Of the limit, shared, %",
    "limit_single": "Of the limit, single, %",
    "resident_bytes": "Memory, MiB",
    "seconds_per_token": "ms a token",
    "bf16": "bf16, GFLOP/s",
    "reading": "Reading, GB/s",
    "memory": "Copying, GB/s",
}
_SCALES: Mapping[str, float] = {
    "limit_shared": 100,
    "limit_single": 100,
    "resident_bytes": 2**-20,
    "seconds_per_token": 1000,
    "bf16": 1e-9,
    "reading": 1e-9,
    "memory": 1e-9,
}


def _ways(one: Measured) -> list[tuple[str, list[dict[str, Any]]]]:
    return list(one.rows.items())


def _cell(rounds: Sequence[Mapping[str, Any]], name: str) -> str:
    value = _median(rounds, name)
    if value is None:
        return NOT_MEASURED
    value *= _SCALES.get(name, 1)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _median(rounds: Sequence[Mapping[str, Any]], name: str) -> float | None:
    outer, _, inner = name.partition(".")
    found = [(row.get(outer) or {}).get(inner) if inner else row.get(outer) for row in rounds]
    known = [float(value) for value in found if value is not None]
    return statistics.median(known) if known else None


def _plot(one: Measured) -> Plot | None:
    if one.name == "latency":
        return _latency_plot(one)
    if one.name not in _X_AXES:
        return None
    across, figure, up, logarithmic = _X_AXES[one.name]
    points = [(float(way), _median(rounds, figure) or 0.0) for way, rounds in _ways(one)]
    title = f"{up} by {across}"
    draw = partial(lines, title, {"ours": points}, across=across, up=up, logarithmic=logarithmic)
    return Plot(title, draw, _table(one))


def _latency_plot(one: Measured) -> Plot:
    loaded = [rounds[0] for way, rounds in _ways(one) if way.endswith("%")]
    series = {
        f"{name}, {share}": [
            (row["offered"], row[field][share]) for row in loaded if row.get(field)
        ]
        for name, field in (("first label", "first_label"), ("answer", "total"))
        for share in ("p50", "p95")
    }
    title = "Latency by offered load"
    draw = partial(lines, title, series, across="requests a second", up="ms")
    return Plot(title, draw, _table(one))
