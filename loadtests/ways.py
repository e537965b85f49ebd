"""Three ways of asking all questions about posts; `loadtests.sharing` says why these.

Each is made once for a bench, with everything that does not depend on a post, and then asked about
posts, all of them at once; what it gives back is counted, not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from operator import add
from typing import Any, Protocol

from imhi.parsing import parse_response
from imhi.tasks import QUESTIONS, Question
from imhi.wording import QUERY_HEAD, escape_post
from loadtests.bench import Bench
from service.analysis.analyzer import Analyzer
from service.analysis.engine import Engine, RequestContext
from service.analysis.labels import LabelRead, LabelTrie
from service.analysis.manifest import PromptStyle
from service.analysis.prompt import PromptEncoder
from service.analysis.types import Explain, Options, Usage

COMPLETION_TOKENS = 96
"""The length of a free-form completion, at most."""


class Way(StrEnum):
    """How the questions are asked."""

    AS_SHIPPED = "as_shipped"
    QUESTION_FIRST = "question_first"
    FREE_FORM = "free_form"


@dataclass(frozen=True, slots=True)
class Done:
    """What a way of asking has done to some posts.

    Attributes:
        usage: tokens over all engine requests.
        labels: how many answers have a label.
        answers: how many there are: posts times questions.
    """

    usage: Usage
    labels: int
    answers: int


class Asks(Protocol):
    """A way of asking."""

    async def ask(self, posts: Sequence[str], request_id: str) -> Done:
        """Ask all questions about all posts at once.

        Raises:
            OverloadedError, EngineError: from the engine.
        """
        ...


class AsShipped:
    """What the service does: `Analyzer.analyze` on each post, without explanations."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer

    async def ask(self, posts: Sequence[str], request_id: str) -> Done:
        """See `Asks.ask`."""
        questions, options = tuple(QUESTIONS.values()), Options(explain=Explain.NEVER)
        analyses = await asyncio.gather(
            *(
                self._analyzer.analyze(post, questions, options, f"{request_id}-{number}")
                for number, post in enumerate(posts)
            )
        )
        answers = [answer for analysis in analyses for answer in analysis.answers]
        labels = sum(not answer.decision.abstained for answer in answers)
        return Done(reduce(add, (one.usage for one in analyses)), labels, len(answers))


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
        self._tries = {
            question.id: LabelTrie.build(question, encoder.tail(question).continuations)
            for question in QUESTIONS.values()
        }

    async def ask(self, posts: Sequence[str], request_id: str) -> Done:
        """See `Asks.ask`."""
        reads = await asyncio.gather(
            *(
                self._read(post, question, f"{request_id}-{number}")
                for number, post in enumerate(posts)
                for question in QUESTIONS.values()
            )
        )
        return Done(reduce(add, (usage for _, usage in reads)), len(reads), len(reads))

    def prompt(self, post: str, question: Question) -> tuple[int, ...]:
        """Tokens of the prompt for one question on one post."""
        query = f'Question: {question.text} {QUERY_HEAD}{escape_post(post)}"'
        if self._style is PromptStyle.BARE:
            return tuple(self._tokenizer(query)["input_ids"])
        text = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": query}], tokenize=False, add_generation_prompt=True
        )
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    async def _read(
        self, post: str, question: Question, request_id: str
    ) -> tuple[LabelRead, Usage]:
        prompt, trie = self.prompt(post, question), self._tries[question.id]
        context = RequestContext(request_id)
        reads = await asyncio.gather(
            *(
                self._engine.read(
                    prompt + branch.path, branch.children, context, f"{question.id}-{index}"
                )
                for index, branch in enumerate(trie.branches)
            )
        )
        usage = reduce(add, (Usage(one.prompt_tokens, one.cached_tokens) for one in reads))
        return trie.read([one.logprobs for one in reads]), usage


class FreeForm:
    """A greedy completion for each question and post, on the shipped prompt, parsed into a label.

    Args:
        client: vLLM's client. The analysis's `Engine` streams deltas, which would cost this way
            time that a plain completion does not take.
        encoder: prompts as the Analyzer makes them.
    """

    def __init__(self, client: Any, encoder: PromptEncoder) -> None:
        self._client = client
        self._encoder = encoder
        self._tails = {
            question.id: encoder.tail(question).tokens for question in QUESTIONS.values()
        }

    async def ask(self, posts: Sequence[str], request_id: str) -> Done:
        """See `Asks.ask`."""
        done = await asyncio.gather(
            *(
                self._complete(post, question, f"{request_id}-{number}-{question.id}")
                for number, post in enumerate(posts)
                for question in QUESTIONS.values()
            )
        )
        labels = sum(labelled for labelled, _ in done)
        return Done(reduce(add, (usage for _, usage in done)), labels, len(done))

    async def _complete(self, post: str, question: Question, request_id: str) -> tuple[bool, Usage]:
        """Whether the completion has a label, and the tokens it took."""
        from vllm import SamplingParams
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind

        prompt = self._encoder.shared(post) + self._tails[question.id]
        parameters = SamplingParams(
            max_tokens=COMPLETION_TOKENS,
            temperature=0.0,
            # Where an untuned model stops says nothing of the work that a completion takes.
            ignore_eos=True,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        text, usage = "", Usage()
        async for one in self._client.generate(tokens_input(list(prompt)), parameters, request_id):
            completion = one.outputs[0]
            text = completion.text
            usage = Usage(len(prompt), one.num_cached_tokens or 0, len(completion.token_ids))
        return parse_response(text, question).label is not None, usage


def all_ways(bench: Bench) -> Mapping[Way, Asks]:
    """Every way of asking, on one bench."""
    style = bench.analyzer.manifest.prompt_style
    return {
        Way.AS_SHIPPED: AsShipped(bench.analyzer),
        Way.QUESTION_FIRST: QuestionFirst(bench.engine, bench.tokenizer, style),
        Way.FREE_FORM: FreeForm(bench.client, PromptEncoder(bench.tokenizer, style)),
    }
