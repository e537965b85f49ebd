"""The metrics, as pure functions of arrays.

`Answers` holds the rows of one set as one way of answering gave them; `measure` takes it with a
matrix of row weights and returns every metric once a weighting. A weighting of ones gives the
figure itself, the weightings of `training.evaluate.bootstrap` its resamples: one implementation
for both, since a thousand calls of scikit-learn a figure would take minutes. The tests hold it
against scikit-learn.

In the shapes below N is rows, K labels, R weightings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

BINS = 15
"""Bins of the calibration errors, as in Guo et al. 2017."""

_TINY = 1e-12
"""What a probability of 0 counts as in a logarithm, so that one row cannot make a mean infinite."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is called and what it says."""

    id: str
    title: str
    description: str
    higher_is_better: bool
    percent: bool = True
    """Whether reports show it times 100, as the paper does."""
    recentred: bool = False
    """Whether resamples are moved to have the figure as their mean: noise adds to the metric."""


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.id: metric
        for metric in (
            Metric(
                "weighted_f1",
                "Weighted F1",
                "Mean of the labels' F1, weighted by how often each is the reference; the paper's "
                "metric. All questions of a set are pooled, one row a post and question. A row "
                "without a label is wrong.",
                higher_is_better=True,
            ),
            Metric(
                "macro_f1",
                "Macro F1",
                "Plain mean of the F1 of the labels that occur among the references.",
                higher_is_better=True,
            ),
            Metric("accuracy", "Accuracy", "Share of the rows that are right.", True),
            Metric(
                "auroc",
                "AUROC",
                "Area under the ROC curve. Yes/no questions: of the probability of yes. Others: "
                "one label against the rest, mean over the labels that occur. A set of several "
                "questions: mean over its questions, since scores rank within a question.",
                higher_is_better=True,
            ),
            Metric(
                "brier",
                "Brier score",
                "Mean over rows of the sum over labels of (probability - 1 if reference else 0) "
                "squared, from 0 to 2 (Brier 1950). For yes/no questions that is twice the "
                "one-label form.",
                higher_is_better=False,
                percent=False,
            ),
            Metric(
                "nll",
                "Negative log-likelihood",
                "Mean of -ln of the reference's probability, in nats; a probability below 1e-12 "
                "counts as 1e-12.",
                higher_is_better=False,
                percent=False,
            ),
            Metric(
                "ece",
                "ECE",
                "Expected calibration error: over 15 bins of equal width of the top label's "
                "probability, the mean of |accuracy - mean probability| weighted by rows (Guo et "
                "al. 2017, arXiv 1706.04599). It is too high on few rows, and more so in "
                "resamples: its interval is moved by what they add on average.",
                higher_is_better=False,
                recentred=True,
            ),
            Metric(
                "ece_adaptive",
                "ECE, equal mass",
                "The same over 15 bins that hold equally many rows; equal probabilities stay "
                "together, so there can be fewer bins (Nixon et al. 2019, arXiv 1904.01685).",
                higher_is_better=False,
                recentred=True,
            ),
            Metric(
                "unreadable",
                "Without a label",
                "Share of the rows that got no label: a free-form answer that names none or "
                "several, or an error.",
                higher_is_better=False,
            ),
        )
    }
)
"""Every metric by id, in the order of the reports."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Rows of one set with the labels that were given.

    Attributes:
        labels: ids of the labels, K of them.
        references: (N,) index of the reference label.
        predictions: (N,) index of the given label, or K where there is none.
        probabilities: (N, K) probabilities of the labels, NaN in rows without; None where the way
            gives none.
        questions: (N,) which of the set's questions a row asks, from 0.
        posts: (N,) index of the row's post among the posts of the run.
        positive: index of the label that the ROC curve of a yes/no question is of; None with more
            labels than two.
    """

    labels: tuple[str, ...]
    references: Ints
    predictions: Ints
    probabilities: Floats | None
    questions: Ints
    posts: Ints
    positive: int | None

    def rows(self, which: Mask | Ints) -> Answers:
        """The rows where a mask of shape (N,) holds, or those at the given places."""
        return replace(
            self,
            references=self.references[which],
            predictions=self.predictions[which],
            probabilities=None if self.probabilities is None else self.probabilities[which],
            questions=self.questions[which],
            posts=self.posts[which],
        )


