"""Every kind of work for a long time, at a load the service can carry, bad clients among it."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import aiohttp

from loadtests.clients import Analyze, Ask, Chat
from loadtests.drive import Answered, closed_loop, open_loop
from loadtests.endured import Endured, Verdict, over_time
from loadtests.held import BrokenAnswerError, Held, body_of, expect
from loadtests.latency import Sample, summarise
from loadtests.measures import ALL, question_of
from loadtests.overload import CONCURRENCY, flat_memory, honest
from loadtests.progress import told
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
    BROKEN = "broken"
    ABANDONED = "abandoned"


TURN = (
    *(Kind.EXPLAINED,) * 4,
    *(Kind.LABELS,) * 2,
    Kind.STREAM,
    Kind.CHAT,
    Kind.BROKEN,
    Kind.ABANDONED,
)
"""In this order, again and again."""

BAD = frozenset({Kind.BROKEN, Kind.ABANDONED})


@dataclass(slots=True)
class _Clients:
    """Sends a request of any kind."""

    web: aiohttp.ClientSession
    url: str
    held: Held
    stream: Analyze
    chat: Chat

    async def __call__(self, work: tuple[Kind, Ask]) -> Answered:
        kind, ask = work
        match kind:
            case Kind.STREAM:
                return await self.stream(ask)
            case Kind.CHAT:
                return await self.chat(ask)
            case Kind.BROKEN:
                return await self._broken(ask)
            case Kind.ABANDONED:
                return await self._abandoned(ask)
            case _:
                return await self.held(ask)

    async def _broken(self, ask: Ask) -> Answered:
        body = body_of(ask) | {"explain": "whenever"}
        async with self.web.post(f"{self.url}/analyze", json=body) as response:
            if response.status != 422:
                raise BrokenAnswerError
        return Answered()

    async def _abandoned(self, ask: Ask) -> Answered:
        try:
            async with asyncio.timeout(_GONE_AFTER):
                return await self.held(ask)
        except TimeoutError:
            return Answered()


async def soak(
    web: aiohttp.ClientSession, url: str, pid: int, items: Sequence[Item], seconds: float
) -> Endured:
    """Keep the service busy, and see whether it is at the end as it was at the beginning.

    Args:
        web: sends.
        url: of the server.
        pid: its first process.
        items: posts; each is asked about again and again.
        seconds: for how long.

    Raises:
        BrokenAnswerError: the server does not answer even alone.
    """
    every = [Ask(item.post, ALL, explained=False) for item in items]
    expected = await expect(web, url, every)
    held = Held(web, url, expected)
    clients = _Clients(
        web, url, held, Analyze(web, url, stream=True), Chat(web, url, await _model(web, url))
    )
    turn = [(kind, _ask(kind, item)) for kind, item in zip(TURN * len(items), items, strict=False)]
    measured = summarise(await closed_loop(turn, clients, CONCURRENCY))
    rate = SHARE * measured.requests_per_second
    number = max(len(TURN), round(seconds * rate))
    notice(
        f"Capacity: {measured.requests_per_second:.2f} requests a second of every kind. "
        f"{number:,} follow, {rate:.2f} a second."
    )
    work = [
        (kind := TURN[place % len(TURN)], _ask(kind, items[place % len(items)]))
        for place in range(number)
    ]
    async with watched(pid) as readings:
        samples = await open_loop(work, told(clients, number), rate)
    good = [sample for (kind, _), sample in zip(work, samples, strict=True) if kind not in BAD]
    bad = [sample for (kind, _), sample in zip(work, samples, strict=True) if kind in BAD]
    ill = sum(sample.error is not None for sample in bad)
    failed = Counter(sample.error for sample in good if sample.error)
    left = await _left(web, url)
    return Endured(
        title=f"Soak: {seconds / 60:g} minutes of every kind of work",
        about=(
            f"{number:,} requests at Poisson arrivals, {rate:.2f} a second, {SHARE:.0%} of what "
            "the service can do: of every ten four labels with explanations, two with all "
            "questions, a stream, a chat completion, a broken request and a client that goes away "
            f"after {_GONE_AFTER:g} s."
        ),
        seconds=seconds,
        verdicts=(
            *honest(failed),
            Verdict(
                "nothing is refused at this load",
                f"{held.refusals.total()} refused",
                not held.refusals,
            ),
            Verdict("broken requests are told so, with 422", f"{ill} were not", not ill),
            flat_memory(readings),
            _steady("open files", [one.files for one in readings]),
            _steady("threads", [one.threads for one in readings]),
            _as_fast(good),
            Verdict(
                f"the engine has nothing left within {_SETTLED_SECONDS:g} s",
                f"{left:g} requests",
                left == 0,
            ),
        ),
        samples=good,
        readings=readings,
        counts={
            **Counter(str(kind) for kind, _ in work),
            **{f"refused: {code}": count for code, count in held.refusals.items()},
            **failed,
        },
    )


def _ask(kind: Kind, item: Item) -> Ask:
    questions = ALL if kind is Kind.LABELS else (question_of(item),)
    return Ask(item.post, questions, explained=kind is not Kind.LABELS)


def _steady(what: str, values: Sequence[int]) -> Verdict:
    grown = growth(values)
    last = values[-1] if values else 0
    return Verdict(
        f"{what} grow by at most 10%, second quarter to last",
        f"{grown:+.1%}, to {last}",
        grown <= 0.1,
    )


def _as_fast(samples: Sequence[Sample]) -> Verdict:
    rows = [row["total"]["p95"] for row in over_time(samples) if row["total"]]
    quarter = len(rows) // 4
    if not quarter:
        return Verdict("the last quarter is as fast", "too short a run", held=False)
    ratio = statistics.median(rows[-quarter:]) / statistics.median(rows[quarter : 2 * quarter])
    return Verdict(
        f"the 95th percentile of the last quarter is at most {SLOWER:g} times the second's",
        f"{ratio:.2f} times",
        ratio <= SLOWER,
    )


async def _model(web: aiohttp.ClientSession, url: str) -> str:
    async with web.get(f"{url}/v1/models") as response:
        return str((await response.json())["data"][0]["id"])


async def _left(web: aiohttp.ClientSession, url: str) -> float:
    """Requests that the engine still has, once it had time to end them."""
    left = 0.0
    until = time.monotonic() + _SETTLED_SECONDS
    while time.monotonic() < until:
        async with web.get(f"{url}/metrics") as response:
            lines = (await response.text()).splitlines()
        left = sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(_RUNNING))
        if not left:
            break
        await asyncio.sleep(0.5)
    return left
