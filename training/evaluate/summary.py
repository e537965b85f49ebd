"""From records to results.

Records are divided by set; each way of answering that they hold (label reads, calibrated and not,
free-form responses, baselines) becomes `Answers` of `training.evaluate.metrics`; those are measured
as a whole and in slices, each figure with the resamples of `training.evaluate.bootstrap`. Every
reference is known by its record, so no model and no file is needed here.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from imhi.tasks import DATASETS, QUESTIONS, Question
from training.errors import DataError
from training.evaluate.bootstrap import (
    DIGITS,
    Estimate,
    Resamples,
    estimate,
    interval,
    mean_estimate,
    to_figure,
)
from training.evaluate.curves import coverage, reliability
from training.evaluate.metrics import Answers, Mask, confusion_counts, has_probabilities
from training.evaluate.records import Read, Record
from training.evaluate.results import (
    BASELINE_PREFIX,
    FREE_FORM,
    READ,
    READ_UNCALIBRATED,
    BootstrapSettings,
    Confusion,
    DataSummary,
    ExplanationResults,
    Figure,
    MeanResults,
    ModelSummary,
    Results,
    Scores,
    SetResults,
    WayResults,
)

_QUESTIONS_OF = {
    one.id: frozenset(question.id for question in one.questions) for one in DATASETS.values()
}


@dataclass(frozen=True, slots=True)
class Answered:
    """Records of one set that were answered in one way.

    Attributes:
        records: the records, N of them.
        predictions: label id of each, or None where there is none.
        probabilities: label id to probability of each, None where there are none.
        problems: why a record has no label, or None where it has one.
    """

    records: Sequence[Record]
    predictions: Sequence[str | None]
    probabilities: Sequence[Mapping[str, float] | None]
    problems: Sequence[str | None]

    def to_answers(
        self, resamples: Resamples, reference: Callable[[Record], str | None] | None = None
    ) -> Answers:
        """The records as arrays.

        Args:
            resamples: gives each post its place.
            reference: what they are measured against; the record's reference by default.

        Raises:
            DataError: labels that are not the question's.
        """
        questions = list(dict.fromkeys(record.question for record in self.records))
        question = _question(self.records[0])
        labels = tuple(label.id for label in question.labels)
        index: dict[str | None, int] = {label: place for place, label in enumerate(labels)}
        given = index | {None: len(labels)}
        reference = reference or (lambda record: record.reference)
        try:
            rows = [
                [math.nan] * len(labels) if one is None else [one[label] for label in labels]
                for one in self.probabilities
            ]
            return Answers(
                labels=labels,
                references=np.array([index[reference(record)] for record in self.records]),
                predictions=np.array([given[label] for label in self.predictions]),
                probabilities=np.array(rows) if any(self.probabilities) else None,
                questions=np.array([questions.index(record.question) for record in self.records]),
                posts=np.array([resamples.places[record.post_key] for record in self.records]),
                positive=_positive(question),
            )
        except KeyError as error:
            raise DataError(
                f"The labels of a record of the set {self.records[0].set} are not those of its "
                f"question ({error.args[0]!r}); they should be: {', '.join(labels)}."
            ) from None


def summarise(
    records: Sequence[Record],
    *,
    model: ModelSummary,
    data: DataSummary,
    split: str,
    command: str,
    environment: Mapping[str, str],
    options: Mapping[str, str] | None = None,
    baselines: Mapping[str, Mapping[str, str]] | None = None,
    explanations: ExplanationResults | None = None,
    bootstrap: BootstrapSettings | None = None,
) -> Results:
    """Return all figures of a run.

    The label of a read is its most probable one; thresholds of a decision policy play no part. A
    record with an error counts as answered without a label, for free-form responses only where
    they were asked of the whole set.

    Args:
        records: one a post and question; in any order.
        model: the model that was asked.
        data: the data that it was asked on.
        split: `train`, `val` or `test`.
        command: the command that measures it again, without paths.
        environment: versions and hardware.
        options: settings of the run.
        baselines: name, such as `majority`, to record id to the label id it gives.
        explanations: what `training.evaluate.explanations` measured.
        bootstrap: how the intervals are made; 1,000 resamples by default.

    Raises:
        DataError: no records, or one with a set, question or label that does not exist.
    """
    if not records:
        raise DataError("There is nothing to measure: the run has no samples.")
    settings = bootstrap or BootstrapSettings()
    resamples = Resamples.draw(((one.post_key, one.set) for one in records), settings)
    measured = {
        set_id: _measure_set(set_id, of_set, baselines or {}, resamples, settings.level)
        for set_id, of_set in by_set(records).items()
    }
    return Results(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=model,
        data=data,
        split=split,
        command=command,
        options=options or {},
        environment=environment,
        bootstrap=settings,
        sets=tuple(results for results, _ in measured.values()),
        mean=_means({name: ways for name, (_, ways) in measured.items()}, settings.level),
        explanations=explanations,
    )


def by_set(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Return the records of each set, in the order of `imhi.tasks.DATASETS`.

    Raises:
        DataError: a set or a question that does not exist.
    """
    found: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.set not in DATASETS or record.question not in _QUESTIONS_OF[record.set]:
            raise DataError(
                f"The record {record.id} asks {record.question!r} of the set {record.set!r}, which "
                "this release does not know. Evaluate again with this release."
            )
        found[record.set].append(record)
    return {set_id: found[set_id] for set_id in DATASETS if set_id in found}


