"""Sends requests: so many at a time, or as they come in.

`closed_loop` keeps a fixed number open, as a batch job does: it measures throughput. `open_loop`
sends each at its own time, whether or not earlier ones are answered, as people do: it measures
latency under a load that does not wait. Its arrivals are Poisson.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from loadtests.latency import Sample


@dataclass(frozen=True, slots=True)
class Answered:
    """What a way of asking saw of one answer; times on `time.perf_counter`'s clock.

    Attributes:
        first_label: see `Sample`.
        first_token: see `Sample`.
        tokens: of the completion.
        labels: how many answers have a label.
    """

    first_label: float | None = None
    first_token: float | None = None
    tokens: int = 0
    labels: int = 0


Work = TypeVar("Work")
Send = Callable[[Work], Awaitable[Answered]]
"""Sends one request and waits for its answer; what it raises is the request's error."""


async def closed_loop(work: Sequence[Work], send: Send[Work], concurrency: int) -> list[Sample]:
    """Send all of `work`, so many at a time.

    Returns:
        A sample for each, in the order of `work`. A request is due when a client is free for it.
    """
    samples: list[Sample | None] = [None] * len(work)
    left = iter(enumerate(work))

    async def client() -> None:
        for place, one in left:
            samples[place] = await _sample(one, send, time.perf_counter())

    await asyncio.gather(*(client() for _ in range(min(concurrency, len(work)))))
    return [sample for sample in samples if sample is not None]


async def open_loop(
    work: Sequence[Work], send: Send[Work], rate: float, *, seed: int = 0
) -> list[Sample]:
    """Send all of `work` at Poisson arrivals.

    Args:
        work: what to send.
        send: sends it.
        rate: requests a second, on average.
        seed: of the arrivals.

    Returns:
        A sample for each, in the order of `work`.
    """
    begun = time.perf_counter()

    async def arrive(one: Work, due: float) -> Sample:
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        return await _sample(one, send, due)

    times = arrivals(len(work), rate, seed)
    return list(
        await asyncio.gather(
            *(arrive(one, begun + after) for one, after in zip(work, times, strict=True))
        )
    )


def arrivals(number: int, rate: float, seed: int) -> list[float]:
    """Seconds from the start at which a Poisson process of this rate has its arrivals."""
    generator = random.Random(f"arrivals:{seed}")
    found, now = [], 0.0
    for _ in range(number):
        now += generator.expovariate(rate)
        found.append(now)
    return found


async def _sample(one: Work, send: Send[Work], due: float) -> Sample:
    sent = time.perf_counter()
    try:
        answered = await send(one)
    except Exception as error:  # noqa: BLE001 - whatever a client library raises
        # A failure is a result here; its text could hold what was sent, its name cannot.
        return Sample(due, sent, None, None, time.perf_counter(), 0, 0, type(error).__name__)
    return Sample(
        due=due,
        sent=sent,
        first_label=answered.first_label,
        first_token=answered.first_token,
        end=time.perf_counter(),
        tokens=answered.tokens,
        labels=answered.labels,
    )
