"""How many posts a second each way of asking all questions answers, in one run on one engine.

Three ways take the same posts and the same 15 questions, without explanations:

- *as shipped*: `Analyzer.analyze`, the post before the question, all posts at once;
- *question first*: the same reads at the same branches of the answers, on prompts in which the
  question stands before the post, so that no two questions share a post's tokens;
- *free form*: a chat completion for each question and post, on the shipped prompt, whose text is
  then parsed into a label as the paper's evaluation does.

The ways take turns in every round, so that a machine that warms up or is disturbed meets all of
them. The prefix cache is emptied before every measurement: a round sends the posts of the last
round again, and free-form prompts begin with exactly the tokens that the shipped way leaves in the
cache, so whoever came second would find its work done.

    python -m loadtests.sharing --posts 32 --rounds 2 --json sharing.json
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from imhi.tasks import QUESTIONS
from loadtests.bench import Bench, machine, open_bench
from loadtests.posts import POSTS
from loadtests.ways import COMPLETION_TOKENS, Done, Way, all_ways
from service.cli.failures import failures_reported
from service.cli.terminal import notice, output

TITLES: Mapping[Way, str] = {
    Way.AS_SHIPPED: "(a) as shipped",
    Way.QUESTION_FIRST: "(b) question first",
    Way.FREE_FORM: f"(c) free form, {COMPLETION_TOKENS} tokens",
}
_WARMUP_POSTS = 2


@dataclass(frozen=True, slots=True)
class Measurement:
    """One way, once: what it did to how many posts in how many seconds, wall clock."""

    posts: int
    seconds: float
    done: Done

    @property
    def posts_per_second(self) -> float:
        """Throughput over all questions."""
        return self.posts / self.seconds


@dataclass(frozen=True, slots=True)
class Row:
    """One way over all rounds.

    Attributes:
        rounds: its measurements, in order.
        ratio: the shipped way's median throughput over this one's.
    """

    way: Way
    rounds: tuple[Measurement, ...]
    ratio: float

    @property
    def median(self) -> float:
        """Posts a second, the median of the rounds."""
        return _median(self.rounds)


async def measure(bench: Bench, posts: Sequence[str], rounds: int) -> dict[Way, list[Measurement]]:
    """Measure every way in every round; progress goes to standard error."""
    ways = all_ways(bench)
    for way, asks in ways.items():
        notice(f"Warming up: {TITLES[way]}")
        await asks.ask(posts[:_WARMUP_POSTS], f"warm-up-{way}")
    found: dict[Way, list[Measurement]] = {way: [] for way in ways}
    for number in range(rounds):
        for way, asks in ways.items():
            await bench.forget()
            started = time.perf_counter()
            done = await asks.ask(posts, f"round-{number}-{way}")
            one = Measurement(len(posts), time.perf_counter() - started, done)
            found[way].append(one)
            notice(
                f"Round {number + 1} of {rounds}: {TITLES[way]}: {one.posts_per_second:.2f} posts/s"
            )
    return found


def rows(found: Mapping[Way, Sequence[Measurement]]) -> list[Row]:
    """Sum up what was measured, a row a way."""
    shipped = _median(found[Way.AS_SHIPPED])
    return [Row(way, tuple(found[way]), shipped / _median(found[way])) for way in Way]


def table(found: Sequence[Row]) -> Table:
    """The rows for a person. Tokens are those of the first round; only cached ones can vary."""
    shown = Table(title="All questions on every post, label only")
    shown.add_column("way", no_wrap=True)
    for name in (
        "posts/s, each round",
        "median",
        "(a) is faster",
        "prompt tokens",
        "cached tokens",
        "with a label",
    ):
        shown.add_column(name, justify="right")
    for row in found:
        done = row.rounds[0].done
        shown.add_row(
            TITLES[row.way],
            " ".join(f"{one.posts_per_second:.2f}" for one in row.rounds),
            f"{row.median:.2f}",
            "" if row.way is Way.AS_SHIPPED else f"{row.ratio:.1f} times",
            f"{done.usage.prompt_tokens:,}",
            f"{done.usage.cached_tokens:,}",
            f"{done.labels / done.answers:.1%}",
        )
    return shown


def to_json(found: Sequence[Row], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The rows and the machine they were measured on; no posts and no completions."""
    return {
        "measured": "sharing",
        "machine": dict(facts),
        "posts": found[0].rounds[0].posts,
        "questions": len(QUESTIONS),
        "completion_tokens": COMPLETION_TOKENS,
        "ways": {
            row.way.value: {
                "posts_per_second": row.median,
                "shipped_is_faster": row.ratio,
                "rounds": [
                    {
                        "seconds": one.seconds,
                        "posts_per_second": one.posts_per_second,
                        "prompt_tokens": one.done.usage.prompt_tokens,
                        "cached_tokens": one.done.usage.cached_tokens,
                        "completion_tokens": one.done.usage.completion_tokens,
                        "answers": one.done.answers,
                        "answers_with_label": one.done.labels,
                    }
                    for one in row.rounds
                ],
            }
            for row in found
        },
    }


def _median(measurements: Sequence[Measurement]) -> float:
    return statistics.median(one.posts_per_second for one in measurements)


async def _run(model: str, posts: Sequence[str], rounds: int) -> tuple[list[Row], dict[str, Any]]:
    async with open_bench(model) as bench:
        return rows(await measure(bench, posts, rounds)), machine(bench)


def main(
    posts: Annotated[int, typer.Option(min=1, max=len(POSTS), help="How many posts.")] = len(POSTS),
    rounds: Annotated[int, typer.Option(min=1, help="How often each way is measured.")] = 2,
    model: Annotated[str, typer.Option(help="`embedded`, a directory or a hub id.")] = "embedded",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the result to this file.")
    ] = None,
) -> None:
    """Measure posts per second: shipped prompts, question-first prompts, free-form completions."""
    with failures_reported():
        found, facts = asyncio.run(_run(model, POSTS[:posts], rounds))
        output().print(table(found))
        if json_file is not None:
            json_file.write_text(json.dumps(to_json(found, facts), indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
