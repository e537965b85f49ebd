"""The measurements of the benchmark: each takes a `Field` and gives figures and goals' values.

Ways take turns within a round and rounds are repeated, so that a machine that is disturbed for a
while disturbs all of them; a ratio is taken within a round, and the median of the rounds counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from imhi.tasks import DATASETS, QUESTIONS, Question
from imhi.wording import query_tail
from loadtests.ceilings import Ceilings
from loadtests.clients import Analyze, Ask, Chat, Client, Reads
from loadtests.drive import open_loop
from loadtests.field import Field
from loadtests.generate import Generate
from loadtests.latency import Objective, Summary, summarise
from loadtests.needed import decoding_bytes, operations, shared_reads, single_reads
from loadtests.servers import PLAIN_NAME
from loadtests.workload import Item, mixed, of_length
from service.cli.terminal import notice

ALL: tuple[Question, ...] = tuple(QUESTIONS.values())
_STRESS = QUESTIONS["stress"]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: of the ways that take turns.
        explained: posts a round that are explained.
        transformers: of these, how many `transformers.generate` gets: it is slow.
        labelled: posts a round that are labelled.
        concurrency: requests that are open at once.
        arrivals: requests of an open-loop run.
        rates: of these runs, as shares of the closed loop's throughput.
        growth: numbers of posts, to see whether cost grows with them.
    """

    rounds: int = 3
    explained: int = 64
    transformers: int = 16
    labelled: int = 48
    concurrency: int = 32
    arrivals: int = 120
    rates: tuple[float, ...] = (0.3, 0.5, 0.7, 0.85, 1.0)
    growth: tuple[int, ...] = (100, 1000, 10_000)


QUICK = Size(
    rounds=1,
    explained=24,
    transformers=8,
    labelled=16,
    arrivals=40,
    rates=(0.5, 0.7, 1.0),
    growth=(50, 200),
)


@dataclass(slots=True)
class Measured:
    """What a measurement found.

    Attributes:
        name: of the measurement.
        rows: way to what was measured, one a round.
        goals: goal id to value and note.
    """

    name: str
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    goals: dict[str, tuple[float, str]] = field(default_factory=dict)

    def add(self, way: str, summary: Summary | Mapping[str, Any]) -> None:
        """Keep a row."""
        row = summary.to_json() if isinstance(summary, Summary) else dict(summary)
        self.rows.setdefault(way, []).append(row)

    def ratio(self, over: str, under: str, figure: str = "requests_per_second") -> float:
        """Median over the rounds of one way's figure over another's."""
        pairs = zip(self.rows[over], self.rows[under], strict=True)
        return float(statistics.median(one[figure] / other[figure] for one, other in pairs))


async def explained(bench: Field, size: Size) -> Measured:
    """Label and explanation, one question a post: ours, plain chat completions, transformers."""
    found = Measured("explained")
    clients: dict[str, Client] = {
        "ours": Analyze(bench.web, bench.ours.url),
        "chat": Chat(bench.web, bench.plain.url, PLAIN_NAME),
    }
    generate = Generate(bench.weights)
    for number in range(size.rounds):
        asks = [_single(item) for item in mixed(size.explained, bench.count, seed=number)]
        for way, client in clients.items():
            found.add(way, await bench.measure(client, asks, size.concurrency))
            _say("explained", number, way, found)
        summary = summarise(generate.ask(asks[: size.transformers]))
        found.add("transformers", summary)
        _say("explained", number, "transformers", found)
    note = f"{size.rounds} rounds of {size.explained} posts, {size.concurrency} at a time"
    of = f"{note}; transformers had {size.transformers} of them"
    found.goals["explained.chat"] = (found.ratio("ours", "chat"), note)
    found.goals["explained.transformers"] = (found.ratio("ours", "transformers"), of)
    return found


