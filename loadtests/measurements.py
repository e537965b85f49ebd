"""What `make bench` measures, each measurement a function of the benchmark's servers and posts.

Requests are sent by vLLM's load generator. What is compared takes turns within a round, on one
machine, and a ratio is taken within a round; the median of the rounds counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

from imhi.tasks import QUESTIONS, Question
from imhi.wording import query_tail, render_query
from loadtests import servers
from loadtests.ceilings import measure_ceilings
from loadtests.generator import ALL, body_of, question_of
from loadtests.needed import decoding_bytes, operations, shared_reads
from loadtests.servers import PLAIN_NAME, StartError
from loadtests.testbed import Measured, Target, Testbed
from loadtests.transformers_baseline import TransformersBaseline
from loadtests.workload import Item, mixed, of_length
from service.cli.terminal import notice

TOP = 20
"""How many log-probabilities vLLM gives for a token at most, as it is set by default."""

_ALONE = ("--max-concurrency", "1")


Measure = Callable[[Testbed], Awaitable[Measured]]


async def start(bed: Testbed) -> Measured:
    """Seconds from starting `mentalllama serve` to its readiness, with every cache filled."""
    found = Measured()
    for number in range(1 + bed.size.starts):
        async with servers.ours(bed.asked, bed.folder / "start.log", bed.options) as server:
            seconds = server.started_after
        found.add("first" if number == 0 else "again", {"start_seconds": seconds})
        notice(f"start {number + 1}: ready after {seconds:.1f} s")
    found.figures["start.ready"] = found.median("again", "start_seconds")
    return found


async def stability(bed: Testbed) -> Measured:
    """Labels of posts alone and among 64 requests (`loadtests.determinism`)."""
    result = await _run_module(bed, "determinism", "--posts", str(bed.size.flips))
    found = Measured({"flips": [result]})
    found.figures["stability.flips"] = result["flip_rate"]
    found.figures["stability.difference"] = result["largest_difference"]
    return found


async def sharing(bed: Testbed) -> Measured:
    """Reads with the post before the question, and after it (`loadtests.sharing`)."""
    given = ("--posts", str(bed.size.shared), "--rounds", str(bed.size.rounds))
    result = await _run_module(bed, "sharing", *given)
    return Measured({"sharing": [result]}, {"labels.sharing": result["worth"]})


async def explained(bed: Testbed) -> Measured:
    """Label and explanation, one question a post, beside chat completions and the paper's way."""
    found, size = Measured(), bed.size
    ours, chat = await bed.ours(), (await bed.plain()).chat(PLAIN_NAME)
    paper = TransformersBaseline(bed.model.path, bed.dtype)
    for number in range(size.rounds):
        items = mixed(size.explained, bed.count, seed=number)
        # As chat completions: streamed, and without the read for consistency.
        bodies = _explained(bed, items, consistency=False)
        row = await bed.load("explained, ours", ours, bodies, *bed.most)
        found.add("ours", row)
        pairs = zip(bed.posts(items), items, strict=True)
        queries = [render_query(post, question_of(item)) for post, item in pairs]
        found.add("chat", await bed.load("explained, chat", chat, queries, *bed.most))
        rate = await paper.posts_per_second(spread(items, size.few))
        notice(f"explained, transformers.generate: {rate:.2f} posts/s")
        found.add("transformers", {"posts_per_second": rate})
    found.figures["explained.rate"] = found.median("ours", "posts_per_second")
    found.figures["explained.chat"] = found.ratio("ours", "chat")
    found.figures["explained.transformers"] = found.ratio("ours", "transformers")
    return found


def _explained(bed: Testbed, items: Sequence[Item], **fields: object) -> list[dict[str, Any]]:
    pairs = zip(bed.posts(items), items, strict=True)
    fields |= {"explain": "always", "stream": True}
    return [body_of(post, (question_of(item),), **fields) for post, item in pairs]


async def labels(bed: Testbed) -> Measured:
    """All questions on a post, labels only, beside one-token reads and chat completions."""
    found, size = Measured(), bed.size
    ours, plain = await bed.ours(), await bed.plain()
    one_token = ("--custom-output-len", "1", "--logprobs", str(TOP))
    ways: dict[str, tuple[Target, Sequence[str], Sequence[str]]] = {
        "reads": (plain.completions(PLAIN_NAME), one_token, [common_start(one) for one in ALL]),
        "chat": (plain.chat(PLAIN_NAME), (), [""] * len(ALL)),
    }
    for number in range(size.rounds):
        items = mixed(size.labelled, bed.count, seed=100 + number)
        bodies = [body_of(post, ALL) for post in bed.posts(items)]
        found.add("ours", await bed.load("labels, ours", ours, bodies, *bed.most))
        for way, (target, options, starts) in ways.items():
            queries = [
                f"{render_query(post, question)} {start}".rstrip()
                for post in bed.posts(spread(items, size.few))
                for question, start in zip(ALL, starts, strict=True)
            ]
            row = await bed.load(
                f"labels, {way}", target, queries, *bed.most, *options, each=len(ALL)
            )
            found.add(way, row)
    found.figures["labels.rate"] = found.median("ours", "posts_per_second")
    found.figures["labels.reads"] = found.ratio("ours", "reads")
    found.figures["labels.chat"] = found.ratio("ours", "chat")
    return found


