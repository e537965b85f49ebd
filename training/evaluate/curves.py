"""What the report draws of probabilities: reliability bins and the coverage curve."""

from __future__ import annotations

import numpy as np

from training.evaluate.metrics import (
    BINS,
    Answers,
    equal_width_bins,
    top_is_right,
    top_probability,
)
from training.evaluate.results import CoveragePoint, ReliabilityBin

_POINTS = 20
"""Points of a coverage curve: every 5%."""


def reliability(answers: Answers) -> tuple[ReliabilityBin, ...]:
    """Return the 15 bins of equal width of the top label's probability, lowest first.

    Needs probabilities without NaN.
    """
    confidence, right = top_probability(answers), top_is_right(answers)
    place = equal_width_bins(confidence)
    bins = []
    for index in range(BINS):
        members = place == index
        rows = int(members.sum())
        bins.append(
            ReliabilityBin(
                low=round(index / BINS, 6),
                high=round((index + 1) / BINS, 6),
                rows=rows,
                confidence=round(float(confidence[members].mean()), 6) if rows else None,
                accuracy=round(float(right[members].mean()), 6) if rows else None,
            )
        )
    return tuple(bins)


def coverage(answers: Answers) -> tuple[CoveragePoint, ...]:
    """Return accuracy as ever more of the least certain rows are abstained from.

    Every point is what a `min_probability` of the decision policy would do: rows that are equally
    certain are answered or left together. From full coverage down, without equal points. Needs
    probabilities without NaN.
    """
    confidence, right = top_probability(answers), top_is_right(answers)
    points: dict[float, CoveragePoint] = {}
    for step in range(_POINTS):
        if not confidence.size:
            break
        least = float(np.quantile(confidence, step / _POINTS, method="higher"))
        kept = confidence >= least
        points[least] = CoveragePoint(
            coverage=round(float(kept.mean()), 6),
            # Rounded down, so that the bound still answers the rows it stands for.
            min_probability=float(np.floor(least * 1e6) / 1e6),
            accuracy=round(float(right[kept].mean()), 6),
        )
    return tuple(points.values())
