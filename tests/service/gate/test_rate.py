"""When the engine's rate is measured, and what changes it."""

from __future__ import annotations

import pytest

from service.gate.rate import Rate


def worked(rate: Rate, tokens: int, begun: float, seconds: float, *, waits: bool = True) -> None:
    """As much runs all the time, and so many tokens are done in the end."""
    rate.running(100, begun, waits=waits)
    rate.done(tokens, begun + seconds)
    rate.running(100, begun + seconds, waits=False)


def test_little_work_says_nothing() -> None:
    rate = Rate()
    worked(rate, 1000, 0, 10, waits=False)
    assert rate.value is None


def test_what_waits_what_is_much_and_what_is_refused_do() -> None:
    waiting, much, refusing = Rate(), Rate(), Rate()
    worked(waiting, 1000, 0, 10)
    much.running(5000, 0, waits=False)
    much.done(1000, 10)
    refusing.refused(0)
    refusing.done(1000, 10)
    assert waiting.value == much.value == refusing.value == 100


def test_it_follows_slowly_but_takes_what_was_done_for_possible() -> None:
    rate = Rate()
    worked(rate, 1000, 0, 10)
    worked(rate, 500, 100, 10)
    assert rate.value == pytest.approx(85)
    worked(rate, 1000, 200, 3)  # too short for a mean, but more than twice as much
    assert rate.value == pytest.approx(1000 / 3)


def test_what_was_begun_meanwhile_is_half_done() -> None:
    rate = Rate()
    rate.running(4000, 0, waits=True)
    rate.running(8000, 5, waits=True)
    rate.done(1000, 10)
    assert rate.value == 300


def test_nothing_done_is_no_rate() -> None:
    rate = Rate()
    worked(rate, 0, 0, 10)
    assert rate.value is None
