from __future__ import annotations

import asyncio

import pytest

from service.errors import EngineError
from service.lifecycle import ENDING, Lifecycle, Phase


@pytest.mark.parametrize("end", sorted(ENDING))
def test_an_end_is_final(end: Phase):
    lifecycle = Lifecycle()
    lifecycle.move(end)
    lifecycle.move(Phase.READY)
    assert lifecycle.phase is end


def test_a_drain_can_become_a_failure():
    lifecycle = Lifecycle()
    lifecycle.move(Phase.DRAINING)
    lifecycle.move(Phase.DEAD)
    assert lifecycle.phase is Phase.DEAD


async def test_all_that_runs_is_told_once():
    lifecycle = Lifecycle()
    running = [lifecycle.begin() for _ in range(3)]
    first = EngineError("first")
    assert lifecycle.end_all(first) == 3
    lifecycle.end_all(EngineError("second"))
    assert [one.over.result() for one in running] == [first] * 3


async def test_idle_waits_for_what_runs():
    lifecycle = Lifecycle()
    assert await lifecycle.idle(0)
    first, second = lifecycle.begin(), lifecycle.begin()
    waiting = asyncio.create_task(lifecycle.idle(5))
    lifecycle.finish(first)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    lifecycle.finish(second)
    assert await waiting
