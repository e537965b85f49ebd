"""Threshold and abstention curves: what a decision policy would do, by its number.

They are computed on held-out probabilities (`training.calibrate.select.held_out`). What they
recommend is chosen on the rows it is measured on and so looks a little better than it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.calibrate.measure import f1_of
from training.calibrate.reads import Flags, Floats, Reads

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""0.05 to 0.95."""


@dataclass(frozen=True, slots=True)
class ThresholdPoint:
    """What a threshold on one label does: the label is given from that probability on.

    Attributes:
        threshold: the probability.
        precision: share of the rows given the label whose reference it is; None where no row is.
        recall: share of the rows with that reference that are given it; None where there are none.
        f1: the label's F1.
        weighted_f1: of the question, where every row below gets its other label; None for a
            question of more than two labels.
    """

    threshold: float
    precision: float | None
    recall: float | None
    f1: float
    weighted_f1: float | None


@dataclass(frozen=True, slots=True)
class AbstentionPoint:
    """What `min_probability` does.

    Attributes:
        min_probability: rows whose most probable label is less probable are abstained from.
        coverage: share of the rows that are decided.
        accuracy: share of the decided rows that are right; None where none is decided.
    """

    min_probability: float
    coverage: float
    accuracy: float | None


def threshold_curve(
    log_probabilities: Floats, reads: Reads, label: str
) -> tuple[ThresholdPoint, ...]:
    """The curve of one label, at `THRESHOLDS`.

    Args:
        log_probabilities: held-out and calibrated, rows by labels.
        reads: the rows.
        label: id of the label.
    """
    labels = [one.id for one in reads.question.labels]
    index = labels.index(label)
    probability = np.exp(log_probabilities[:, index])
    wanted = reads.references == index
    points = []
    for threshold in THRESHOLDS:
        given = probability >= threshold
        right = int((given & wanted).sum())
        total = int(given.sum() + wanted.sum())
        whole = None
        if len(labels) == 2:
            # Two columns whose larger one is the label that the threshold decides for.
            decided = np.where(given, index, 1 - index)
            whole = f1_of(reads, np.log(np.eye(2)[decided] + 1e-12))
        points.append(
            ThresholdPoint(
                threshold,
                right / int(given.sum()) if given.any() else None,
                right / int(wanted.sum()) if wanted.any() else None,
                2 * right / total if total else 0.0,
                whole,
            )
        )
    return tuple(points)


def abstention_curve(top: Floats, right: Flags) -> tuple[AbstentionPoint, ...]:
    """Coverage and accuracy at 0 and at every one of `THRESHOLDS`.

    Args:
        top: probability of the most probable label, by row.
        right: whether that label is the reference, by row.
    """
    points = []
    for least in (0.0, *THRESHOLDS):
        decided = top >= least
        accuracy = float(right[decided].mean()) if decided.any() else None
        points.append(AbstentionPoint(least, float(decided.mean()), accuracy))
    return tuple(points)


def top_label(log_probabilities: Floats, reads: Reads) -> tuple[Floats, Flags]:
    """Probability of the most probable label and whether it is the reference, by row."""
    given = log_probabilities.argmax(axis=1)
    return np.exp(log_probabilities.max(axis=1)), given == reads.references


def best_threshold(points: tuple[ThresholdPoint, ...], gain: float) -> ThresholdPoint | None:
    """The threshold with the highest weighted F1 of a yes/no question.

    Args:
        points: the curve of the label that says "present".
        gain: how much it must be above the weighted F1 at 0.5 to be worth a threshold.

    Returns:
        The point, or None where 0.5 is as good, or where the question has more than two labels.
    """
    measured = [(point.weighted_f1, point) for point in points if point.weighted_f1 is not None]
    if not measured:
        return None
    at_half = next(f1 for f1, point in measured if point.threshold == 0.5)
    # Of equal ones the nearest to 0.5, which says least that is not so.
    best, point = max(measured, key=lambda item: (item[0], -abs(item[1].threshold - 0.5)))
    return point if best >= at_half + gain else None


def least_probability(points: tuple[AbstentionPoint, ...], target: float) -> AbstentionPoint | None:
    """The smallest `min_probability` whose decided rows are right often enough, if there is one."""
    reached = (p for p in points if p.accuracy is not None and p.accuracy >= target)
    return next(reached, None)
