"""How often a label changes with what else is in the batch.

Every question is read on every post twice. *Alone*: one question at a time, nothing else in the
engine, the prefix cache emptied before each post. *Crowded*: the same reads in a shuffled order
under many concurrent requests, some of which generate explanations of other questions, so that
batches are of every size and mix prefills with decoding; the cache is emptied first, since a
crowded read must not be answered from blocks that were computed alone.

A *flip* is a read whose likeliest label differs. The engine's products are summed in an order that
depends on the batch, so probabilities differ a little; a label flips only where the two likeliest
were nearly tied, which the margins of the flips show.

    python -m loadtests.determinism --posts 80 --json determinism.json [-- --dtype float32]

Options after `--` are vLLM's.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any, NamedTuple

import typer

from imhi.tasks import QUESTIONS
from loadtests.engine import LocalEngine, machine, open_engine
from loadtests.workload import mixed, token_counter
from service.analysis.types import Explain, Options
from service.cli.failures import failures_reported
from service.cli.terminal import notice, output
from training.evaluate.document import Table
from training.evaluate.report_terminal import show_table

SEED = 2309
# Of the concurrent requests, one in four explains. Lengths differ, so that explanations end, and
# others begin, all the time.
_EXPLAINERS, _EXPLANATION_TOKENS = 4, (8, 64)


class Case(NamedTuple):
    """A question on a post: the post's number and the question's id."""

    post: int
    question: str


Probabilities = Mapping[str, float]
Reads = Mapping[Case, Probabilities]
"""Case to label to probability."""


def wilson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a share (E. B. Wilson, 1927): right for shares near 0, where flips are."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    reach = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    # At the ends the formula gives 0 and 1 but for rounding.
    return 0.0 if hits == 0 else centre - reach, 1.0 if hits == trials else centre + reach


def compare(alone: Reads, crowded: Reads) -> dict[str, Any]:
    """Compare two reads of the same cases; the result, as JSON, has posts by number.

    Raises:
        ValueError: the cases are not the same, or there are none.
    """
    if not alone or alone.keys() != crowded.keys():
        raise ValueError("the same cases must have been read twice")
    flips = [
        {**case._asdict(), "alone": _label(read), "crowded": label, "margin": _margin(read)}
        for case, read in alone.items()
        if (label := _label(crowded[case])) != _label(read)
    ]
    differences = [
        max(abs(value - crowded[case][label]) for label, value in read.items())
        for case, read in alone.items()
    ]
    return {
        "reads": len(alone),
        "flips": flips,
        "flip_rate": len(flips) / len(alone),
        "flip_rate_interval_95": wilson(len(flips), len(alone)),
        "largest_difference": max(differences),
        "mean_difference": statistics.fmean(differences),
        "smallest_margin": min(map(_margin, alone.values())),
    }


def _label(read: Probabilities) -> str:
    return max(read, key=read.__getitem__)


def _margin(read: Probabilities) -> float:
    """How far the likeliest label is ahead of the next."""
    first, second = sorted(read.values(), reverse=True)[:2]
    return first - second


def cases(posts: int) -> list[Case]:
    """Every question on each of so many posts."""
    return [Case(post, question) for post in range(posts) for question in QUESTIONS]


async def read_alone(engine: LocalEngine, posts: Sequence[str]) -> dict[Case, Probabilities]:
    """Read every case with nothing else in the engine and nothing of other posts in its cache."""
    found = {}
    for case in cases(len(posts)):
        if case.question == next(iter(QUESTIONS)):
            await engine.empty_cache()
        found[case] = await _read(engine, posts, case, "alone")
    return found


async def read_crowded(
    engine: LocalEngine, posts: Sequence[str], concurrency: int
) -> dict[Case, Probabilities]:
    """Read every case among `concurrency` requests, of which one in four is an explanation."""
    await engine.empty_cache()
    chance = random.Random(SEED)
    others = cases(len(posts))
    shuffled = chance.sample(others, len(others))
    pending = iter(shuffled)
    found: dict[Case, Probabilities] = {}

    async def read() -> None:
        for case in pending:
            found[case] = await _read(engine, posts, case, "crowded")

    async def explain(worker: int) -> None:
        number = 0
        while len(found) < len(shuffled):
            case, number = chance.choice(others), number + 1
            await engine.analyzer.analyze(
                posts[case.post],
                (QUESTIONS[case.question],),
                Options(explanation_tokens=chance.randint(*_EXPLANATION_TOKENS)),
                f"explained-{worker}-{number}",
            )

    explainers = concurrency // _EXPLAINERS
    async with asyncio.TaskGroup() as tasks:
        for worker in range(concurrency):
            tasks.create_task(explain(worker) if worker < explainers else read())
    return found


async def _read(engine: LocalEngine, posts: Sequence[str], case: Case, name: str) -> Probabilities:
    request = f"{name}-{case.post}-{case.question}"
    question, options = QUESTIONS[case.question], Options(explain=Explain.NEVER)
    analysis = await engine.analyzer.analyze(posts[case.post], (question,), options, request)
    return analysis.answers[0].distribution.probabilities


def table(result: Mapping[str, Any]) -> Table:
    """The result for a person."""
    low, high = result["flip_rate_interval_95"]
    margins = ", ".join(f"{one['margin']:.4f} ({one['question']})" for one in result["flips"])
    interval = f"95% interval {low:.3%} to {high:.3%}"
    rows = (
        ("flips", f"{len(result['flips'])} of {result['reads']:,} reads"),
        ("flip rate", f"{result['flip_rate']:.3%}, {interval}"),
        ("largest probability difference", f"{result['largest_difference']:.6f}"),
        ("mean probability difference", f"{result['mean_difference']:.6f}"),
        ("smallest margin of all reads", f"{result['smallest_margin']:.6f}"),
        ("margins of the flips", margins or "none"),
    )
    facts = result["machine"]
    title = f"Labels alone and among {result['concurrency']} requests, {facts['model']}"
    return Table(f"{title} in {facts['dtype']}", ("What", "Figure"), rows)


async def _run(model: str, options: Sequence[str], number: int, crowd: int) -> dict[str, Any]:
    async with open_engine(model, options) as engine:
        posts = [item.post for item in mixed(number, token_counter(engine.tokenizer))]
        notice(f"Reading {number} posts with {len(QUESTIONS)} questions each, alone …")
        alone = await read_alone(engine, posts)
        notice(f"The same among {crowd} requests …")
        found = compare(alone, await read_crowded(engine, posts, crowd))
        return {"machine": machine(engine), "posts": number, "concurrency": crowd, **found}


def main(
    posts: Annotated[int, typer.Option(min=1, help="How many posts.")] = 80,
    concurrency: Annotated[int, typer.Option(min=4, help="Requests at a time, crowded.")] = 64,
    model: Annotated[str, typer.Option(help="`embedded`, a directory or a hub id.")] = "embedded",
    options: Annotated[
        list[str] | None, typer.Argument(help="Options of vLLM, after `--`.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the result to this file.")
    ] = None,
) -> None:
    """Measure how often a label changes between running alone and among concurrent requests."""
    with failures_reported():
        result = asyncio.run(_run(model, options or [], posts, concurrency))
        show_table(table(result), output())
        if json_file is not None:
            json_file.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