def ways_of(
    records: Sequence[Record], baselines: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, Answered]]:
    """Yield each way in which the records of one set were answered, by its id."""
    asked = [record for record in records if record.read or record.error]
    if any(record.read for record in asked):
        calibrated = [one.read.probabilities if one.read else None for one in asked]
        plain = [_uncalibrated(one.read) if one.read else None for one in asked]
        yield READ, _answered_by_probability(asked, calibrated)
        yield READ_UNCALIBRATED, _answered_by_probability(asked, plain)
    written = [record for record in records if record.free_form]
    if written:
        if len(written) == sum(record.error is None for record in records):
            written = [record for record in records if record.free_form or record.error]
        yield FREE_FORM, _answered_freely(written)
    for name, given in baselines.items():
        labelled = [record for record in records if record.id in given]
        if labelled:
            nothing = [None] * len(labelled)
            labels = [given[record.id] for record in labelled]
            yield f"{BASELINE_PREFIX}{name}", Answered(labelled, labels, nothing, nothing)


def _uncalibrated(read: Read) -> dict[str, float]:
    return {label: math.exp(value) for label, value in read.log_probabilities.items()}


def _answered_by_probability(
    records: Sequence[Record], probabilities: Sequence[Mapping[str, float] | None]
) -> Answered:
    return Answered(
        records,
        [max(one, key=one.__getitem__) if one else None for one in probabilities],
        probabilities,
        [record.error for record in records],
    )


def _answered_freely(records: Sequence[Record]) -> Answered:
    return Answered(
        records,
        [record.free_form.label if record.free_form else None for record in records],
        [None] * len(records),
        [record.free_form.problem if record.free_form else record.error for record in records],
    )


def _question(record: Record) -> Question:
    return QUESTIONS[record.question]


def _positive(question: Question) -> int | None:
    if len(question.labels) != 2:
        return None
    return next(i for i, label in enumerate(question.labels) if label.id != question.negative)


def _measure_set(
    set_id: str,
    records: Sequence[Record],
    baselines: Mapping[str, Mapping[str, str]],
    resamples: Resamples,
    level: float,
) -> tuple[SetResults, dict[str, dict[str, Estimate]]]:
    """Results of a set, and for each way the estimates that the mean over sets is made of."""
    ways: dict[str, WayResults] = {}
    estimates: dict[str, dict[str, Estimate]] = {}
    for way, answered in ways_of(records, baselines):
        ways[way], estimates[way] = _measure_way(way, answered, resamples, level)
    known = [record for record in records if record.annotation is not None]
    results = SetResults(
        set=set_id,
        rows=len(records),
        posts=len({record.post_key for record in records}),
        references=dict(Counter(record.reference for record in records).most_common()),
        seen_known=all(record.seen is not None for record in records),
        annotation_rows=len(known),
        annotation_agreement=_agreement(known, resamples, level) if known else None,
        ways=ways,
    )
    return results, estimates


