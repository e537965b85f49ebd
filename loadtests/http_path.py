"""What HTTP costs: beside the engine in process, on an engine that takes no time, beside vLLM."""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
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

_OVERHEAD_ROUNDS = 3
_OVERHEAD_SECONDS = 6
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
            samples = await closed_loop(bench.fresh(asks), in_process, size.concurrency)
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
    """Latency of `/analyze`, one question, labels only, when the engine takes no time.

    A route without anything of ours takes turns with it: on a machine where that one takes long,
    so does ours.
    """
    found = Measured("overhead")
    command = [sys.executable, "-m", "loadtests.fake_server", str(bench.weights)]
    items = mixed(_OVERHEAD_POSTS, bench.count, seed=970)
    asks = [Ask(item.post, ALL[:1], explained=False) for item in items]
    number = round(OVERHEAD_RATE * _OVERHEAD_SECONDS)
    work = [asks[place % len(asks)] for place in range(number)]
    with (
        running(command, logs / "fake.log", {}, ready="/livez") as server,
        running([*command, "--bare"], logs / "bare.log", {}, ready="/livez") as control,
    ):
        clients = {
            way: Analyze(bench.web, one.url) for way, one in (("ours", server), ("bare", control))
        }
        for client in clients.values():
            await closed_loop(work[:400], client, 4)
        gc.collect()
        gc.freeze()  # the client's pauses are not the server's
        for turn in range(_OVERHEAD_ROUNDS):
            for way, client in clients.items():
                await asyncio.sleep(0.5)
                samples = await open_loop(work, client, OVERHEAD_RATE, seed=turn)
                found.add(way, summarise(samples).to_json())
        gc.unfreeze()
    ours, bare = ([row["total"] for row in found.rows[way]] for way in ("ours", "bare"))
    if all((*ours, *bare)):
        for goal, percentile in (("median", "p50"), ("p99", "p99")):
            value, without = (
                statistics.median(row[percentile] for row in rows) for rows in (ours, bare)
            )
            note = (
                f"{_OVERHEAD_ROUNDS} rounds of {number:,} requests at {OVERHEAD_RATE:.0f} a second"
            )
            found.goals[f"http.overhead.{goal}"] = (
                value,
                f"{note}; a route that does nothing took {without:.1f} ms in turns with it",
            )
    return found