async def questions(bed: Testbed) -> Measured:
    """What all questions cost over one, at posts of 300 tokens."""
    found, ours = Measured(), await bed.ours()
    for number in range(bed.size.rounds):
        items = of_length(bed.size.labelled, 300, bed.count, seed=number)
        for name, asked in (("one", (QUESTIONS["stress"],)), ("all", ALL)):
            bodies = [body_of(post, asked) for post in bed.posts(items)]
            found.add(name, await bed.load(f"questions, {name}", ours, bodies, *bed.most))
    found.figures["labels.questions"] = found.ratio("one", "all")
    return found


async def limits(bed: Testbed) -> Measured:
    """Prefill of long posts and decoding of one stream, as shares of what the machine reaches."""
    found, ours = Measured(), await bed.ours()
    # Measured now: what a virtual machine reaches changes within an hour.
    ceilings = measure_ceilings()
    tails = [bed.count(query_tail(question)) for question in ALL]
    items = of_length(bed.size.labelled, 900, bed.count, seed=700)
    bodies = [body_of(post, ALL) for post in bed.posts(items)]
    row = await bed.load("limits, prefill", ours, bodies, *bed.most)
    needed = sum(operations(bed.shape, shared_reads(item.tokens, tails)) for item in items)
    found.add("prefill", {**row, "operations": needed})
    found.figures["limit.prefill"] = needed / row["duration"] / ceilings.products
    before, tokens = 64, 144
    posts = bed.posts(of_length(3, before, bed.count, seed=800))
    options = (*_ALONE, "--ignore-eos", "--custom-output-len", str(tokens))
    stream = ours.completions(bed.model.name)
    row = await bed.load("limits, one stream", stream, posts, *options)
    moved = decoding_bytes(bed.shape, before + tokens // 2)
    found.add("one stream", {**row, "bytes_a_token": moved})
    rate = 1000 / row["median_tpot_ms"]
    found.figures["limit.decode"] = moved * rate / ceilings.reading
    found.figures["limit.decode.rate"] = rate
    found.add("ceilings", asdict(ceilings))
    return found


async def latency(bed: Testbed) -> Measured:
    """First label and whole answer alone, and at 70% of what the closed loop reaches."""
    found, ours, number = Measured(), await bed.ours(), bed.size.arrivals
    works = [_explained(bed, mixed(number, bed.count, seed=300 + one)) for one in range(3)]
    alone = await bed.load("latency, alone", ours, works[0][: number // 2], *_ALONE)
    full = await bed.load("latency, closed loop", ours, works[1], *bed.most)
    # An answer is good within five times what the 95th percentile takes alone.
    goodput = [f"{one}:{5 * alone[f'p95_{one}_ms']:.0f}" for one in ("ttft", "e2el")]
    rate = ("--request-rate", str(0.7 * full["request_throughput"]))
    loaded = await bed.load("latency, at 70%", ours, works[2], *rate, "--goodput", *goodput)
    for name, row in (("alone", alone), ("closed loop", full), ("at 70%", loaded)):
        found.add(name, row)
    found.figures["latency.first_label"] = loaded["p95_ttft_ms"] / alone["p95_ttft_ms"]
    found.figures["latency.first_label.p95"] = loaded["p95_ttft_ms"]
    found.figures["latency.answer.p95"] = loaded["p95_e2el_ms"]
    found.figures["latency.goodput"] = loaded["request_goodput"] / loaded["request_throughput"]
    return found


def spread(items: Sequence[Item], number: int) -> list[Item]:
    """So many of the posts, evenly over their lengths and in the order given."""
    if number >= len(items):
        return list(items)
    places = sorted(range(len(items)), key=lambda place: items[place].tokens)
    step = len(items) / number
    return [items[place] for place in sorted(places[int((n + 0.5) * step)] for n in range(number))]


def common_start(question: Question) -> str:
    """The words that most of a question's answers begin with, up to where these part.

    As part of the prompt, they make the next token the one that tells the label.
    """
    answers = [label.answer.split() for label in question.labels]
    start: list[str] = []
    while True:
        nexts = [words[len(start)] for words in answers if words[: len(start)] == start]
        word = max(set(nexts), key=nexts.count)
        if nexts.count(word) < 3 or nexts.count(word) * 2 <= len(answers):
            return " ".join(start)
        start.append(word)


async def _run_module(bed: Testbed, module: str, *given: str) -> dict[str, Any]:
    """Run another load test in a process of its own, since it loads an engine; its result.

    Raises:
        StartError: it did not end well.
    """
    file = bed.folder / f"{module}.json"
    command = [sys.executable, "-m", f"loadtests.{module}", "--model", bed.asked, *given]
    await run_to_end([*command, "--json", str(file), "--", *bed.options])
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


async def run_to_end(command: Sequence[str]) -> None:
    """Run a command to its end; an interrupt ends it with all that it started.

    Raises:
        StartError: it ended with another code than 0.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        if await process.wait() != 0:
            raise StartError(f"{' '.join(command[1:3])} ended with {process.returncode}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