def measure(answers: Answers, weights: Floats) -> dict[str, Floats]:
    """Return every metric that the answers allow.

    Args:
        answers: the rows.
        weights: (R, N), how often each row counts.

    Returns:
        Metric id to (R,) values, NaN where a weighting leaves nothing to measure.
    """
    counts = confusion_counts(answers, weights)
    values = {
        "weighted_f1": weighted_f1(counts),
        "macro_f1": macro_f1(counts),
        "accuracy": accuracy(counts),
        "unreadable": _ratio(counts[:, :, -1].sum(axis=1), counts.sum(axis=(1, 2))),
    }
    if answers.probabilities is None:
        return values
    kept = has_probabilities(answers)
    answers, weights = answers.rows(kept), weights[:, kept]
    values["auroc"] = auroc(answers, weights)
    values["brier"] = _mean(brier(answers), weights)
    values["nll"] = _mean(negative_log_likelihood(answers), weights)
    confidence = top_probability(answers)
    values["ece"] = calibration_error(answers, weights, equal_width_bins(confidence))
    values["ece_adaptive"] = calibration_error(answers, weights, equal_mass_bins(confidence))
    return values


def has_probabilities(answers: Answers) -> Mask:
    """Return (N,), the rows that have probabilities."""
    if answers.probabilities is None:
        return np.zeros(answers.references.size, dtype=np.bool_)
    return np.logical_not(np.isnan(answers.probabilities).any(axis=1))


def confusion_counts(answers: Answers, weights: Floats) -> Floats:
    """Return (R, K, K + 1) weighted counts: reference, then given label or, last, none."""
    size = len(answers.labels)
    cells = answers.references * (size + 1) + answers.predictions
    # A product of matrices is by far the fastest way to add up many weightings.
    one_hot = np.zeros((cells.size, size * (size + 1)))
    one_hot[np.arange(cells.size), cells] = 1
    counts: Floats = (weights @ one_hot).reshape(-1, size, size + 1)
    return counts


def label_f1(counts: Floats) -> Floats:
    """Return (R, K), each label's F1; 0 for a label that is neither a reference nor given."""
    right = np.diagonal(counts, axis1=1, axis2=2)
    support = counts.sum(axis=2)
    given = counts[:, :, :-1].sum(axis=1)
    return np.nan_to_num(_ratio(2 * right, support + given))


def weighted_f1(counts: Floats) -> Floats:
    """Return (R,), the mean of the labels' F1 weighted by their references."""
    support = counts.sum(axis=2)
    return _ratio((label_f1(counts) * support).sum(axis=1), support.sum(axis=1))


def macro_f1(counts: Floats) -> Floats:
    """Return (R,), the plain mean of the F1 of the labels that are a reference."""
    present = counts.sum(axis=2) > 0
    return _ratio((label_f1(counts) * present).sum(axis=1), present.sum(axis=1))


def accuracy(counts: Floats) -> Floats:
    """Return (R,), the share of rows that are right."""
    return _ratio(np.trace(counts, axis1=1, axis2=2), counts.sum(axis=(1, 2)))


def auroc(answers: Answers, weights: Floats) -> Floats:
    """Return (R,), the area under the ROC curve as `METRICS` defines it.

    Needs probabilities without NaN. NaN where only one label is left to rank.
    """
    assert answers.probabilities is not None
    areas = []
    for question in np.unique(answers.questions):
        asked = answers.questions == question
        probabilities, references = answers.probabilities[asked], answers.references[asked]
        labels = range(len(answers.labels)) if answers.positive is None else [answers.positive]
        by_label = [
            ranking_area(probabilities[:, label], references == label, weights[:, asked])
            for label in labels
        ]
        areas.append(_mean_of_known(np.stack(by_label)))
    return _mean_of_known(np.stack(areas)) if areas else np.full(len(weights), np.nan)


