"""Every kind of work for a long time, at a load the service can carry, bad clients among it."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import aiohttp
import httpx

from imhi.wording import render_query
from loadtests.checked import (
    BROKEN,
    Check,
    CheckedClient,
    LongRun,
    check_errors,
    check_memory,
    latency_percentiles,
    read_alone,
)
from loadtests.generator import (
    ALL,
    EXPLANATION_TOKENS,
    NO_REUSE,
    Answered,
    Body,
    FailedAnswerError,
    ask,
    body_of,
    drive,
    question_of,
)
from loadtests.overload import CONCURRENCY
from loadtests.vitals import growth, watched
from loadtests.workload import Item
from service.cli.terminal import notice

SHARE = 0.6
"""Of the capacity: what a service that is sized well works at."""

SLOWER = 1.5
"""Most that the 95th percentile of the last quarter may be, over that of the second."""

_GONE_AFTER = 0.3
_SETTLED_SECONDS = 10.0
_RUNNING = ("vllm:num_requests_running", "vllm:num_requests_waiting")


class Kind(StrEnum):
    """What a client does."""

    EXPLAINED = "explained"
    LABELS = "all labels"
    STREAM = "stream"
    CHAT = "chat completion"
    INVALID = "invalid"
    ABANDONED = "abandoned"


TURN = (
    *(Kind.EXPLAINED,) * 4,
    *(Kind.LABELS,) * 2,
    Kind.STREAM,
    Kind.CHAT,
    Kind.INVALID,
    Kind.ABANDONED,
)
"""In this order, again and again."""

BAD = frozenset({Kind.INVALID, Kind.ABANDONED})


@dataclass(slots=True)
class _Clients:
    """Sends a request of any kind; a body is `{"kind": …, "body": …}`."""

    checked: CheckedClient

    async def __call__(self, session: aiohttp.ClientSession, url: str, work: Body) -> Answered:
        kind, body = Kind(work["kind"]), work["body"]
        if kind is Kind.STREAM:
            return await ask(session, url, body)
        if kind is Kind.CHAT or kind is Kind.INVALID:
            place = url.replace("/analyze", "/v1/chat/completions") if kind is Kind.CHAT else url
            async with session.post(place, json=body, headers=NO_REUSE) as response:
                if response.status != (200 if kind is Kind.CHAT else 422):
                    raise FailedAnswerError(BROKEN)
            return Answered()
        try:
            async with asyncio.timeout(_GONE_AFTER if kind is Kind.ABANDONED else None):
                return await self.checked(session, url, body)
        except TimeoutError:
            return Answered()


def _work(kind: Kind, item: Item, model: str) -> dict[str, Any]:
    question = question_of(item)
    body = body_of(item.post, (question,), explain="always", stream=kind is Kind.STREAM)
    if kind is Kind.LABELS:
        body = body_of(item.post, ALL)
    elif kind is Kind.INVALID:
        body["explain"] = "whenever"
    elif kind is Kind.CHAT:
        message = {"role": "user", "content": render_query(item.post, question)}
        body = {"model": model, "messages": [message], "max_tokens": EXPLANATION_TOKENS}
    return {"kind": kind, "body": body}


async def soak(url: str, pid: int, items: Sequence[Item], seconds: float) -> LongRun:
    """Keep the service busy, and see whether it is at the end as it was at the beginning.

    Args:
        url: of the server.
        pid: its first process.
        items: posts; each is asked about again and again.
        seconds: for how long.

    Raises:
        FailedAnswerError: the server does not answer even alone.
    """
    checked = CheckedClient(await read_alone(url, [body_of(item.post, ALL) for item in items]))
    clients, model = _Clients(checked), await _model(url)

    def work(number: int) -> list[dict[str, Any]]:
        return [
            _work(TURN[place % len(TURN)], items[place % len(items)], model)
            for place in range(number)
        ]

    most = ("--max-concurrency", str(CONCURRENCY))
    measured = await drive(url, work(max(len(TURN), len(items))), *most, asking=clients)
    rate = SHARE * measured["request_throughput"]
    sent = work(max(len(TURN), round(seconds * rate)))
    notice(f"Capacity: {measured['request_throughput']:.2f} requests a second of every kind.")
    notice(f"{len(sent):,} requests, {rate:.2f} a second:")
    async with watched(pid) as readings:
        found = await drive(url, sent, "--request-rate", str(rate), asking=clients)
    kinds = [Kind(one["kind"]) for one in sent]
    pairs = list(zip(kinds, found["errors"], strict=True))
    errors = [error for kind, error in pairs if kind not in BAD]
    unsaid = sum(bool(error) for kind, error in pairs if kind in BAD)
    left = await _left(url)
    return LongRun(
        title=f"Soak: {SHARE:.0%} of the capacity for {seconds / 60:g} minutes",
        checks=(
            *check_errors(errors),
            Check(
                "nothing is refused at this load",
                f"{checked.refusals.total()} refused",
                not checked.refusals,
            ),
            Check("invalid requests are answered with 422", f"{unsaid} were not", not unsaid),
            check_memory(readings),
            _steady("open files", [one.files for one in readings]),
            _steady("threads", [one.threads for one in readings]),
            _as_fast(kinds, found),
            Check(
                f"the engine has nothing left within {_SETTLED_SECONDS:g} s",
                f"{left:g} requests",
                left == 0,
            ),
        ),
        readings=readings,
        counts={
            **Counter(kinds),
            **{f"refused: {code}": count for code, count in checked.refusals.items()},
            **Counter(error for error in errors if error),
        },
        percentiles=latency_percentiles(found),
    )


def _steady(what: str, values: Sequence[int]) -> Check:
    grown = growth(values)
    last = values[-1] if values else 0
    return Check(
        f"{what} grow by at most 10%, second quarter to last",
        f"{grown:+.1%}, to {last}",
        grown <= 0.1,
    )


def _as_fast(kinds: Sequence[Kind], found: Mapping[str, Any]) -> Check:
    rows = zip(kinds, found["errors"], found["latencies"], strict=True)
    taken = [latency for kind, error, latency in rows if kind not in BAD and not error]
    quarter = len(taken) // 4
    what = f"the 95th percentile of the last quarter is at most {SLOWER:g} times the second's"
    if quarter < 2:
        return Check(what, "too short a run", passed=False)
    parts = (taken[quarter : 2 * quarter], taken[-quarter:])
    second, last = (statistics.quantiles(part, n=20)[-1] for part in parts)
    return Check(what, f"{last / second:.2f} times", last <= SLOWER * second)


async def _model(url: str) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        return str((await client.get(f"{url}/v1/models")).json()["data"][0]["id"])


async def _left(url: str) -> float:
    """Requests that the engine still has, once it had time to end them."""
    left = 0.0
    until = time.monotonic() + _SETTLED_SECONDS
    async with httpx.AsyncClient(trust_env=False) as client:
        while time.monotonic() < until:
            lines = (await client.get(f"{url}/metrics")).text.splitlines()
            left = sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(_RUNNING))
            if not left:
                break
            await asyncio.sleep(0.5)
    return left
