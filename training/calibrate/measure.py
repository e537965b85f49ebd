"""Held-out reads as the metrics take them: rows, references and probabilities of some questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training.calibrate.reads import Floats, Reads
from training.evaluate.bootstrap import Estimate, Resamples, estimate, mean_estimate, to_figure
from training.evaluate.metrics import (
    Answers,
    confusion_counts,
    equal_width_bins,
    gap_by_bins,
    top_probability,
    weighted_f1,
)
from training.evaluate.results import Figure

METRICS = ("ece", "ece_adaptive", "nll", "brier", "weighted_f1")
"""What is reported, ids of `training.evaluate.metrics.METRICS`."""

_DRAWS = 1000
"""How often references are drawn to see what chance alone makes of a calibration error."""

Part = tuple[Reads, Floats]
"""A question's rows and natural-log probabilities of its labels, rows by labels."""


def answers_of(parts: Sequence[Part], places: Mapping[str, int]) -> Answers:
    """Rows of questions that have the same labels, as answers.

    Args:
        parts: the questions, at least one.
        places: key of a post to its number among the posts of the run.
    """
    labels = tuple(label.id for label in parts[0][0].question.labels)
    negative = parts[0][0].question.negative
    probabilities = np.exp(np.concatenate([logs for _, logs in parts]))
    return Answers(
        labels=labels,
        references=np.concatenate([reads.references for reads, _ in parts]),
        predictions=probabilities.argmax(axis=1),
        probabilities=probabilities,
        questions=np.concatenate(
            [np.full(len(reads), number) for number, (reads, _) in enumerate(parts)]
        ),
        posts=np.array(
            [places[post] for reads, _ in parts for post in reads.posts], dtype=np.int64
        ),
        positive=next(i for i, label in enumerate(labels) if label != negative)
        if len(labels) == 2
        else None,
    )


def f1_of(reads: Reads, logs: Floats) -> float:
    """Weighted F1 of the most probable labels of one question's rows, at least one."""
    answers = answers_of([(reads, logs)], dict.fromkeys(reads.posts, 0))
    return float(weighted_f1(confusion_counts(answers, np.ones((1, len(reads)))))[0])


def of_set(parts: Mapping[str, Part], set_id: str) -> list[Part]:
    """The rows of one set, of every question that has some."""
    result = []
    for reads, logs in parts.values():
        mask = np.array([name == set_id for name in reads.sets], dtype=np.bool_)
        if mask.any():
            result.append((reads.where(mask), logs[mask]))
    return result


def estimates(parts: Sequence[Part], resamples: Resamples) -> dict[str, Estimate]:
    """The reported metrics of some questions' rows, with their resamples."""
    measured = estimate(answers_of(parts, resamples.places), resamples)
    return {name: measured[name] for name in METRICS}


def error_by_chance(parts: Sequence[Part], places: Mapping[str, int], seed: int) -> Estimate:
    """The calibration error (ECE) that these rows would show were their probabilities exact.

    Few rows never fall into their bins as their probabilities say, so that the error of exact
    probabilities is not 0. It is what a measured error has to be held against. References are drawn
    from the probabilities (consistency resampling; Bröcker and Smith 2007, doi:10.1175/WAF993.1),
    which for the top label is to draw whether it is right.

    Returns:
        The mean over the draws, and the draws.
    """
    confidence = top_probability(answers_of(parts, places))
    right = np.random.default_rng(seed).random((_DRAWS, confidence.size)) < confidence
    errors = gap_by_bins(right - confidence, equal_width_bins(confidence)) / confidence.size
    return Estimate(float(errors.mean()), errors)


def figures(measured: Mapping[str, Estimate]) -> dict[str, Figure]:
    """The same as reports keep them, with 95% intervals."""
    return {name: to_figure(one, 0.95) for name, one in measured.items()}


def means(measured: Sequence[Mapping[str, Estimate]]) -> dict[str, Estimate]:
    """The mean over sets, each counted once."""
    return {name: mean_estimate([one[name] for one in measured]) for name in METRICS}
