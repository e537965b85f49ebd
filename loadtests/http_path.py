"""What HTTP costs: beside the engine in process, on an engine that takes no time, beside vLLM."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from loadtests.bench import Bench, open_bench
from loadtests.clients import Analyze, Ask, Chat
from loadtests.drive import Answered, closed_loop, open_loop
from loadtests.field import Field
from loadtests.latency import summarise
from loadtests.measured import Measured, Size
from loadtests.measures import ALL
from loadtests.servers import PLAIN_NAME, running
from loadtests.workload import mixed
from service.analysis.types import Explain, Options

OVERHEAD_RATE = 200.0
"""Requests a second, of which most of a second is waiting in between."""

_OVERHEAD_SECONDS = 15
_OVERHEAD_POSTS = 200


class InProcess:
    """The same reads by an `Analyzer` in this process."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._number = 0

    async def __call__(self, ask: Ask) -> Answered:
        """See `loadtests.clients.Client`."""
        self._number += 1
        analysis = await self._bench.analyzer.analyze(
            ask.post, ask.questions, Options(explain=Explain.NEVER), f"in-process-{self._number}"
        )
        return Answered(labels=sum(not one.decision.abstained for one in analysis.answers))


async def throughput(bench: Field, size: Size, model: str) -> Measured:
    """Labels by `/analyze` against the engine in process, chat completions against vLLM's."""
    found = Measured("http")
    url = (await bench.ours()).url
    over_http = Analyze(bench.web, url)
    ours = Chat(bench.web, url, bench.model.name)
    plain = Chat(bench.web, (await bench.plain()).url, PLAIN_NAME)
    async with open_bench(model) as engine:
        in_process = InProcess(engine)
        for number in range(max(size.rounds, 2)):
            items = mixed(size.labelled, bench.count, seed=900 + number)
            asks = [Ask(item.post, ALL, explained=False) for item in items]
            found.add("http", await bench.measure(over_http, asks, size.concurrency))
            await engine.forget()
            samples = await closed_loop(asks, in_process, size.concurrency)
            found.add("in_process", summarise(samples))
    for number in range(max(size.rounds, 2)):
        items = mixed(size.explained // 2, bench.count, seed=950 + number)
        chats = [Ask(item.post, ALL[:1], explained=True) for item in items]
        found.add("chat_ours", await bench.measure(ours, chats, size.concurrency))
        found.add("chat_plain", await bench.measure(plain, chats, size.concurrency))
    note = f"{max(size.rounds, 2)} rounds of {size.labelled} posts, {len(ALL)} questions each"
    found.goals["http.throughput"] = (found.ratio("http", "in_process"), note)
    figure = "tokens_per_second"
    found.goals["http.chat"] = (found.ratio("chat_ours", "chat_plain", figure), "tokens a second")
    return found


async def overhead(bench: Field, logs: Path) -> Measured:
    """Latency of `/analyze`, one question, labels only, when the engine takes no time."""
    found = Measured("overhead")
    command = [sys.executable, "-m", "loadtests.fake_server", str(bench.weights)]
    items = mixed(_OVERHEAD_POSTS, bench.count, seed=970)
    asks = [Ask(item.post, ALL[:1], explained=False) for item in items]
    number = round(OVERHEAD_RATE * _OVERHEAD_SECONDS)
    work = [asks[place % len(asks)] for place in range(number)]
    with running(command, logs / "fake.log", {}, ready="/livez") as server:
        client = Analyze(bench.web, server.url)
        await closed_loop(work[:400], client, 4)
        await asyncio.sleep(0.5)
        begun = time.process_time()
        summary = summarise(await open_loop(work, client, OVERHEAD_RATE))
        own = (time.process_time() - begun) / _OVERHEAD_SECONDS
    found.add("instant", {**summary.to_json(), "client_cpu_share": own})
    note = f"{number:,} requests at {OVERHEAD_RATE:.0f} a second, {summary.errors} errors"
    if summary.total is not None:
        found.goals["http.overhead.median"] = (summary.total.p50, note)
        found.goals["http.overhead.p99"] = (summary.total.p99, note)
    return found
