"""Several times as much work as the service can do, for minutes, each request with a deadline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from loadtests.checked import (
    Check,
    CheckedClient,
    LongRun,
    check_errors,
    check_memory,
    latency_percentiles,
    read_alone,
)
from loadtests.generator import FailedAnswerError, body_of, drive, question_of
from loadtests.vitals import watched
from loadtests.workload import Item
from service.cli.terminal import notice

CONCURRENCY = 32
KEPT = 0.8
"""Least of its capacity that the service goes on with while it refuses the rest, and after it."""


async def overload(
    url: str, pid: int, items: Sequence[Item], *, seconds: float, times: float, deadline: float
) -> LongRun:
    """Measure the capacity, send several times that, and check every answer.

    Args:
        url: of the server.
        pid: its first process.
        items: posts; each is asked about again and again, with one question, explained.
        seconds: for how long.
        times: of the capacity.
        deadline: seconds in which each answer must be complete.

    Raises:
        FailedAnswerError: the server does not answer even alone.
    """
    bodies = [body_of(item.post, (question_of(item),), explain="always") for item in items]
    client = CheckedClient(await read_alone(url, bodies))
    most = ("--max-concurrency", str(CONCURRENCY))
    # Once to fill caches, and for the service to learn what work takes.
    await drive(url, bodies, *most, asking=client)
    capacity = (await drive(url, bodies, *most, asking=client))["request_throughput"]
    if not capacity:
        raise FailedAnswerError("no answer while the capacity was measured")
    rate = times * capacity
    number = max(1, round(seconds * rate))
    notice(f"Capacity: {capacity:.2f} answers a second. {number:,} requests, {rate:.1f} a second:")
    client = CheckedClient(client.expected, deadline)
    work = [bodies[place % len(bodies)] for place in range(number)]
    async with watched(pid) as readings:
        found = await drive(url, work, "--request-rate", str(rate), asking=client)
    after = await drive(url, bodies, *most, asking=CheckedClient(client.expected))
    recovered = after["request_throughput"] / capacity
    begun = min(found["start_times"])
    in_time = sum(
        not error and start + latency <= begun + seconds
        for error, start, latency in zip(
            found["errors"], found["start_times"], found["latencies"], strict=True
        )
    )
    answers = latency_percentiles(found)
    return LongRun(
        title=f"Overload: {times:g} times the capacity for {seconds / 60:g} minutes",
        checks=(
            *check_errors(found["errors"]),
            Check(
                f"99 of 100 answers come within the deadline of {deadline:g} s",
                f"99th percentile {answers['p99'] / 1000:.1f} s",
                found["completed"] > 0 and answers["p99"] <= deadline * 1000,
            ),
            Check(
                f"{KEPT:.0%} of the capacity goes on being answered",
                f"{in_time:,} answers, {in_time / seconds / capacity:.0%}",
                in_time / seconds >= KEPT * capacity,
            ),
            check_memory(readings),
            Check(
                f"afterwards everything is answered, at {KEPT:.0%} of the capacity or more",
                f"{after['completed']} of {len(bodies)}, {recovered:.0%}",
                after["completed"] == len(bodies) and recovered >= KEPT,
            ),
        ),
        readings=readings,
        counts={
            "requests": number,
            "answered": found["completed"],
            **{f"refused: {code}": count for code, count in client.refusals.items()},
            **Counter(error for error in found["errors"] if error),
        },
        percentiles=answers,
    )
