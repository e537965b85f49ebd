"""The door to an engine that is asked for four times what it can do, in simulated time."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

import pytest

from service.errors import OverloadedError
from service.gate.admission import Admission
from service.gate.caller import Priority
from service.gate.refusals import DeadlineExceededError, DeadlineUnreachableError


class VirtualTime(asyncio.SelectorEventLoop):
    """An event loop that does not sleep: its clock jumps to whatever comes next."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self._now = max(self._now, self._scheduled[0].when())
        super()._run_once()


class SharedEngine:
    """Does so many tokens a second, shared by all that runs; one alone cannot use all of it."""

    def __init__(self, rate: float, alone: float, step: float) -> None:
        self.rate, self.alone, self.step, self.running = rate, alone, step, 0

    async def work(self, tokens: float) -> None:
        self.running += 1
        try:
            while tokens > 0:
                await asyncio.sleep(self.step)
                tokens -= self.step * min(self.alone, self.rate / self.running)
        finally:
            self.running -= 1


@pytest.mark.parametrize(
    ("running", "deadline", "busy", "too_late"),
    # A request takes one to three seconds alone: with three there is little to give away.
    [(None, 3, 0.5, 0.05), (None, 5, 0.9, 0.01), (16_000, 20, 0.97, 0.01)],
)
def test_four_times_the_load_for_five_minutes(
    running: int | None, deadline: float, busy: float, too_late: float
):
    """Accepted work is done in time; an engine of 1,600 tokens a second has enough to do."""
    random = Random(6)
    rate, alone, cold, seconds = 1600.0, 200.0, 30, 330
    done, late = 0.0, 0
    taken: list[float] = []
    refused: Counter[str] = Counter()

    async def request(admission: Admission, engine: SharedEngine) -> None:
        nonlocal done, late
        begun, tokens = admission.now(), random.randint(200, 600)
        try:
            ticket = await admission.admit("/analyze", 1000, Priority.INTERACTIVE, begun + deadline)
        except (DeadlineUnreachableError, DeadlineExceededError, OverloadedError) as error:
            refused[error.code] += 1
            return
        try:
            async with asyncio.timeout(begun + deadline - admission.now()):
                await engine.work(tokens)
        except TimeoutError:
            late += begun > cold  # until the rate is known, there is no telling
            admission.release(ticket, None, stopped=True)
            return
        admission.release(ticket, tokens)
        if begun > cold:
            done += tokens
            taken.append(admission.now() - begun)

    async def callers() -> Admission:
        loop = asyncio.get_running_loop()
        admission, engine = (
            Admission(running, 10**6, 60, loop.time),
            SharedEngine(rate, alone, deadline / 100),
        )
        tasks = set()
        while loop.time() < seconds:
            tasks.add(task := asyncio.create_task(request(admission, engine)))
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(random.expovariate(4 * rate / 400))
        await asyncio.gather(*tasks)
        return admission

    loop = VirtualTime()
    try:
        admission = loop.run_until_complete(callers())
    finally:
        loop.close()
    assert (admission.running, admission.queued) == (0, 0)
    # The engine has been kept busy, and what it could not do was refused before it cost anything.
    assert done > busy * rate * (seconds - cold)
    assert late <= too_late * len(taken)
    assert refused["deadline_unreachable"] > 0.98 * sum(refused.values())
    assert sorted(taken)[int(0.99 * len(taken))] < deadline
