from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from service.errors import EngineError, NotReadyError
from service.lifecycle import ENDING, Lifecycle, Phase


def shown() -> dict[str, float]:
    return {
        phase: REGISTRY.get_sample_value("mentalllama_phase", {"phase": phase}) or 0
        for phase in Phase
    }


def test_phases_follow_each_other_and_are_shown():
    lifecycle = Lifecycle()
    for phase in (Phase.WARMING, Phase.READY, Phase.DRAINING, Phase.STOPPED):
        lifecycle.move(phase)
        assert lifecycle.phase is phase
        assert shown()[phase] == 1
    assert shown()[Phase.READY] == 0


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


@pytest.mark.parametrize("end", sorted(ENDING))
async def test_nothing_begins_at_the_end(end: Phase):
    lifecycle = Lifecycle()
    lifecycle.move(end)
    with pytest.raises(NotReadyError, match=end):
        lifecycle.begin()
    assert lifecycle.running == 0


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


async def test_idle_does_not_wait_for_ever():
    lifecycle = Lifecycle()
    lifecycle.begin()
    assert not await lifecycle.idle(0.01)


async def test_all_that_runs_is_told_once():
    lifecycle = Lifecycle()
    running = [lifecycle.begin() for _ in range(3)]
    first = EngineError("first")
    assert lifecycle.end_all(first) == 3
    lifecycle.end_all(EngineError("second"))
    assert [one.over.result() for one in running] == [first] * 3
