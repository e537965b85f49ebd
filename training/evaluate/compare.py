"""Two runs on the same data, difference by difference.

Both runs' samples meet the same resamples of posts, so what makes a post hard or easy for both
falls out of the difference. `compare_runs` reads the runs' folders, `compare_records` does the
work, `training.evaluate.comparison_content` says it in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from training.errors import DataError, UsageError
from training.evaluate.bootstrap import (
    DIGITS,
    Estimate,
    Resamples,
    estimate,
    interval,
    mean_estimate,
)
from training.evaluate.metrics import Answers
from training.evaluate.records import Record
from training.evaluate.results import (
    FREE_FORM,
    READ,
    READ_UNCALIBRATED,
    BootstrapSettings,
    Count,
    DataSummary,
    ModelSummary,
    load_results,
)
from training.evaluate.store import load_records
from training.evaluate.summary import Answered, by_set, ways_of

WAYS = (READ, READ_UNCALIBRATED, FREE_FORM)
"""The ways of answering that samples hold."""

Share = Annotated[float, Field(ge=0, le=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Difference(_Entry):
    """One metric of two runs."""

    a: float
    b: float
    difference: float = Field(description="b - a.")
    interval: tuple[float, float] | None = Field(
        default=None, description="[low, high] of its percentile interval, paired by post."
    )
    p_value: Share | None = Field(
        default=None,
        description="Two-sided: twice the smaller share of resamples whose difference is at most, "
        "or at least, 0, counting the data themselves as one resample on either side; at most 1.",
    )


class Flips(_Entry):
    """How often which run is right."""

    both: Count = Field(description="Rows that both have right.")
    only_a: Count
    only_b: Count
    neither: Count
    p_value: Share = Field(
        description="Exact McNemar test: whether rows that one run alone has right fall evenly on "
        "both. It takes rows for independent, which several questions on one post are not."
    )


class SetComparison(_Entry):
    """One data set."""

    set: str
    rows: Count = Field(description="Rows that both runs answered.")
    posts: Count
    same_label: Share = Field(description="Share of them with the same label from both.")
    metrics: Mapping[str, Difference] = Field(description="Metric id to its difference.")
    flips: Flips


class Side(_Entry):
    """One of the two runs."""

    run: str = Field(description="Name of its folder.")
    way: str = Field(description="`read`, `read_uncalibrated` or `free_form`.")
    model: ModelSummary


class Comparison(_Entry):
    """Run B against run A: the form of `comparison.json`."""

    schema_version: Literal[1] = 1
    a: Side
    b: Side
    data: DataSummary
    split: str
    bootstrap: BootstrapSettings
    sets: tuple[SetComparison, ...]
    mean: Mapping[str, Difference] = Field(description="Metric id to the mean over the sets.")


def compare_runs(
    a: Path,
    b: Path,
    *,
    way_a: str = READ,
    way_b: str = READ,
    bootstrap: BootstrapSettings | None = None,
) -> Comparison:
    """Compare two runs by their folders.

    Args:
        a: output folder of `mentalllama-train evaluate`; what is compared against.
        b: the other run's.
        way_a: how A's labels were given, one of `WAYS`.
        way_b: how B's were.
        bootstrap: how the intervals are made; 1,000 resamples by default.

    Raises:
        UsageError: a way that does not exist, or nothing that differs between the two sides.
        DataError: a folder without a finished run, runs on different data, or no row that both
            answered.
    """
    for way in (way_a, way_b):
        if way not in WAYS:
            raise UsageError(f"There is no way of answering {way!r}; there are: {', '.join(WAYS)}.")
    if a.resolve() == b.resolve() and way_a == way_b:
        raise UsageError(
            "Both sides are the same run, answered in the same way: name another run, or another "
            "way with `--way-b`."
        )
    settings = bootstrap or BootstrapSettings()
    of_a, of_b = load_results(a), load_results(b)
    sets, mean = compare_records(
        load_records(a), load_records(b), way_a=way_a, way_b=way_b, bootstrap=settings
    )
    return Comparison(
        a=Side(run=a.resolve().name, way=way_a, model=of_a.model),
        b=Side(run=b.resolve().name, way=way_b, model=of_b.model),
        data=of_a.data,
        split=of_a.split,
        bootstrap=settings,
        sets=sets,
        mean=mean,
    )


def compare_records(
    a: Sequence[Record],
    b: Sequence[Record],
    *,
    way_a: str,
    way_b: str,
    bootstrap: BootstrapSettings,
) -> tuple[tuple[SetComparison, ...], dict[str, Difference]]:
    """Compare the samples of two runs, on the rows that both answered in these ways.

    Returns:
        The sets, and the mean over them by metric.

    Raises:
        DataError: they are not on the same data, or no row was answered by both.
    """
    _check_same(a, b)
    resamples = Resamples.draw(((one.post_key, one.set) for one in a), bootstrap)
    sets: list[SetComparison] = []
    pairs: list[dict[str, tuple[Estimate, Estimate]]] = []
    of_b = by_set(b)
    for set_id, of_set in by_set(a).items():
        left = dict(ways_of(of_set, {})).get(way_a)
        right = dict(ways_of(of_b[set_id], {})).get(way_b)
        if left is None or right is None:
            continue
        answers = _shared_rows(left, right, resamples)
        if answers is None:
            continue
        measured_a, measured_b = (estimate(one, resamples) for one in answers)
        shared = {
            metric: (measured_a[metric], measured_b[metric])
            for metric in measured_a
            if metric in measured_b
        }
        pairs.append(shared)
        sets.append(_compare_set(set_id, *answers, shared, bootstrap.level))
    if not sets:
        raise DataError(
            f"No row was answered in the way {way_a!r} by run A and {way_b!r} by run B. Run "
            "`mentalllama-train evaluate` so that both answer in these ways."
        )
    metrics = [metric for metric in pairs[0] if all(metric in pair for pair in pairs)]
    means = {
        metric: _difference(
            mean_estimate(pair[metric][0] for pair in pairs),
            mean_estimate(pair[metric][1] for pair in pairs),
            bootstrap.level,
        )
        for metric in metrics
    }
    return tuple(sets), {metric: one for metric, one in means.items() if one is not None}


def _check_same(a: Sequence[Record], b: Sequence[Record]) -> None:
    """Raise `DataError` unless both runs were on the same rows with the same references."""
    rows_a = {one.id: (one.set, one.question, one.post_key, one.reference) for one in a}
    rows_b = {one.id: (one.set, one.question, one.post_key, one.reference) for one in b}
    only_a, only_b = len(rows_a.keys() - rows_b.keys()), len(rows_b.keys() - rows_a.keys())
    changed = sum(rows_a[row] != rows_b[row] for row in rows_a.keys() & rows_b.keys())
    if only_a or only_b or changed:
        raise DataError(
            f"The runs are not on the same data: {only_a} rows are in A alone, {only_b} in B "
            f"alone, and {changed} have another post, question or reference. Evaluate both models "
            "on the same data, split, sets and `--limit`."
        )


def _shared_rows(
    left: Answered, right: Answered, resamples: Resamples
) -> tuple[Answers, Answers] | None:
    """The rows that both answered, in one order; None where there are none."""
    shared = {one.id for one in left.records} & {one.id for one in right.records}
    if not shared:
        return None
    ordered = []
    for side in (left, right):
        answers = side.to_answers(resamples)
        places = {one.id: place for place, one in enumerate(side.records)}
        ordered.append(answers.rows(np.array([places[row] for row in sorted(shared)])))
    return ordered[0], ordered[1]


def _compare_set(
    set_id: str,
    a: Answers,
    b: Answers,
    estimates: Mapping[str, tuple[Estimate, Estimate]],
    level: float,
) -> SetComparison:
    differences = {
        metric: _difference(left, right, level) for metric, (left, right) in estimates.items()
    }
    return SetComparison(
        set=set_id,
        rows=int(a.references.size),
        posts=int(np.unique(a.posts).size),
        same_label=round(float(np.mean(a.predictions == b.predictions)), DIGITS),
        metrics={metric: one for metric, one in differences.items() if one is not None},
        flips=_flips(a, b),
    )


def _difference(a: Estimate, b: Estimate, level: float) -> Difference | None:
    """B - A, or None where one of them could not be measured."""
    change = b.minus(a)
    if np.isnan(change.value):
        return None
    samples = change.samples[~np.isnan(change.samples)]
    p_value = None
    if samples.size:
        below, above = 1 + int((samples <= 0).sum()), 1 + int((samples >= 0).sum())
        p_value = round(min(1.0, 2 * min(below, above) / (samples.size + 1)), DIGITS)
    return Difference(
        a=round(a.value, DIGITS),
        b=round(b.value, DIGITS),
        difference=round(change.value, DIGITS),
        interval=interval(samples, level),
        p_value=p_value,
    )


def _flips(a: Answers, b: Answers) -> Flips:
    from scipy.stats import binomtest

    right_a, right_b = a.predictions == a.references, b.predictions == b.references
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    discordant = only_a + only_b
    return Flips(
        both=int((right_a & right_b).sum()),
        only_a=only_a,
        only_b=only_b,
        neither=int((~right_a & ~right_b).sum()),
        p_value=round(float(binomtest(only_a, discordant).pvalue), DIGITS) if discordant else 1.0,
    )
