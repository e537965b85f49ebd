"""The benchmark's results as JSON and as one HTML page with plots; no post and no completion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.goals import GOALS, Outcome, aim, figure
from loadtests.measured import Measured
from loadtests.report_plots import median, plots_of
from training.evaluate.document import NOT_MEASURED, Document, Section, Table

NOTICE = (
    "Speed of software that reads labels in texts, on one machine. Nothing here is about a person; "
    "the texts were written for this measurement."
)

ABOUT: Mapping[str, tuple[str, str]] = {
    "start": (
        "From start to ready",
        "`mentalllama serve` until it would answer. first: with whatever caches there were; again: "
        "with all of them filled.",
    ),
    "stability": (
        "Labels alone and in company",
        "Every question on every post, read alone and among 64 requests, of which a quarter "
        "explain, and throughput, by engine. one at a time: --max-num-seqs 1.",
    ),
    "overhead": (
        "Our own overhead",
        "ours: /analyze on an engine that answers at once. bare: a route that does nothing, in "
        "turns with it.",
    ),
    "explained": (
        "Label and explanation, one question a post",
        "ours: /analyze; consistency too: with each explanation read once more by itself, which is "
        "its default. chat: a plain vLLM server's chat completions, the label parsed from the "
        "text. llama.cpp: chat completions of llama-cpp-python's server on the same weights as "
        "GGUF, one at a time, as it works. transformers: generate in left-padded batches of 8.",
    ),
    "labels": (
        "All questions on a post, labels only",
        "ours: /analyze, the post computed once. chat: a whole completion for each question; "
        "stopped after the label, as with llama.cpp: up to its answer sentence. reads: one "
        "token for each question, with its log-probabilities. encoder: MiniLM with a head for "
        "each question, one pass a batch; the heads are untrained, which the time does not "
        "depend on; on paper: as many operations a second on BERT-base's shape. The limit: "
        "operations that the work needs over the measured ceiling of matrix products, when a post "
        "is computed once (shared) and when it is computed for each question (single).",
    ),
    "questions": ("Questions on a post of 300 tokens", "How cost grows with them."),
    "lengths": ("Length of a post in tokens", "All questions on each."),
    "explanation_share": ("Percent of the posts that are explained", "One question a post."),
    "concurrency": ("Requests open at once", "Label and explanation, as a stream."),
    "growth": (
        "Number of posts",
        "Labels, one question on posts of 40 tokens; memory of all the server's processes.",
    ),
    "latency": (
        "Latency under load",
        "One at a time (alone); as many as fit (saturated); Poisson arrivals at shares of that "
        "rate. Times from when a request was due. The objective: five times the 95th percentiles "
        "of first label and whole answer alone. Goodput: answers a second that kept it. The knee: "
        "the rate up to which nine in ten keep it.",
    ),
    "http": (
        "What HTTP costs",
        "http: /analyze. in_process: the same reads by an Analyzer in the benchmark's process. "
        "chat_ours, chat_plain: chat completions by our server and by plain vLLM.",
    ),
    "limits": (
        "The machine's limit",
        "Prefill of long posts against the measured matrix ceiling (bf16; float32 where that is "
        "faster); decoding of one stream against the measured reading bandwidth.",
    ),
    "paper": (
        "On paper: Llama-2-7B on one H100",
        "Not measured. A step takes max(operations / 989.4 TFLOP/s, bytes / 3.35 TB/s), ceilings "
        "of NVIDIA's data sheet for the H100 SXM5; a step reads each weight once and each "
        "request's keys and values. Bounds from above, for the same measurements on such a machine "
        "to confirm or refute.",
    ),
}
"""By measurement: its heading, and what its rows are."""


def to_json(
    measured: Sequence[Measured], outcomes: Sequence[Outcome], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that was measured, and every goal."""
    return {
        "schema_version": 1,
        **facts,
        "goals": [outcome.to_json() for outcome in outcomes],
        "measurements": {one.name: one.rows for one in measured},
        "not_measured": {one.name: one.absent for one in measured if one.absent},
    }


def document(
    measured: Sequence[Measured], outcomes: Sequence[Outcome], facts: Mapping[str, Any]
) -> Document:
    """The page."""
    said = "; ".join(f"{name}: {_fact(value)}" for name, value in facts.items() if value)
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


def _fact(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return str(value)


def goal_table(outcomes: Sequence[Outcome]) -> Table:
    """Every goal with its target and what became of it."""
    rows = tuple(
        (
            outcome.goal.id,
            outcome.goal.what,
            aim(outcome.goal.at_least, outcome.goal.target, outcome.goal.unit),
            figure(outcome.value),
            "met" if outcome.met else "not met",
            outcome.note,
        )
        for outcome in outcomes
    )
    return Table("Goals", ("Goal", "What", "Target", "Measured", "", "How"), rows)


def _section(one: Measured) -> Section:
    title, about = ABOUT[one.name]
    lacking = tuple(f"{way}: not measured: {why}." for way, why in one.absent.items())
    table = _table(one)
    return Section(one.name, title, (about, *lacking), (table,), plots_of(one, table))


def _table(one: Measured) -> Table:
    """A row a way: the median over its rounds."""
    rows = tuple(
        (way, *(_cell(rounds, name) for name in _COLUMNS)) for way, rounds in one.rows.items()
    )
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
    "posts_per_second": "Posts/s",
    "posts_per_second_unshared": "Posts/s, unshared",
    "questions_over_one": "All questions over one, times",
    "tokens_per_second": "Tokens/s",
    "offered": "Offered/s",
    "goodput": "Goodput/s",
    "attained": "Kept, %",
    "first_label.p50": "First label, ms, median",
    "first_label.p95": "95%",
    "first_token.p50": "First token, ms, median",
    "first_token.p95": "95%",
    "total.p50": "Answer, ms, median",
    "total.p95": "95%",
    "total.p99": "99%",
    "limit_shared": "Of the limit, shared, %",
    "limit_single": "Of the limit, single, %",
    "seconds_per_post": "ms a post",
    "resident_bytes": "Memory, MiB",
    "start_seconds": "Seconds to ready",
    "reads": "Reads",
    "flips": "Flips",
    "largest_difference": "Largest difference",
    "share": "Of the limit, %",
    "step_milliseconds": "ms a step",
    "explained_per_second": "Explained/s",
    "seconds_per_token": "ms a token",
    "bf16": "bf16, GFLOP/s",
    "reading": "Reading, GB/s",
    "memory": "Copying, GB/s",
}
_SCALES: Mapping[str, float] = {
    "limit_shared": 100,
    "limit_single": 100,
    "attained": 100,
    "share": 100,
    "seconds_per_post": 1000,
    "resident_bytes": 2**-20,
    "seconds_per_token": 1000,
    "bf16": 1e-9,
    "reading": 1e-9,
    "memory": 1e-9,
}


def _cell(rounds: Sequence[Mapping[str, Any]], name: str) -> str:
    value = median(rounds, name)
    if value is None:
        return NOT_MEASURED
    value *= _SCALES.get(name, 1)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