async def labels(bench: Field, size: Size, ceilings: Ceilings) -> Measured:
    """All questions on a post, labels only: ours, chat completions, one-token reads.

    Each row says how much of the machine's limit it reached, by what the work needs when a post is
    computed once for all its questions, and when it is computed for each of them.
    """
    found = Measured("labels")
    tails = [bench.count(query_tail(question)) for question in ALL]
    clients: dict[str, Client] = {
        "ours": Analyze(bench.web, bench.ours.url),
        "chat": Chat(bench.web, bench.plain.url, PLAIN_NAME),
        "reads": Reads(bench.web, bench.plain.url, PLAIN_NAME),
    }
    for number in range(size.rounds):
        items = mixed(size.labelled, bench.count, seed=100 + number)
        asks = [Ask(item.post, ALL, explained=False) for item in items]
        shared, single = (
            sum(operations(bench.shape, needed(item.tokens, tails)) for item in items)
            for needed in (shared_reads, single_reads)
        )
        for way, client in clients.items():
            few = max(1, size.concurrency // (1 if way == "ours" else len(ALL)))
            summary = await bench.measure(client, asks, few)
            shares = {
                "limit_shared": shared / summary.seconds / ceilings.bf16,
                "limit_single": single / summary.seconds / ceilings.bf16,
            }
            found.add(way, {**summary.to_json(), **shares})
            _say("labels", number, way, found)
    note = f"{size.rounds} rounds of {size.labelled} posts, {len(ALL)} questions each"
    found.goals["labels.chat"] = (found.ratio("ours", "chat"), note)
    found.goals["labels.reads"] = (found.ratio("ours", "reads"), note)
    return found


async def questions(bench: Field, size: Size) -> Measured:
    """What more questions cost, at posts of 300 tokens."""
    found = Measured("questions")
    client = Analyze(bench.web, bench.ours.url)
    counts = (1, 2, 4, 8, len(ALL))
    for number in range(size.rounds):
        items = of_length(size.labelled, 300, bench.count, seed=number)
        for count in counts:
            asked = (_STRESS, *(one for one in ALL if one is not _STRESS))[:count]
            asks = [Ask(item.post, asked, explained=False) for item in items]
            found.add(str(count), await bench.measure(client, asks, size.concurrency))
            _say("questions", number, str(count), found)
    ratio = found.ratio("1", str(len(ALL)))
    found.goals["labels.questions"] = (ratio, f"{len(ALL)} questions against one")
    return found


async def lengths(bench: Field, size: Size) -> Measured:
    """What longer posts cost, with all questions on each."""
    found = Measured("lengths")
    client = Analyze(bench.web, bench.ours.url)
    for tokens in (30, 100, 300, 900, 1600):
        items = of_length(max(size.labelled // 4, 8), tokens, bench.count)
        asks = [Ask(item.post, ALL, explained=False) for item in items]
        found.add(str(tokens), await bench.measure(client, asks, size.concurrency))
        _say("lengths", 0, str(tokens), found)
    return found


async def explanation_share(bench: Field, size: Size) -> Measured:
    """What explanations cost: none of the posts explained, a part of them, all."""
    found = Measured("explanation_share")
    client = Analyze(bench.web, bench.ours.url)
    items = mixed(size.explained, bench.count, seed=300)
    for percent in (0, 10, 25, 50, 100):
        share = percent * len(items) // 100
        asks = [
            Ask(item.post, (_question(item),), explained=place < share)
            for place, item in enumerate(items)
        ]
        found.add(str(percent), await bench.measure(client, asks, size.concurrency))
        _say("explanation_share", 0, str(percent), found)
    return found


async def concurrency(bench: Field, size: Size) -> Measured:
    """Throughput and latency by how many requests are open at once."""
    found = Measured("concurrency")
    client = Analyze(bench.web, bench.ours.url, stream=True)
    items = mixed(size.explained, bench.count, seed=400)
    for many in (1, 2, 4, 8, 16, 32, 64, 128):
        asks = [_single(item) for item in items[: max(8, min(len(items), many * 4))]]
        found.add(str(many), await bench.measure(client, asks, many))
        _say("concurrency", 0, str(many), found)
    return found


async def growth(bench: Field, size: Size) -> Measured:
    """Time a post and memory, by how many posts come."""
    found = Measured("growth")
    client = Analyze(bench.web, bench.ours.url)
    for number in size.growth:
        items = mixed(number, bench.count, seed=500)
        asks = [Ask(item.post, (_question(item),), explained=False) for item in items]
        summary = await bench.measure(client, asks, size.concurrency)
        memory = {"resident_bytes": _resident(bench.ours.process.pid)}
        found.add(str(number), {**summary.to_json(), **memory})
        _say("growth", 0, str(number), found)
    return found


async def latency(bench: Field, size: Size) -> Measured:
    """The first label under load: unloaded, and at shares of the throughput at the knee."""
    found = Measured("latency")
    client = Analyze(bench.web, bench.ours.url, stream=True)
    asks = [_single(item) for item in mixed(size.arrivals, bench.count, seed=600)]
    alone = await bench.measure(client, asks[: max(20, size.arrivals // 4)], 1)
    found.add("unloaded", alone)
    _say("latency", 0, "unloaded", found)
    full = await bench.measure(client, asks, size.concurrency)
    found.add("saturated", full)
    _say("latency", 0, "saturated", found)
    if alone.first_label is None or alone.total is None:
        return found
    # Twice what an answer takes alone: what a person who waits for it would still call quick.
    objective = Objective(2 * alone.first_label.p95, 2 * alone.total.p95)
    for share in size.rates:
        await bench.forget()
        rate = share * full.requests_per_second
        summary = summarise(await open_loop(asks, client, rate), objective)
        found.add(f"{share:.0%}", {**summary.to_json(), "offered": rate})
        _say("latency", 0, f"{share:.0%}", found)
        if share == 0.7 and summary.first_label is not None:
            found.goals["latency.first_label"] = (
                summary.first_label.p95 / alone.first_label.p95,
                f"at {rate:.2f} requests/s, 70% of the closed loop's throughput",
            )
    return found


async def limits(bench: Field, size: Size, ceilings: Ceilings) -> Measured:
    """How near prefill and decoding come to what the machine can do."""
    found = Measured("limits")
    client = Analyze(bench.web, bench.ours.url)
    tokens = 900
    items = of_length(max(size.labelled // 2, 8), tokens, bench.count, seed=700)
    asks = [Ask(item.post, (_STRESS,), explained=False) for item in items]
    summary = await bench.measure(client, asks, size.concurrency)
    span = shared_reads(tokens, [bench.count(query_tail(_STRESS))])
    done = operations(bench.shape, span) * len(asks) / summary.seconds
    found.add("prefill", {**summary.to_json(), "operations_per_second": done})
    found.goals["limit.prefill"] = (
        done / ceilings.bf16,
        f"posts of {tokens} tokens: {done / 1e9:,.0f} of {ceilings.bf16 / 1e9:,.0f} GFLOP/s",
    )
    step, context = await _decoding_step(bench)
    moved = decoding_bytes(bench.shape, context) / step
    found.add("decode", {"seconds_per_token": step, "bytes_per_second": moved})
    found.goals["limit.decode"] = (
        moved / ceilings.reading,
        f"{1 / step:.1f} tokens/s; {moved / 1e9:.1f} of {ceilings.reading / 1e9:.1f} GB/s",
    )
    found.add("ceilings", asdict(ceilings))
    return found


async def _decoding_step(bench: Field) -> tuple[float, int]:
    """Seconds a token takes one stream of a plain completion, and the context it had on average."""
    few, many = 16, 144
    prompt = of_length(1, 64, bench.count, seed=800)[0].post
    seconds = []
    for tokens in (few, few, many):
        begun = time.perf_counter()
        body = {
            "model": bench.ours_name,
            "prompt": prompt,
            "max_tokens": tokens,
            "ignore_eos": True,
            "temperature": 0.0,
        }
        async with bench.web.post(f"{bench.ours.url}/v1/completions", json=body) as response:
            response.raise_for_status()
            await response.read()
        seconds.append(time.perf_counter() - begun)
    return (seconds[2] - seconds[1]) / (many - few), 64 + (many + few) // 2


def _question(item: Item) -> Question:
    """A question of the set that the post's length was drawn from."""
    return DATASETS[item.set].questions[0] if item.set else _STRESS


def _single(item: Item) -> Ask:
    return Ask(item.post, (_question(item),), explained=True)


def _resident(pid: int) -> int:
    """Bytes that a process and all it started hold in memory."""
    import psutil  # type: ignore[import-untyped]

    first = psutil.Process(pid)
    return sum(one.memory_info().rss for one in (first, *first.children(recursive=True)))


def _say(name: str, number: int, way: str, found: Measured) -> None:
    row = found.rows[way][-1]
    notice(
        f"{name}, round {number + 1}, {way}: {row.get('requests_per_second', 0):.2f} requests/s, "
        f"{row.get('tokens_per_second', 0):.0f} tokens/s, {row.get('errors', 0)} errors"
    )
