"""Closed and open loops: how many are open, when each is due, what a failure is."""

from __future__ import annotations

import asyncio
import statistics

import pytest

from loadtests.drive import Answered, arrivals, closed_loop, open_loop


def test_a_closed_loop_keeps_so_many_open() -> None:
    opened = most = 0

    async def send(number: int) -> Answered:
        nonlocal opened, most
        opened += 1
        most = max(most, opened)
        await asyncio.sleep(0.002)
        opened -= 1
        return Answered(tokens=number)

    samples = asyncio.run(closed_loop(range(20), send, 4))
    assert most == 4
    assert [sample.tokens for sample in samples] == list(range(20))


def test_an_open_loop_waits_for_nobody() -> None:
    opened = most = 0

    async def send(number: int) -> Answered:
        nonlocal opened, most
        opened += 1
        most = max(most, opened)
        await asyncio.sleep(0.2)
        opened -= 1
        return Answered(tokens=number)

    samples = asyncio.run(open_loop(range(20), send, 1000))
    assert most == 20
    assert [sample.tokens for sample in samples] == list(range(20))
    assert all(sample.sent >= sample.due for sample in samples)


def test_arrivals_are_poisson() -> None:
    times = arrivals(20_000, 50, seed=3)
    gaps = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
    assert statistics.mean(gaps) == pytest.approx(0.02, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(0.02, rel=0.05)
    assert times == arrivals(20_000, 50, seed=3)


def test_a_failure_is_told_by_its_name_alone() -> None:
    async def send(post: str) -> Answered:
        raise ValueError(post)

    [sample] = asyncio.run(closed_loop(["nobody may read this"], send, 1))
    assert sample.error == "ValueError"
