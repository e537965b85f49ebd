from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from prometheus_client import REGISTRY

from service.lifecycle import Phase
from service.watchdog import Progress, Watchdog


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Client:
    """Puts out a number whenever it is told to go on."""

    def __init__(self) -> None:
        self.go = asyncio.Semaphore(0)
        self.closed = 0

    async def generate(self, prompt: str, *, count: int) -> AsyncGenerator[int, None]:
        try:
            for number in range(count):
                await self.go.acquire()
                yield number
        finally:
            self.closed += 1


async def alive() -> None:
    """An engine that lives."""


async def dead() -> None:
    raise RuntimeError("a secret of the engine")


async def test_silence_is_time_since_the_last_output_while_there_is_work():
    clock, client = Clock(), Client()
    progress = Progress(clock)
    progress.watch(client)
    clock.now += 50
    assert progress.silence == 0, "an idle engine is not silent"
    outputs = client.generate("prompt", count=2)
    first = asyncio.ensure_future(anext(outputs))
    await asyncio.sleep(0)
    clock.now += 3
    assert (progress.requests, progress.silence) == (1, 3)
    client.go.release()
    assert await first == 0
    assert progress.silence == 0
    clock.now += 2
    assert progress.silence == 2
    await outputs.aclose()
    assert (progress.requests, progress.silence, client.closed) == (0, 0, 1)


async def test_any_request_that_goes_on_is_progress():
    clock, client = Clock(), Client()
    progress = Progress(clock)
    progress.watch(client)
    stuck, lively = client.generate("a", count=1), client.generate("b", count=9)
    waiting = asyncio.ensure_future(anext(stuck))
    await asyncio.sleep(0)
    other = asyncio.ensure_future(anext(lively))
    await asyncio.sleep(0)
    clock.now += 5
    client.go.release()
    await asyncio.wait({waiting, other}, return_when=asyncio.FIRST_COMPLETED)
    assert progress.silence == 0
    for task in (waiting, other):
        task.cancel()
    await asyncio.gather(waiting, other, return_exceptions=True)
    for outputs in (stuck, lively):
        await outputs.aclose()
    assert progress.requests == 0


async def test_a_dead_engine_is_found(caplog):
    watchdog = Watchdog(dead, Progress(), patience=60, tick=0.001)
    assert await asyncio.wait_for(watchdog.until_failure(), 1) is Phase.DEAD
    assert "secret" not in caplog.text


async def test_a_stalled_engine_is_found_and_an_idle_one_left_alone():
    clock, client = Clock(), Client()
    progress = Progress(clock)
    progress.watch(client)
    waiting = asyncio.create_task(Watchdog(alive, progress, 10, tick=0.001).until_failure())
    clock.now += 1000
    await asyncio.sleep(0.01)
    assert not waiting.done()
    async with aclosing(client.generate("prompt", count=1)) as outputs:
        asking = asyncio.ensure_future(anext(outputs))
        await asyncio.sleep(0.01)
        clock.now += 9
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert REGISTRY.get_sample_value("mentalllama_engine_silence_seconds") == 9
        clock.now += 2
        assert await asyncio.wait_for(waiting, 1) is Phase.STALLED
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
