"""Several times as much work as the service can do, for minutes, each request with a deadline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from loadtests.drive import closed_loop, open_loop
from loadtests.endured import Endured, Verdict
from loadtests.held import BrokenAnswerError, Held, RefusedError, WrongAnswerError, expect
from loadtests.latency import Sample, percentiles, summarise
from loadtests.measures import single
from loadtests.progress import told
from loadtests.vitals import Reading, growth, watched
from loadtests.workload import Item
from service.cli.terminal import notice

CONCURRENCY = 32
FLAT = 0.05
"""Most that memory may grow once caches are full, as a share."""

KEPT = 0.8
"""Least of its capacity that the service goes on with while it refuses the rest, and after it."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent.

    Attributes:
        seconds: for how long.
        times: of the capacity.
        deadline: seconds in which each answer must be complete.
    """

    seconds: float
    times: float
    deadline: float


async def overload(
    web: aiohttp.ClientSession, url: str, pid: int, items: Sequence[Item], load: Load
) -> Endured:
    """Measure the capacity, send several times that, and hold every answer against what is right.

    Args:
        web: sends.
        url: of the server.
        pid: its first process.
        items: posts; each is asked about again and again, with one question, explained.
        load: how much.

    Raises:
        BrokenAnswerError: the server does not answer even alone.
    """
    asks = [single(item) for item in items]
    expected = await expect(web, url, asks)
    # Once to fill caches, and for the service to learn what work takes.
    await closed_loop(asks, Held(web, url, expected), CONCURRENCY)
    before = summarise(await closed_loop(asks, Held(web, url, expected), CONCURRENCY))
    if not before.requests_per_second:
        raise BrokenAnswerError
    rate = load.times * before.requests_per_second
    number = max(1, round(load.seconds * rate))
    notice(
        f"Capacity: {before.requests_per_second:.2f} answers a second. "
        f"{number:,} requests follow, {rate:.1f} a second."
    )
    client = Held(web, url, expected, load.deadline)
    async with watched(pid) as readings:
        work = [asks[place % len(asks)] for place in range(number)]
        samples = await open_loop(work, told(client, number), rate)
    after = summarise(await closed_loop(asks, Held(web, url, expected), CONCURRENCY))
    errors = Counter(sample.error for sample in samples if sample.error)
    return Endured(
        title=f"Overload: {load.times:g} times the capacity for {load.seconds / 60:g} minutes",
        about=(
            f"{number:,} requests, each for a label and its explanation, at Poisson arrivals, "
            f"{rate:.1f} a second where {before.requests_per_second:.2f} can be answered; each "
            f"carries a deadline of {load.deadline:g} s. Labels are held against those of the same "
            "posts with nobody else there."
        ),
        seconds=load.seconds,
        verdicts=(
            *honest(errors),
            _in_time(samples, load.deadline),
            _working(samples, load.seconds, before.requests_per_second),
            flat_memory(readings),
            Verdict(
                f"afterwards everything is answered, at {KEPT:.0%} of the capacity or more",
                f"{after.requests - after.errors} of {after.requests}, "
                f"{after.requests_per_second / before.requests_per_second:.0%}",
                after.errors == 0
                and after.requests_per_second >= KEPT * before.requests_per_second,
            ),
        ),
        samples=samples,
        readings=readings,
        counts={
            "answered": sum(sample.error is None for sample in samples),
            **{f"refused: {code}": count for code, count in client.refusals.items()},
            **{name: count for name, count in errors.items() if name != RefusedError.__name__},
        },
    )


def honest(errors: Counter[str]) -> tuple[Verdict, Verdict]:
    """That every answer is right, and everything else a clear refusal."""
    wrong = errors[WrongAnswerError.__name__]
    known = wrong + errors[RefusedError.__name__]
    broken = errors.total() - known
    return (
        Verdict("every answer is whole and has the right labels", f"{wrong} are wrong", not wrong),
        Verdict(
            "whatever is not answered is refused: status, code, Retry-After",
            f"{broken} are neither",
            not broken,
        ),
    )


def flat_memory(readings: Sequence[Reading]) -> Verdict:
    """That memory does not grow once caches are full."""
    grown = growth([reading.resident for reading in readings])
    last = readings[-1].resident / 2**20 if readings else 0.0
    return Verdict(
        f"memory grows by at most {FLAT:.0%}, second quarter to last",
        f"{grown:+.1%}, to {last:,.0f} MiB",
        bool(readings) and grown <= FLAT,
    )


def _in_time(samples: Sequence[Sample], deadline: float) -> Verdict:
    taken = percentiles([one.end - one.due for one in samples if one.error is None])
    highest = taken.p99 / 1000 if taken else float("inf")
    return Verdict(
        f"99 of 100 answers come within the deadline of {deadline:g} s",
        f"99th percentile {highest:.1f} s",
        highest <= deadline,
    )


def _working(samples: Sequence[Sample], seconds: float, capacity: float) -> Verdict:
    begun = min(one.due for one in samples)
    answered = sum(one.error is None and one.end <= begun + seconds for one in samples)
    share = answered / seconds / capacity
    return Verdict(
        f"{KEPT:.0%} of the capacity goes on being answered",
        f"{answered:,} answers, {share:.0%}",
        share >= KEPT,
    )
