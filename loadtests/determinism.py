"""How often a label changes with what else is in the batch.

Every question is read on every post twice. *Alone*: one question at a time, nothing else in the
engine, the prefix cache emptied before each post, so that nothing but the post itself can matter.
*Crowded*: the same reads in a shuffled order under many concurrent requests, some of which generate
explanations of other questions all the while, so that batches are of every size and mix prefills
with decoding. The cache is emptied between the two: a crowded read must not be answered from blocks
that were computed alone.

A *flip* is a read whose likeliest label differs. The engine's products are summed in an order that
depends on the batch, so probabilities differ a little; a label flips only where the two likeliest
were nearly tied, and the margins of the flips are shown so that this can be seen.

    python -m loadtests.determinism --posts 80 --json determinism.json [-- --dtype float32]

What stands behind `--` are options of vLLM's engine. Throughput is measured on the same engine, so
that engines with fewer flips, or none, show what that costs.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any

import typer
from rich.table import Table

from imhi.tasks import QUESTIONS
from loadtests.bench import Bench, machine, open_bench
from loadtests.posts import MOST, at_most
from service.analysis.types import Explain, Options
from service.cli.failures import failures_reported
from service.cli.terminal import notice, output

SEED = 2309
_READ_ONLY = Options(explain=Explain.NEVER)
# Of the concurrent requests, one in four explains.
_EXPLAINERS = 4
# Lengths differ, so that explanations end, and others begin, all the time.
_EXPLANATION_TOKENS = (8, 64)
_EXPLAINED = 16
_EVERY = 150


@dataclass(frozen=True, slots=True)
class Case:
    """A question on a post: the post's number and the question's id."""

    post: int
    question: str


@dataclass(frozen=True, slots=True)
class Read:
    """What was read in one case: the likeliest label and all probabilities."""

    label: str
    probabilities: Mapping[str, float]

    @property
    def margin(self) -> float:
        """How far the likeliest label is ahead of the next."""
        first, second = sorted(self.probabilities.values(), reverse=True)[:2]
        return first - second


Reads = Mapping[Case, Read]


@dataclass(frozen=True, slots=True)
class Flip:
    """A case whose label was not the same.

    Attributes:
        margin: the margin when it was read alone.
    """

    post: int
    question: str
    alone: str
    crowded: str
    margin: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Reads alone against reads in a crowd.

    Attributes:
        reads: how many cases.
        flips: those that changed their label.
        interval: of the flip rate, Wilson's, at 95%.
        largest_difference: of a label's probability, over all cases.
        mean_difference: mean over the cases of the largest difference among the case's labels.
        smallest_margin: over all cases, alone: how near the model came to a tie.
    """

    reads: int
    flips: tuple[Flip, ...]
    interval: tuple[float, float]
    largest_difference: float
    mean_difference: float
    smallest_margin: float

    @property
    def flip_rate(self) -> float:
        """Share of the cases that flipped."""
        return len(self.flips) / self.reads


