"""The service beside what a user would pick instead: same weights, same posts, in turns.

Ways take turns within a round and rounds are repeated, so that a machine that is disturbed for a
while disturbs all of them; a ratio is taken within a round, and the median of the rounds counts.
A way that answers one request or one batch at a time gets fewer of the posts, spread evenly over
their lengths: its rate does not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imhi.wording import query_tail
from loadtests.absent import AbsentError
from loadtests.ceilings import Ceilings
from loadtests.clients import Analyze, Ask, Chat, Client, Reads
from loadtests.encoder import BERT_BASE, Encoder, scaled
from loadtests.field import Field
from loadtests.generate import Generate
from loadtests.latency import summarise
from loadtests.llama_cpp_server import NAME as LLAMA_CPP
from loadtests.measured import Measured, Size
from loadtests.measures import ALL, say, single
from loadtests.needed import operations, shared_reads, single_reads
from loadtests.servers import PLAIN_NAME
from loadtests.workload import Item, mixed

ENCODERS: Mapping[str, str] = {"encoder": "float32", "encoder bf16": "bfloat16"}
"""Way to the type of its weights: as it is trained, and as fast as this machine can."""

STOPPED = "chat, stopped after the label"

TRANSFORMERS = "transformers"

ON_PAPER = " as BERT-base, on paper"


@dataclass(frozen=True, slots=True)
class _Way:
    """A way of asking over HTTP.

    Attributes:
        client: asks.
        concurrency: requests that are open at once.
        most: posts a round.
    """

    client: Client
    concurrency: int
    most: int


async def explained(bench: Field, size: Size) -> Measured:
    """Label and explanation, one question a post."""
    found = Measured("explained")
    many = size.concurrency
    ours, plain = await bench.ours(), await bench.plain()
    ways = {
        "ours": _Way(Analyze(bench.web, ours.url), many, size.explained),
        "ours, consistency too": _Way(
            Analyze(bench.web, ours.url, consistency=True), many, size.explained // 2
        ),
        "chat": _Way(Chat(bench.web, plain.url, PLAIN_NAME), many, size.explained),
        **await _llama_cpp(bench, found, size.few),
    }
    generate = _generate(bench, found)
    for number in range(size.rounds):
        items = mixed(size.explained, bench.count, seed=number)
        for way, one in ways.items():
            asks = [single(item) for item in spread(items, one.most)]
            found.add(way, await bench.measure(one.client, asks, one.concurrency))
            say("explained", number, way, found)
        if generate is not None:
            asks = [single(item) for item in spread(items, size.few)]
            found.add(TRANSFORMERS, summarise(await generate.ask(asks)))
            say("explained", number, TRANSFORMERS, found)
    note = f"{size.rounds} rounds of {size.explained} posts, {many} at a time"
    found.goals["explained.chat"] = (found.ratio("ours", "chat"), note)
    if generate is not None:
        of = f"{note}; transformers had {size.few} of them, in batches"
        found.goals["explained.transformers"] = (found.ratio("ours", TRANSFORMERS), of)
    return found


async def labels(bench: Field, size: Size, ceilings: Ceilings) -> Measured:
    """All questions on a post, labels only.

    Each row says how much of the machine's limit it reached, by what the work needs when a post is
    computed once for all its questions, and when it is computed for each of them.
    """
    found = Measured("labels")
    # As many open reads as ours has, whose one request asks all questions.
    few = max(1, size.concurrency // len(ALL))
    ours, plain = await bench.ours(), await bench.plain()
    ways = {
        "ours": _Way(Analyze(bench.web, ours.url), size.concurrency, size.labelled),
        "reads": _Way(Reads(bench.web, plain.url, PLAIN_NAME), few, size.few),
        "chat": _Way(Chat(bench.web, plain.url, PLAIN_NAME), few, size.few),
        STOPPED: _Way(Chat(bench.web, plain.url, PLAIN_NAME, stopped=True), few, size.few),
        **await _llama_cpp(bench, found, max(2, size.few // 4)),
    }
    encoders = _encoders(bench, found)
    needed = _Needed.of(bench, ceilings)
    for number in range(size.rounds):
        items = mixed(size.labelled, bench.count, seed=100 + number)
        for way, one in ways.items():
            given = spread(items, one.most)
            asks = [Ask(item.post, ALL, explained=False) for item in given]
            summary = await bench.measure(one.client, asks, one.concurrency)
            shares = needed.shares(given, summary.seconds)
            found.add(way, {**summary.to_json(), **shares})
            say("labels", number, way, found)
        for way, encoder in encoders.items():
            posts = [item.post for item in items]
            summary = summarise(await encoder.ask(posts))
            found.add(way, summary)
            say("labels", number, way, found)
            tokens = [encoder.tokens(post) for post in posts]
            rate = scaled(summary.requests_per_second, tokens, encoder.shape, BERT_BASE)
            found.add(f"{way}{ON_PAPER}", {"requests_per_second": rate})
    note = f"{size.rounds} rounds of {size.labelled} posts, {len(ALL)} questions each"
    stopped = f"{note}; {found.ratio('ours', STOPPED):.1f} times where these stop after the label"
    found.goals["labels.chat"] = (found.ratio("ours", "chat"), stopped)
    found.goals["labels.reads"] = (found.ratio("ours", "reads"), note)
    return found


def spread(items: Sequence[Item], number: int) -> list[Item]:
    """So many of the posts, evenly over their lengths and in the order given."""
    if number >= len(items):
        return list(items)
    places = sorted(range(len(items)), key=lambda place: items[place].tokens)
    step = len(items) / number
    return [items[place] for place in sorted(places[int((n + 0.5) * step)] for n in range(number))]


@dataclass(frozen=True, slots=True)
class _Needed:
    """Operations that label reads need, and what the machine could do."""

    bench: Field
    tails: Sequence[int]
    ceiling: float

    @classmethod
    def of(cls, bench: Field, ceilings: Ceilings) -> _Needed:
        return cls(bench, [bench.count(query_tail(one)) for one in ALL], ceilings.products)

    def shares(self, items: Sequence[Item], seconds: float) -> dict[str, float]:
        shared, alone = (
            sum(operations(self.bench.shape, needed(item.tokens, self.tails)) for item in items)
            for needed in (shared_reads, single_reads)
        )
        return {
            "limit_shared": shared / seconds / self.ceiling,
            "limit_single": alone / seconds / self.ceiling,
        }


async def _llama_cpp(bench: Field, found: Measured, most: int) -> dict[str, Any]:
    """The way through llama.cpp, or none and the reason in what was found."""
    try:
        server = await bench.llama_cpp()
    except AbsentError as error:
        found.absent[LLAMA_CPP] = str(error)
        return {}
    # One request at a time: a second one would only wait.
    return {LLAMA_CPP: _Way(Chat(bench.web, server.url, LLAMA_CPP, stopped=True), 1, most)}


def _generate(bench: Field, found: Measured) -> Generate | None:
    """The paper's way, or none and the reason in what was found."""
    try:
        return Generate(bench.weights, bench.dtype)
    except AbsentError as error:
        found.absent[TRANSFORMERS] = str(error)
        return None


def _encoders(bench: Field, found: Measured) -> dict[str, Encoder]:
    ready = {}
    for way, dtype in ENCODERS.items():
        try:
            ready[way] = Encoder(bench.folder, dtype)
        except AbsentError as error:
            found.absent[way] = str(error)
    return ready
