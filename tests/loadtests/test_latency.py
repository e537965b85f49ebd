"""Percentiles, rates and goodput of samples that are known."""

from __future__ import annotations

import pytest

from loadtests.latency import Objective, Sample, percentiles, summarise


def sample(due: float, total: float, **fields: float | str | None) -> Sample:
    usual = {"first_label": None, "first_token": None, "tokens": 10, "labels": 1, "error": None}
    return Sample(due=due, sent=due, end=due + total, **(usual | fields))  # type: ignore[arg-type]


def test_percentiles_are_times_that_were_measured() -> None:
    found = percentiles([number / 1000 for number in range(1, 101)])
    assert found is not None
    assert (found.p50, found.p90, found.p95, found.p99, found.highest) == pytest.approx(
        (50, 90, 95, 99, 100)
    )
    assert percentiles([]) is None


def test_waiting_for_a_free_client_counts() -> None:
    late = Sample(0.0, 5.0, 5.5, None, 6.0, 0, 1)
    found = summarise([late])
    assert found.first_label is not None
    assert found.first_label.p50 == pytest.approx(5500)


def test_rates_and_errors() -> None:
    samples = [sample(0, 1), sample(1, 1), sample(0, 4, error="TimeoutError", tokens=99)]
    found = summarise(samples)
    assert (found.requests, found.errors, found.labels) == (3, 1, 2)
    assert found.failures == {"TimeoutError": 1}
    assert found.seconds == 4
    assert found.requests_per_second == pytest.approx(0.5)
    assert found.tokens_per_second == pytest.approx(5)
    assert found.total is not None
    assert found.total.highest == pytest.approx(1000)


def test_goodput_counts_what_kept_both_times() -> None:
    samples = [
        sample(0, 1, first_label=0.2),
        sample(0, 1, first_label=0.9),
        sample(0, 3, first_label=0.2),
        sample(0, 0.3),
        sample(0, 0.8),  # no label before the end: the end is the first label
    ]
    found = summarise(samples, Objective(first_label=500, total=2000))
    assert found.goodput == pytest.approx(2 / 3)


def test_nothing_is_nothing() -> None:
    found = summarise([])
    assert (found.requests, found.requests_per_second, found.total) == (0, 0, None)
    assert found.to_json()["errors"] == 0
