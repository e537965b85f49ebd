"""How cost grows, and how near it comes to the machine's limit: measurements of our server alone.

Each takes a `Field` and gives figures and goals' values.
"""

from __future__ import annotations

import time
from dataclasses import asdict

from imhi.tasks import DATASETS, QUESTIONS, Question
from imhi.wording import query_tail
from loadtests.ceilings import Ceilings
from loadtests.clients import Analyze, Ask
from loadtests.field import Field
from loadtests.measured import Measured, Size
from loadtests.needed import decoding_bytes, operations, shared_reads
from loadtests.workload import Item, mixed, of_length
from service.cli.terminal import notice

ALL: tuple[Question, ...] = tuple(QUESTIONS.values())
STRESS = QUESTIONS["stress"]


async def questions(bench: Field, size: Size) -> Measured:
    """What more questions cost, at posts of 300 tokens."""
    found = Measured("questions")
    client = Analyze(bench.web, (await bench.ours()).url)
    counts = (1, 2, 4, 8, len(ALL))
    for number in range(size.rounds):
        items = of_length(size.labelled, 300, bench.count, seed=number)
        for count in counts:
            asked = (STRESS, *(one for one in ALL if one is not STRESS))[:count]
            asks = [Ask(item.post, asked, explained=False) for item in items]
            found.add(str(count), await bench.measure(client, asks, size.concurrency))
            say("questions", number, str(count), found)
    ratio = found.ratio("1", str(len(ALL)))
    found.goals["labels.questions"] = (ratio, f"{len(ALL)} questions against one")
    return found


async def lengths(bench: Field, size: Size) -> Measured:
    """What longer posts cost, with all questions on each."""
    found = Measured("lengths")
    client = Analyze(bench.web, (await bench.ours()).url)
    for tokens in size.lengths:
        items = of_length(max(size.labelled // 4, 8), tokens, bench.count)
        asks = [Ask(item.post, ALL, explained=False) for item in items]
        found.add(str(tokens), await bench.measure(client, asks, size.concurrency))
        say("lengths", 0, str(tokens), found)
    return found


async def explanation_share(bench: Field, size: Size) -> Measured:
    """What explanations cost: none of the posts explained, a part of them, all."""
    found = Measured("explanation_share")
    client = Analyze(bench.web, (await bench.ours()).url)
    items = mixed(size.explained, bench.count, seed=300)
    for percent in size.shares:
        share = percent * len(items) // 100
        asks = [
            Ask(item.post, (question_of(item),), explained=place < share)
            for place, item in enumerate(items)
        ]
        found.add(str(percent), await bench.measure(client, asks, size.concurrency))
        say("explanation_share", 0, str(percent), found)
    return found


async def concurrency(bench: Field, size: Size) -> Measured:
    """Throughput and latency by how many requests are open at once."""
    found = Measured("concurrency")
    client = Analyze(bench.web, (await bench.ours()).url, stream=True)
    items = mixed(size.explained, bench.count, seed=400)
    for many in size.levels:
        asks = [single(item) for item in items[: max(8, min(len(items), many * 4))]]
        found.add(str(many), await bench.measure(client, asks, many))
        say("concurrency", 0, str(many), found)
    return found


async def limits(bench: Field, size: Size, ceilings: Ceilings) -> Measured:
    """How near prefill and decoding come to what the machine can do."""
    found = Measured("limits")
    client = Analyze(bench.web, (await bench.ours()).url)
    tokens = 900
    items = of_length(max(size.labelled // 2, 8), tokens, bench.count, seed=700)
    asks = [Ask(item.post, (STRESS,), explained=False) for item in items]
    summary = await bench.measure(client, asks, size.concurrency)
    span = shared_reads(tokens, [bench.count(query_tail(STRESS))])
    done = operations(bench.shape, span) * summary.requests_per_second
    share = {"operations_per_second": done, "share": done / ceilings.products}
    found.add("prefill", {**summary.to_json(), **share})
    found.goals["limit.prefill"] = (
        done / ceilings.products,
        f"posts of {tokens} tokens: {done / 1e9:,.0f} of {ceilings.products / 1e9:,.0f} GFLOP/s",
    )
    step, context = await _decoding_step(bench)
    moved = decoding_bytes(bench.shape, context) / step
    share = {"bytes_per_second": moved, "share": moved / ceilings.reading}
    found.add("decode", {"seconds_per_token": step, **share})
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
    url = f"{(await bench.ours()).url}/v1/completions"
    seconds = []
    for tokens in (few, few, many):
        begun = time.perf_counter()
        body = {
            "model": bench.model.name,
            "prompt": prompt,
            "max_tokens": tokens,
            "ignore_eos": True,
            "temperature": 0.0,
        }
        async with bench.web.post(url, json=body) as response:
            response.raise_for_status()
            await response.read()
        seconds.append(time.perf_counter() - begun)
    return (seconds[2] - seconds[1]) / (many - few), 64 + (many + few) // 2


def question_of(item: Item) -> Question:
    """A question of the set that the post's length was drawn from."""
    return DATASETS[item.set].questions[0] if item.set else STRESS


def single(item: Item) -> Ask:
    """That question on the post, explained."""
    return Ask(item.post, (question_of(item),), explained=True)


def say(name: str, number: int, way: str, found: Measured) -> None:
    """Tell what the last row of a way came to."""
    row = found.rows[way][-1]
    failures = ", ".join(f"{count} {kind}" for kind, count in row.get("failures", {}).items())
    notice(
        f"{name}, round {number + 1}, {way}: {row.get('requests_per_second', 0):.2f} requests/s, "
        f"{row.get('tokens_per_second', 0):.0f} tokens/s, {failures or 'no'} errors"
    )
