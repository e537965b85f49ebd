"""What it is worth that the questions on a post share its tokens, on one engine in this process.

The same reads, all questions on all posts without explanations, in two orders that take turns:

- *as shipped*: `Analyzer.analyze`, the post before the question;
- *question first*: at the same branches of the answers, on prompts in which the question comes
  before the post, so that no two questions share a post's tokens.

The prefix cache is emptied before each, since a round would find what the last one computed.

    python -m loadtests.sharing --posts 32 --rounds 2 --json sharing.json
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Annotated, Any

import typer

from imhi.tasks import QUESTIONS, Question
from imhi.wording import QUERY_HEAD, escape_post
from loadtests.engine import LocalEngine, machine, open_engine
from loadtests.workload import POSTS
from service.analysis.engine import Engine, RequestContext
from service.analysis.labels import LabelTrie
from service.analysis.manifest import PromptStyle
from service.analysis.prompt import PromptEncoder
from service.analysis.types import Explain, Options, Usage
from service.cli.failures import failures_reported
from service.cli.terminal import notice, output
from training.evaluate.document import Table
from training.evaluate.report_terminal import show_table

SHIPPED, QUESTION_FIRST = "as shipped", "question first"
ALL: tuple[Question, ...] = tuple(QUESTIONS.values())
_WARMUP_POSTS = 2

Read = Callable[[str, str], Awaitable[Usage]]
"""Reads all questions on a post, under the id of a request."""


class QuestionFirst:
    """The shipped reads, with the question before the post.

    Args:
        engine: where to read.
        tokenizer: the model's Hugging Face tokenizer.
        style: as the Analyzer's.
    """

    def __init__(self, engine: Engine, tokenizer: Any, style: PromptStyle) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._style = style
        encoder = PromptEncoder(tokenizer, style)
        self._branches = {
            question.id: LabelTrie.build(question, encoder.tail(question).continuations).branches
            for question in ALL
        }

    async def read(self, post: str, request_id: str) -> Usage:
        """Read all questions on a post."""
        context = RequestContext(request_id)
        prompts = {question.id: self.prompt(post, question) for question in ALL}
        reads = await asyncio.gather(
            *(
                self._engine.read(
                    prompts[name] + one.path, one.children, context, f"{name}-{place}"
                )
                for name, branches in self._branches.items()
                for place, one in enumerate(branches)
            )
        )
        return reduce(add, (Usage(one.prompt_tokens, one.cached_tokens) for one in reads))

    def prompt(self, post: str, question: Question) -> tuple[int, ...]:
        """Tokens of the prompt for one question on one post."""
        query = f'Question: {question.text} {QUERY_HEAD}{escape_post(post)}"'
        if self._style is PromptStyle.BARE:
            return tuple(self._tokenizer(query)["input_ids"])
        text = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": query}], tokenize=False, add_generation_prompt=True
        )
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])


async def measure(engine: LocalEngine, posts: Sequence[str], rounds: int) -> dict[str, Any]:
    """Measure both orders in every round; the result, as JSON."""

    async def shipped(post: str, request_id: str) -> Usage:
        options = Options(explain=Explain.NEVER)
        return (await engine.analyzer.analyze(post, ALL, options, request_id)).usage

    style = engine.analyzer.manifest.prompt_style
    turned = QuestionFirst(engine.engine, engine.tokenizer, style)
    orders: dict[str, Read] = {SHIPPED: shipped, QUESTION_FIRST: turned.read}
    rates: dict[str, list[float]] = {order: [] for order in orders}
    tokens: dict[str, Usage] = {}
    for number in range(-1, rounds):  # the first one warms up
        for order, read in orders.items():
            sent = posts if number >= 0 else posts[:_WARMUP_POSTS]
            await engine.empty_cache()
            begun = time.perf_counter()
            usages = await asyncio.gather(
                *(read(post, f"{order}-{number}-{place}") for place, post in enumerate(sent))
            )
            rate = len(sent) / (time.perf_counter() - begun)
            if number >= 0:
                rates[order].append(rate)
                tokens[order] = reduce(add, usages)
                notice(f"Round {number + 1} of {rounds}, {order}: {rate:.2f} posts/s")
    medians = {order: statistics.median(found) for order, found in rates.items()}
    return {
        "posts": len(posts),
        "questions": len(ALL),
        "orders": {
            order: {
                "posts_per_second": medians[order],
                "rounds": rates[order],
                "prompt_tokens": tokens[order].prompt_tokens,
                "cached_tokens": tokens[order].cached_tokens,
            }
            for order in orders
        },
        "worth": medians[SHIPPED] / medians[QUESTION_FIRST],
    }


def table(result: Mapping[str, Any]) -> Table:
    """The result for a person; tokens are those of the last round."""
    rows = tuple(
        (
            order,
            " ".join(f"{rate:.2f}" for rate in row["rounds"]),
            f"{row['posts_per_second']:.2f}",
            f"{row['prompt_tokens']:,}",
            f"{row['cached_tokens']:,}",
        )
        for order, row in result["orders"].items()
    )
    header = ("Order", "posts/s, each round", "median", "prompt tokens", "of them cached")
    note = f"Sharing a post's tokens is worth {result['worth']:.1f} times."
    return Table("All questions on every post, labels only", header, rows, note)


async def _run(model: str, options: Sequence[str], posts: int, rounds: int) -> dict[str, Any]:
    async with open_engine(model, options) as engine:
        return {"machine": machine(engine), **await measure(engine, POSTS[:posts], rounds)}


def main(
    posts: Annotated[int, typer.Option(min=1, max=len(POSTS), help="How many posts.")] = len(POSTS),
    rounds: Annotated[int, typer.Option(min=1, help="How often each order is measured.")] = 2,
    model: Annotated[str, typer.Option(help="`embedded`, a directory or a hub id.")] = "embedded",
    options: Annotated[
        list[str] | None, typer.Argument(help="Options of vLLM, after `--`.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the result to this file.")
    ] = None,
) -> None:
    """Measure posts per second with the post before the question, and after it."""
    with failures_reported():
        found = asyncio.run(_run(model, options or [], posts, rounds))
        show_table(table(found), output())
        if json_file is not None:
            json_file.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
