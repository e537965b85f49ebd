"""Threshold and abstention curves, against hand counts."""

from __future__ import annotations

import numpy as np
import pytest

from imhi.tasks import QUESTIONS
from training.calibrate.curves import (
    abstention_curve,
    best_threshold,
    least_probability,
    threshold_curve,
    top_label,
)
from training.calibrate.reads import Reads

# P(yes) and the reference of four posts.
PROBABILITIES = [0.9, 0.7, 0.4, 0.2]
REFERENCES = [0, 1, 0, 1]  # yes, no, yes, no


def reads() -> tuple[Reads, np.ndarray]:
    logs = np.log([[p, 1 - p] for p in PROBABILITIES])
    posts, sets = ("a", "b", "c", "d"), ("dreaddit",) * 4
    return Reads(QUESTIONS["stress"], logs, np.array(REFERENCES), posts, sets), logs


def test_thresholds_against_hand_counts():
    rows, logs = reads()
    points = {point.threshold: point for point in threshold_curve(logs, rows, "yes")}
    half = points[0.5]
    assert (half.precision, half.recall, half.f1) == (0.5, 0.5, 0.5)
    assert half.weighted_f1 == pytest.approx(0.5)
    low = points[0.3]  # three are given yes, two of them rightly
    assert (low.precision, low.recall) == (pytest.approx(2 / 3), 1.0)
    assert low.f1 == pytest.approx(0.8)
    assert low.weighted_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    high = points[0.95]
    assert (high.precision, high.recall, high.f1) == (None, 0.0, 0.0)


def test_the_best_threshold_must_be_worth_it():
    rows, logs = reads()
    points = threshold_curve(logs, rows, "yes")
    best = best_threshold(points, gain=0.01)
    assert best is not None
    assert best.threshold == 0.4  # 0.25 to 0.4 are equal: the nearest to 0.5
    assert best_threshold(points, gain=0.5) is None


def test_a_question_of_many_labels_gets_no_threshold():
    question = QUESTIONS["depression_cause"]
    logs = np.log(np.full((3, 6), 1 / 6))
    rows = Reads(question, logs, np.array([0, 1, 2]), ("a", "b", "c"), ("CAMS",) * 3)
    points = threshold_curve(logs, rows, "medication")
    assert {point.weighted_f1 for point in points} == {None}
    assert best_threshold(points, gain=0.0) is None


def test_abstention_against_hand_counts():
    rows, logs = reads()
    top, right = top_label(logs, rows)
    assert top == pytest.approx([0.9, 0.7, 0.6, 0.8])
    assert list(right) == [True, False, False, True]
    points = {point.min_probability: point for point in abstention_curve(top, right)}
    assert (points[0.0].coverage, points[0.0].accuracy) == (1.0, 0.5)
    assert (points[0.65].coverage, points[0.65].accuracy) == (0.75, pytest.approx(2 / 3))
    assert (points[0.95].coverage, points[0.95].accuracy) == (0.0, None)
    curve = abstention_curve(top, right)
    found = least_probability(curve, 0.9)
    assert found is not None
    assert found.min_probability == 0.75
    assert least_probability(curve[:3], 0.9) is None
