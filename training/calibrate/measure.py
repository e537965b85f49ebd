"""Held-out reads as the metrics take them: rows, references and probabilities of some questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training.calibrate.reads import Floats, Reads
from training.evaluate.bootstrap import Estimate, Resamples, estimate, interval, mean_estimate
from training.evaluate.metrics import Answers, confusion_counts, weighted_f1
from training.evaluate.results import Figure

METRICS = ("ece", "ece_adaptive", "nll", "brier", "weighted_f1")
"""What is reported, ids of `training.evaluate.metrics.METRICS`."""

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


def figures(measured: Mapping[str, Estimate]) -> dict[str, Figure]:
    """The same as reports keep them, with 95% intervals."""
    return {
        name: Figure(value=round(one.value, 6), interval=interval(one.samples, 0.95))
        for name, one in measured.items()
    }


def means(measured: Sequence[Mapping[str, Estimate]]) -> dict[str, Estimate]:
    """The mean over sets, each counted once."""
    return {name: mean_estimate([one[name] for one in measured]) for name in METRICS}