def wilson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a share (E. B. Wilson, 1927): right for shares near 0, where flips are.

    Raises:
        ValueError: there are no trials, or more hits than trials.
    """
    if not 0 <= hits <= trials or trials == 0:
        raise ValueError("an interval needs trials, and no more hits than trials")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    reach = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if hits == 0 else centre - reach
    high = 1.0 if hits == trials else centre + reach
    return low, high


def compare(alone: Reads, crowded: Reads) -> Comparison:
    """Compare two reads of the same cases.

    Raises:
        ValueError: the cases are not the same, or there are none.
    """
    if not alone or alone.keys() != crowded.keys():
        raise ValueError("the same cases must have been read twice")
    flips = tuple(
        Flip(case.post, case.question, read.label, crowded[case].label, read.margin)
        for case, read in alone.items()
        if read.label != crowded[case].label
    )
    differences = [
        max(abs(value - crowded[case].probabilities[label]) for label, value in both.items())
        for case, both in ((case, read.probabilities) for case, read in alone.items())
    ]
    return Comparison(
        reads=len(alone),
        flips=flips,
        interval=wilson(len(flips), len(alone)),
        largest_difference=max(differences),
        mean_difference=statistics.fmean(differences),
        smallest_margin=min(read.margin for read in alone.values()),
    )


def cases(posts: int) -> list[Case]:
    """Every question on each of so many posts."""
    return [Case(post, question) for post in range(posts) for question in QUESTIONS]


async def read_alone(bench: Bench, posts: Sequence[str]) -> dict[Case, Read]:
    """Read every case with nothing else in the engine and nothing of other posts in its cache."""
    found = {}
    for case in _counted("Alone", cases(len(posts))):
        if case.question == next(iter(QUESTIONS)):
            await bench.forget()
        found[case] = await _read(bench, posts, case, "alone")
    return found


async def read_crowded(bench: Bench, posts: Sequence[str], concurrency: int) -> dict[Case, Read]:
    """Read every case among `concurrency` requests, of which one in four is an explanation."""
    await bench.forget()
    chance = random.Random(SEED)
    shuffled = cases(len(posts))
    others = list(shuffled)
    chance.shuffle(shuffled)
    pending = _counted("Crowded", shuffled)
    found: dict[Case, Read] = {}
    reading = True

    async def read() -> None:
        for case in pending:
            found[case] = await _read(bench, posts, case, "crowded")

    async def explain(worker: int) -> None:
        number = 0
        while reading:
            case, number = chance.choice(others), number + 1
            await bench.analyzer.analyze(
                posts[case.post],
                (QUESTIONS[case.question],),
                Options(explanation_tokens=chance.randint(*_EXPLANATION_TOKENS)),
                f"explained-{worker}-{number}",
            )

    explainers = concurrency // _EXPLAINERS
    explaining = [asyncio.create_task(explain(worker)) for worker in range(explainers)]
    try:
        await asyncio.gather(*(read() for _ in range(concurrency - explainers)))
    finally:
        reading = False
        await asyncio.gather(*explaining)
    return found


async def _read(bench: Bench, posts: Sequence[str], case: Case, name: str) -> Read:
    analysis = await bench.analyzer.analyze(
        posts[case.post],
        (QUESTIONS[case.question],),
        _READ_ONLY,
        f"{name}-{case.post}-{case.question}",
    )
    answer = analysis.answers[0]
    # What a policy abstains from is a label all the same.
    return Read(answer.decision.candidate, answer.distribution.probabilities)


def _counted(name: str, items: Sequence[Case]) -> Iterator[Case]:
    """The items, with a line on standard error every so often."""
    for number, item in enumerate(items):
        if number % _EVERY == 0:
            notice(f"{name}: {number} of {len(items)} reads")
        yield item


@dataclass(frozen=True, slots=True)
class Throughput:
    """What the engine does at its busiest.

    Attributes:
        posts_per_second: all questions on each post, labels only, all posts at once.
        tokens_per_second: of explanations, one on each of up to 16 posts, all at once.
    """

    posts_per_second: float
    tokens_per_second: float


async def throughput(bench: Bench, posts: Sequence[str]) -> Throughput:
    """Measure it, with an empty cache."""
    questions = tuple(QUESTIONS.values())
    await bench.forget()
    started = time.perf_counter()
    await asyncio.gather(
        *(
            bench.analyzer.analyze(post, questions, _READ_ONLY, f"labels-{number}")
            for number, post in enumerate(posts)
        )
    )
    between = time.perf_counter()
    explained = Options(explain=Explain.ALWAYS, explanation_tokens=_EXPLANATION_TOKENS[1])
    done = await asyncio.gather(
        *(
            bench.analyzer.analyze(post, questions[:1], explained, f"texts-{number}")
            for number, post in enumerate(posts[:_EXPLAINED])
        )
    )
    ended = time.perf_counter()
    tokens = sum(one.usage.completion_tokens for one in done)
    return Throughput(len(posts) / (between - started), tokens / (ended - between))


@dataclass(frozen=True, slots=True)
class Result:
    """A comparison and how it came about; seconds are wall clock."""

    comparison: Comparison
    throughput: Throughput
    posts: int
    concurrency: int
    seconds_alone: float
    seconds_crowded: float
    machine: Mapping[str, Any]


def table(result: Result) -> Table:
    """The result for a person."""
    found = result.comparison
    low, high = found.interval
    margins = ", ".join(f"{flip.margin:.4f} ({flip.question})" for flip in found.flips)
    shown = Table(
        title=f"Labels alone and among {result.concurrency} requests, "
        f"{result.machine['model']} in {result.machine['dtype']}",
        show_header=False,
    )
    shown.add_row("reads", f"{found.reads:,}")
    shown.add_row("flips", str(len(found.flips)))
    shown.add_row("flip rate", f"{found.flip_rate:.3%}, 95% interval {low:.3%} to {high:.3%}")
    shown.add_row("largest probability difference", f"{found.largest_difference:.6f}")
    shown.add_row("mean probability difference", f"{found.mean_difference:.6f}")
    shown.add_row("smallest margin of all reads", f"{found.smallest_margin:.6f}")
    shown.add_row("margins of the flips", margins or "none")
    shown.add_row("all questions, posts/s", f"{result.throughput.posts_per_second:.2f}")
    shown.add_row("explanations, tokens/s", f"{result.throughput.tokens_per_second:.0f}")
    return shown


def to_json(result: Result) -> dict[str, Any]:
    """The result with the machine it was measured on; posts are numbers, never text."""
    found = result.comparison
    return {
        "measured": "determinism",
        "machine": dict(result.machine),
        "posts": result.posts,
        "questions": len(QUESTIONS),
        "concurrency": result.concurrency,
        "explaining": result.concurrency // _EXPLAINERS,
        "seed": SEED,
        "seconds": {"alone": result.seconds_alone, "crowded": result.seconds_crowded},
        "reads": found.reads,
        "flips": [asdict(flip) for flip in found.flips],
        "flip_rate": found.flip_rate,
        "flip_rate_interval_95": list(found.interval),
        "largest_difference": found.largest_difference,
        "mean_difference": found.mean_difference,
        "smallest_margin": found.smallest_margin,
        "throughput": asdict(result.throughput),
    }


async def _run(model: str, options: Sequence[str], number: int, concurrency: int) -> Result:
    posts = at_most(number)
    async with open_bench(model, options) as bench:
        started = time.perf_counter()
        alone = await read_alone(bench, posts)
        between = time.perf_counter()
        crowded = await read_crowded(bench, posts, concurrency)
        ended = time.perf_counter()
        return Result(
            comparison=compare(alone, crowded),
            throughput=await throughput(bench, posts),
            posts=len(posts),
            concurrency=concurrency,
            seconds_alone=between - started,
            seconds_crowded=ended - between,
            machine=machine(bench),
        )


def main(
    posts: Annotated[
        int, typer.Option(min=1, max=MOST, help="How many posts; beyond 32, halves of posts too.")
    ] = 80,
    concurrency: Annotated[int, typer.Option(min=4, help="Requests at a time, crowded.")] = 64,
    model: Annotated[str, typer.Option(help="`embedded`, a directory or a hub id.")] = "embedded",
    options: Annotated[
        list[str] | None, typer.Argument(help="Options of vLLM's engine, after `--`.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the result to this file.")
    ] = None,
) -> None:
    """Measure how often a label changes between running alone and among concurrent requests."""
    with failures_reported():
        result = asyncio.run(_run(model, options or [], posts, concurrency))
        output().print(table(result))
        if json_file is not None:
            json_file.write_text(json.dumps(to_json(result), indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
