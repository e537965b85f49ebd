"""Agreement and correlations against figures worked out elsewhere."""

from __future__ import annotations

import math

import pytest

from training.annotate.agreement import alpha, correlation, pairs
from training.annotate.ratings import Rating


def rated(**numbers: str) -> list[Rating]:
    """A string of digits an annotator, a dot where an item was not rated."""
    return [
        Rating(f"item-{place}", annotator, "overall", int(digit))
        for annotator, digits in numbers.items()
        for place, digit in enumerate(digits)
        if digit != "."
    ]


def test_alpha_is_krippendorffs() -> None:
    # Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", part A, two observers of 10
    # units: 4 disagreements, 14 zeros and 6 ones, 1 - (20 - 1) * 4 * 2 / (2 * 14 * 6) = 0.095.
    found = alpha(rated(a="0100000010", b="1110010000"), level="nominal")
    assert found == pytest.approx(1 - 19 * 8 / 168)
    assert alpha(rated(a="01230123", b="01230123")) == pytest.approx(1)
    # On an ordinal scale a disagreement of one step weighs less than one of three.
    near, far = rated(a="00112233", b="10112233"), rated(a="00112233", b="30112233")
    assert alpha(near) > alpha(far)


def test_alpha_takes_what_is_missing_and_says_nothing_where_nothing_can_be_said() -> None:
    assert alpha(rated(a="012.", b="01.3", c=".123")) == pytest.approx(1)
    assert math.isnan(alpha(rated(a="0123")))
    assert math.isnan(alpha(rated(a="33", b="33")))
    assert math.isnan(alpha([]))


def test_pairs_of_annotators() -> None:
    found = pairs(rated(ana="0123", ben="0133", eva="3..."))
    assert [(pair.annotators, pair.items) for pair in found] == [
        (("ana", "ben"), 4),
        (("ana", "eva"), 1),
        (("ben", "eva"), 1),
    ]
    assert (found[0].exact, found[0].close) == (0.75, 1.0)
    # Quadratic weights: 1 - sum(w * observed) / sum(w * expected) with w = (i - j)^2:
    # observed 1 / 4; expected over the margins (1, 1, 1, 1) and (1, 1, 0, 2) / 16: 51 / 16.
    expected = 1 - (1 / 4) / (sum((i - j) ** 2 for i in (0, 1, 2, 3) for j in (0, 1, 3, 3)) / 16)
    assert found[0].kappa == pytest.approx(expected)
    assert (found[1].exact, found[1].close) == (0.0, 0.0)
    assert pairs(rated(ana="0.", ben=".1")) == ()


def test_correlation_is_of_ranks() -> None:
    people = {f"item-{number}": float(number) for number in range(8)}
    squares = {name: value**2 for name, value in people.items()}
    same = correlation(people, squares, resamples=200, seed=0)
    assert (same.items, same.spearman, same.kendall) == (8, pytest.approx(1), pytest.approx(1))
    assert same.low == pytest.approx(1)
    other = correlation(
        people, {name: -value for name, value in people.items()}, resamples=0, seed=0
    )
    assert other.spearman == pytest.approx(-1)
    assert math.isnan(other.low)
    # Ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 * 4 / (5 * 24) = 0.8.
    some = {f"item-{number}": value for number, value in enumerate((2.0, 1.0, 4.0, 3.0, 5.0))}
    assert correlation(people, some, resamples=0, seed=0).spearman == pytest.approx(0.8)


def test_correlation_of_what_does_not_vary_is_unknown() -> None:
    people = {f"item-{number}": float(number) for number in range(8)}
    assert math.isnan(correlation(people, dict.fromkeys(people, 1.0), resamples=9, seed=0).spearman)
    assert math.isnan(correlation(people, {"item-1": 1.0}, resamples=9, seed=0).spearman)