def _agreement(known: Sequence[Record], resamples: Resamples, level: float) -> Figure:
    same = np.array([record.reference == record.annotation for record in known])
    drawn = resamples.counts[:, [resamples.places[record.post_key] for record in known]]
    totals = drawn.sum(axis=1, dtype=np.float64)
    samples = (drawn @ same.astype(np.float64))[totals > 0] / totals[totals > 0]
    return Figure(value=round(float(same.mean()), DIGITS), interval=interval(samples, level))


def _measure_way(
    way: str, answered: Answered, resamples: Resamples, level: float
) -> tuple[WayResults, dict[str, Estimate]]:
    answers = answered.to_answers(resamples)
    records = answered.records

    def scores(part: Answers) -> Scores | None:
        if not part.references.size:
            return None
        estimates = estimate(part, resamples)
        return _scores(part, estimates, level)

    def where(condition: Callable[[Record], bool]) -> Mask:
        return np.array([condition(record) for record in records], dtype=np.bool_)

    whole = estimate(answers, resamples)
    seen_known = all(record.seen is not None for record in records)
    annotated = where(lambda record: record.annotation is not None)
    by_annotation = answered.to_answers(
        resamples, lambda record: record.annotation or record.reference
    ).rows(annotated)
    questions = {}
    asked = list(dict.fromkeys(record.question for record in records))
    if len(asked) > 1:
        for question in (one for one in QUESTIONS if one in asked):
            place = asked.index(question)
            of_question = scores(answers.rows(np.equal(answers.questions, place)))
            if of_question:
                questions[question] = of_question
    readable: Mask = np.less(answers.predictions, len(answers.labels))
    drawable = None
    if answers.probabilities is not None:
        drawable = answers.rows(has_probabilities(answers))
    results = WayResults(
        all=_scores(answers, whole, level),
        unseen=scores(answers.rows(where(lambda one: one.seen is False))) if seen_known else None,
        seen=scores(answers.rows(where(lambda one: one.seen is True))) if seen_known else None,
        annotation=scores(by_annotation),
        readable=scores(answers.rows(readable)) if way == FREE_FORM else None,
        questions=questions,
        confusion=_confusion(answers),
        problems=dict(Counter(one for one in answered.problems if one).most_common()),
        reliability=reliability(drawable) if drawable else (),
        coverage=coverage(drawable) if drawable else (),
    )
    return results, whole


def _scores(answers: Answers, estimates: Mapping[str, Estimate], level: float) -> Scores:
    return Scores(
        rows=int(answers.references.size),
        posts=int(np.unique(answers.posts).size),
        figures={metric: to_figure(one, level) for metric, one in estimates.items()},
    )


def _confusion(answers: Answers) -> Confusion:
    counts = confusion_counts(answers, np.ones((1, answers.references.size)))[0]
    return Confusion(
        labels=answers.labels,
        counts=tuple(tuple(int(cell) for cell in row) for row in counts),
    )


def _means(
    measured: Mapping[str, Mapping[str, Mapping[str, Estimate]]], level: float
) -> dict[str, MeanResults]:
    """Mean over sets of each way; `measured` is set id to way to metric to estimate."""
    means = {}
    for way in dict.fromkeys(way for ways in measured.values() for way in ways):
        sets = {set_id: ways[way] for set_id, ways in measured.items() if way in ways}
        shared = [
            metric
            for metric in next(iter(sets.values()))
            if all(metric in metrics for metrics in sets.values())
        ]
        means[way] = MeanResults(
            sets=tuple(sets),
            figures={
                metric: to_figure(mean_estimate([one[metric] for one in sets.values()]), level)
                for metric in shared
            },
        )
    return means
