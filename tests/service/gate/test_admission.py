"""The door to the engine: who goes through, who waits, and who is told no."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from service.errors import OverloadedError
from service.gate.admission import Admission, Ticket
from service.gate.caller import Priority
from service.gate.refusals import DeadlineExceededError, DeadlineUnreachableError
from tests.service.test_metrics import sample

NOW, LATER = Priority.INTERACTIVE, Priority.BULK
ROUTE = "/analyze"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def door(
    clock: Clock, running: int | None = 100, queued: int = 1000, wait: float = 60
) -> Admission:
    return Admission(running, queued, wait, clock)


async def enter(admission: Admission, weight: int, priority=NOW, deadline=None) -> Ticket:
    return await admission.admit(ROUTE, weight, priority, deadline)


async def wait_for_turn(admission: Admission, weight: int, priority=NOW, deadline=None):
    """A task that waits in the queue."""
    task = asyncio.create_task(enter(admission, weight, priority, deadline))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def measured(clock: Clock, rate: int, **bounds) -> Admission:
    """A door whose engine was seen to do `rate` weighted tokens a second."""
    admission = door(clock, **bounds)
    weight = rate * 5
    first = await enter(admission, 10**6)
    waiting = await wait_for_turn(admission, 1)
    clock.now += 5
    # What is finished while something waits is what counts.
    admission._rate.done(weight, clock.now)
    admission.release(first, None)
    admission.release(await waiting, None)
    assert admission.rate == rate
    return admission


async def test_work_goes_through_until_the_engine_has_enough(clock: Clock):
    admission = door(clock)
    tickets = [await enter(admission, 40), await enter(admission, 60)]
    assert (admission.running, admission.queued) == (100, 0)
    waiting = await wait_for_turn(admission, 1)
    assert not waiting.done()
    assert (admission.running, admission.queued) == (100, 1)
    admission.release(tickets[0], None)
    await waiting
    assert (admission.running, admission.queued) == (61, 0)


async def test_what_is_heavier_than_the_engine_goes_alone(clock: Clock):
    admission = door(clock)
    small = await enter(admission, 10)
    huge = await wait_for_turn(admission, 500)
    behind = await wait_for_turn(admission, 10)
    admission.release(small, None)
    ticket = await huge
    assert not behind.done()
    admission.release(ticket, None)
    await behind


async def test_interactive_goes_before_bulk_and_each_in_order(clock: Clock):
    admission = door(clock)
    ticket = await enter(admission, 100)
    order: list[str] = []

    async def go(name: str, priority: Priority) -> None:
        mine = await enter(admission, 100, priority)
        order.append(name)
        admission.release(mine, None)

    names = [("b1", LATER), ("b2", LATER), ("i1", NOW), ("b3", LATER), ("i2", NOW)]
    tasks = []
    for name, priority in names:
        tasks.append(asyncio.create_task(go(name, priority)))
        await asyncio.sleep(0)
    admission.release(ticket, None)
    await asyncio.gather(*tasks)
    assert order == ["i1", "i2", "b1", "b2", "b3"]


async def test_light_interactive_work_overtakes_bulk_that_does_not_fit(clock: Clock):
    admission = door(clock)
    await enter(admission, 60)
    bulk = await wait_for_turn(admission, 80, LATER)
    await enter(admission, 40)  # at once
    assert not bulk.done()
    assert admission.admit_now(ROUTE, 1, LATER) is None
    bulk.cancel()


async def test_a_full_queue_refuses_at_once(clock: Clock):
    admission = door(clock, queued=50)
    ticket = await enter(admission, 100)
    waiting = await wait_for_turn(admission, 50)
    with pytest.raises(OverloadedError) as caught:
        await enter(admission, 1)
    assert caught.value.retry_after >= 1
    admission.release(ticket, None)
    await waiting


async def test_a_queue_of_many_light_requests_is_full_too(clock: Clock):
    admission = Admission(100, 1000, 60, clock, max_requests=2)
    await enter(admission, 100)
    waiting = [await wait_for_turn(admission, 1), await wait_for_turn(admission, 1, LATER)]
    with pytest.raises(OverloadedError):
        await enter(admission, 1)
    for task in waiting:
        task.cancel()


async def test_the_rate_is_measured_while_work_waits(clock: Clock):
    admission = door(clock)
    for _ in range(5):  # an idle engine says nothing of what it can do
        ticket = await enter(admission, 50)
        clock.now += 10
        admission.release(ticket, 50)
    assert admission.rate is None
    ticket = await enter(admission, 100)
    waiting = [await wait_for_turn(admission, 100) for _ in range(3)]
    for task in waiting:
        clock.now += 5
        admission.release(ticket, 100)
        ticket = await task
        assert admission.rate == 20
    admission.release(ticket, 100)


async def test_work_that_was_stopped_was_work(clock: Clock):
    admission = door(clock)
    ticket = await enter(admission, 100)
    waiting = await wait_for_turn(admission, 100)
    clock.now += 5
    admission.release(ticket, None, stopped=True)
    assert admission.rate == 10
    admission.release(await waiting, None)


async def test_what_would_wait_too_long_is_refused_at_once(clock: Clock):
    admission = await measured(clock, rate=10, wait=20)
    ticket = await enter(admission, 100)
    waiting = [await wait_for_turn(admission, 100), await wait_for_turn(admission, 100)]
    # 300 before it, of which 100 may run beside it: 30 s at 10 a second.
    with pytest.raises(OverloadedError) as caught:
        await enter(admission, 100)
    assert caught.value.retry_after == 10
    for task in [*waiting]:
        admission.release(ticket, None)
        ticket = await task


async def test_bulk_counts_what_interactive_work_does_not_wait_for(clock: Clock):
    admission = await measured(clock, rate=10, wait=20)
    await enter(admission, 100)
    waiting = [await wait_for_turn(admission, 100, LATER) for _ in range(2)]
    with pytest.raises(OverloadedError):
        await enter(admission, 100, LATER)
    waiting.append(await wait_for_turn(admission, 100, NOW))
    assert not waiting[-1].done()
    for task in waiting:
        task.cancel()


async def test_a_deadline_that_cannot_be_kept_is_refused_at_once(clock: Clock):
    admission = await measured(clock, rate=10)
    await enter(admission, 100)
    # Its 60 and the 100 before it take 16 s, and as much is allowed for what varies.
    with pytest.raises(DeadlineUnreachableError) as caught:
        await enter(admission, 60, deadline=clock.now + 29)
    assert (caught.value.status, caught.value.retry_after) == (503, 3)
    waiting = await wait_for_turn(admission, 60, deadline=clock.now + 33)
    assert not waiting.done()
    waiting.cancel()


async def test_a_deadline_counts_for_what_would_fit_too(clock: Clock):
    admission = await measured(clock, rate=100, running=None)
    heavy = await enter(admission, 5000, deadline=clock.now + 1)  # alone it may try
    with pytest.raises(DeadlineUnreachableError):
        await enter(admission, 100, deadline=clock.now + 100)
    assert admission.admit_now(ROUTE, 100, NOW, clock.now + 100) is None
    light = await enter(admission, 100, deadline=clock.now + 103)
    assert admission.running == heavy.weight + light.weight


async def test_beside_little_a_deadline_is_left_to_itself(clock: Clock):
    admission = await measured(clock, rate=10, running=None)
    for _ in range(5):  # what a few of them take says nothing of what more would
        await enter(admission, 100, deadline=clock.now + 5)
    with pytest.raises(DeadlineUnreachableError):
        await enter(admission, 100, deadline=clock.now + 5)


async def test_a_deadline_that_passes_in_the_queue(clock: Clock):
    admission = door(clock)
    ticket = await enter(admission, 100)
    with pytest.raises(DeadlineExceededError) as caught:
        await enter(admission, 10, deadline=clock.now + 0.01)
    assert caught.value.retry_after >= 1
    assert (admission.running, admission.queued) == (100, 0)
    admission.release(ticket, None)
    assert admission.running == 0


async def test_nothing_waits_longer_than_the_longest_wait(clock: Clock):
    admission = door(clock, wait=0.01)
    await enter(admission, 100)
    with pytest.raises(OverloadedError):
        await enter(admission, 10)
    assert admission.queued == 0


async def test_a_client_that_leaves_the_queue_leaves_no_trace(clock: Clock):
    admission = door(clock)
    ticket = await enter(admission, 100)
    heavy = await wait_for_turn(admission, 100)
    light = await wait_for_turn(admission, 1)
    heavy.cancel()
    await asyncio.gather(heavy, return_exceptions=True)
    assert admission.queued == 1
    admission.release(ticket, None)
    await light
    assert (admission.running, admission.queued) == (1, 0)


async def test_one_that_leaves_as_its_turn_comes_gives_it_back(clock: Clock):
    admission = door(clock)
    ticket = await enter(admission, 100)
    waiting = await wait_for_turn(admission, 100)
    admission.release(ticket, None)  # starts it, but it has not run since
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (admission.running, admission.queued) == (0, 0)


async def test_what_can_leave_makes_room_for_those_behind(clock: Clock):
    admission = door(clock)
    await enter(admission, 50)
    heavy = await wait_for_turn(admission, 90)
    light = await wait_for_turn(admission, 50)
    heavy.cancel()
    await light
    assert admission.running == 100


async def test_estimates_are_corrected_by_what_it_took(clock: Clock):
    admission = door(clock, running=1000)
    for _ in range(60):
        ticket = await enter(admission, 100)
        admission.release(ticket, 25)
    ticket = await enter(admission, 100)
    assert ticket.weight == pytest.approx(25, abs=1)
    other = await admission.admit("/v1/completions", 100, NOW)
    assert other.weight == 100


async def test_what_waits_and_runs_is_measured(clock: Clock):
    def values() -> list[float]:
        return [
            sample("mentalllama_running_tokens"),
            sample("mentalllama_queued_tokens"),
            sample("mentalllama_queued_requests", priority="interactive"),
            sample("mentalllama_queued_requests", priority="bulk"),
            sample("mentalllama_queue_seconds_count", priority="bulk"),
            sample("mentalllama_queue_seconds_sum", priority="bulk"),
        ]

    admission, before = door(clock), values()
    ticket = await enter(admission, 100)
    waiting = await wait_for_turn(admission, 30, LATER)
    assert [now - was for now, was in zip(values(), before, strict=True)] == [100, 30, 0, 1, 0, 0]
    clock.now += 4
    admission.release(ticket, None)
    admission.release(await waiting, None)
    assert [now - was for now, was in zip(values(), before, strict=True)] == [0, 0, 0, 0, 1, 4]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_comes_and_goes_the_books_are_right(clock: Clock, seed: int):
    random = Random(seed)
    admission = door(clock, queued=400)
    waiting: list[tuple[int, asyncio.Task[Ticket]]] = []
    running: list[Ticket] = []
    for _ in range(300):
        clock.now += random.random()
        match random.choice(("come", "come", "come", "end", "end", "leave")):
            case "come":
                weight = random.choice((1, 10, 50, 150))
                task = await wait_for_turn(admission, weight, random.choice(list(Priority)))
                waiting.append((weight, task))
            case "end" if running:
                admission.release(running.pop(random.randrange(len(running))), None)
            case "leave" if waiting:
                random.choice(waiting)[1].cancel()
        for _ in range(4):
            await asyncio.sleep(0)
        over = [task for _, task in waiting if task.done()]
        waiting = [(weight, task) for weight, task in waiting if not task.done()]
        outcomes = await asyncio.gather(*over, return_exceptions=True)
        running += [outcome for outcome in outcomes if isinstance(outcome, Ticket)]
        assert admission.running == sum(ticket.weight for ticket in running)
        assert admission.queued == sum(weight for weight, _ in waiting) <= 400
        assert admission.running <= 100 or len(running) == 1
        assert running or not waiting  # an idle engine keeps nobody waiting
    for _, task in waiting:
        task.cancel()
    await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
    for ticket in running:
        admission.release(ticket, None)
    assert (admission.running, admission.queued) == (0, 0)


async def test_a_deadline_that_has_passed(clock: Clock):
    with pytest.raises(DeadlineExceededError) as caught:
        await enter(door(clock), 1, deadline=clock.now)
    assert caught.value.status == 504