def ranking_area(scores: Floats, positive: Mask, weights: Floats) -> Floats:
    """Return (R,), the weighted chance that a positive row outranks a negative; ties count half.

    Args:
        scores: (N,) what the rows are ranked by.
        positive: (N,) which rows are positive.
        weights: (R, N).
    """
    ranks, place = np.unique(scores, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(ranks.size))
    if not ranks.size:
        return np.full(len(weights), np.nan)
    ones = np.add.reduceat((weights * positive)[:, order], starts, axis=1)
    zeros = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    below = np.cumsum(zeros, axis=1) - zeros
    won = (ones * (below + zeros / 2)).sum(axis=1)
    return _ratio(won, ones.sum(axis=1) * zeros.sum(axis=1))


def brier(answers: Answers) -> Floats:
    """Return (N,), the sum of squares of each row, from 0 to 2."""
    assert answers.probabilities is not None
    target = np.eye(len(answers.labels))[answers.references]
    squares: Floats = ((answers.probabilities - target) ** 2).sum(axis=1)
    return squares


def negative_log_likelihood(answers: Answers) -> Floats:
    """Return (N,), -ln of each row's probability of the reference, in nats."""
    assert answers.probabilities is not None
    given = answers.probabilities[np.arange(answers.references.size), answers.references]
    loss: Floats = -np.log(np.maximum(given, _TINY))
    return loss


def top_probability(answers: Answers) -> Floats:
    """Return (N,), the probability of each row's most probable label."""
    assert answers.probabilities is not None
    top: Floats = answers.probabilities.max(axis=1, initial=0)
    return top


def top_is_right(answers: Answers) -> Mask:
    """Return (N,), whether each row's most probable label is the reference."""
    assert answers.probabilities is not None
    right: Mask = answers.probabilities.argmax(axis=1) == answers.references
    return right


def equal_width_bins(confidence: Floats) -> Ints:
    """Return (N,), the bin of each confidence: the first is [0, 1/15], the others (low, high]."""
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    return np.searchsorted(edges, confidence, side="left").astype(np.int64)


def equal_mass_bins(confidence: Floats) -> Ints:
    """Return (N,), the bin of each confidence; bins hold equally many rows where ties let them."""
    if not confidence.size:
        return np.zeros(0, dtype=np.int64)
    edges = np.quantile(confidence, np.arange(1, BINS) / BINS, method="inverted_cdf")
    return np.searchsorted(np.unique(edges), confidence, side="left").astype(np.int64)


def calibration_error(answers: Answers, weights: Floats, bins: Ints) -> Floats:
    """Return (R,), the expected calibration error of the top label over the bins, of shape (N,)."""
    gap = top_is_right(answers) - top_probability(answers)
    return _ratio(gap_by_bins(weights * gap, bins), weights.sum(axis=1))


def gap_by_bins(gaps: Floats, bins: Ints) -> Floats:
    """Return (R,), the sum over the bins, of shape (N,), of each bin's absolute sum of `gaps`.

    Args:
        gaps: (R, N), whether the top label is right less its probability, weighted.
        bins: (N,), as `equal_width_bins` gives them.
    """
    members = bins[:, np.newaxis] == np.arange(BINS)
    summed: Floats = np.abs(gaps @ members.astype(np.float64)).sum(axis=1)
    return summed


def _mean(values: Floats, weights: Floats) -> Floats:
    return _ratio(weights @ values, weights.sum(axis=1))


def _mean_of_known(values: Floats) -> Floats:
    """Mean over the first axis of what is not NaN; NaN where all is."""
    return _ratio(np.nansum(values, axis=0), (~np.isnan(values)).sum(axis=0))


def _ratio(above: NDArray[np.generic], below: NDArray[np.generic]) -> Floats:
    """The quotient, NaN where the divisor is 0."""
    result = np.full(np.shape(above), np.nan)
    np.divide(above, below, out=result, where=np.asarray(below) != 0)
    return result
