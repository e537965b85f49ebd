"""Questions as one model is asked them: their tokens, and the tries that are read.

Those of the benchmark are made when the model is loaded, so that a model that cannot be asked one
fails at the start. A question that a caller words (`service.analysis.own`) is made when it first
comes, in a thread, and kept while it is among the last that were asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import lru_cache

from imhi.tasks import QUESTIONS, Question
from service.analysis.labels import LabelTrie
from service.analysis.prompt import PromptEncoder, Tail
from service.analysis.types import Scoring
from service.errors import InvalidRequestError, ModelError

_KEPT = 256
"""Callers' own questions whose tokens are kept."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what was made of it for one model."""

    question: Question
    tail: Tail
    tries: Mapping[Scoring, LabelTrie]

    @property
    def longest(self) -> int:
        """Tokens of the question and its longest answer."""
        return len(self.tail.tokens) + max(map(len, self.tail.continuations.values()))


class AskedQuestions:
    """All questions of one model.

    Args:
        encoder: makes prompts for the model, here at once.
        spare: the same for `thread` alone, since a tokenizer's state is not to be shared.
        thread: one thread, where callers' own questions are made.
        max_model_len: most tokens of a prompt and its completion.

    Raises:
        ModelError: the labels of one of the benchmark's questions cannot be told apart in the
            model's tokens, or the context is too short for a question.
    """

    def __init__(
        self, encoder: PromptEncoder, spare: PromptEncoder, thread: Executor, max_model_len: int
    ) -> None:
        self._spare = spare
        self._thread = thread
        self._room = max_model_len - len(encoder.shared(""))
        self._benchmark = {question.id: _benchmark(question, encoder) for question in _ALL}
        # Called in `thread` alone, and keyed by the question without its place in a request.
        self._own = lru_cache(_KEPT)(self._make)
        overhead = max(asked.longest for asked in self._benchmark.values())
        if overhead >= self._room:
            raise ModelError(
                f"The model's context of {max_model_len} tokens is too short for the questions, "
                f"which take up to {overhead}. Serve it with a larger --max-model-len."
            )

    async def of(self, questions: Sequence[Question]) -> tuple[Asked, ...]:
        """The questions as the model is asked them, in their order.

        Raises:
            InvalidRequestError: a caller's own question cannot be asked of this model; its `param`
                is the question's id.
        """
        if all(_is_benchmark(question) for question in questions):
            return tuple(self._benchmark[question.id] for question in questions)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._of, tuple(questions))

    def _of(self, questions: Sequence[Question]) -> tuple[Asked, ...]:
        found = []
        for question in questions:
            if _is_benchmark(question):
                found.append(self._benchmark[question.id])
                continue
            try:
                asked = self._own(replace(question, id=""))
            except InvalidRequestError as error:
                raise InvalidRequestError(error.message, param=question.id) from None
            found.append(replace(asked, question=question))
        return tuple(found)

    def _make(self, question: Question) -> Asked:
        """A caller's own question. Its answers are read where they part and no further."""
        texts = (question.text, *(label.answer for label in question.labels))
        if any(self._spare.holds_control(text) for text in texts):
            raise InvalidRequestError(
                "The question or one of its answers holds the text of one of the model's control "
                "tokens. Leave it out."
            )
        # Before its answers are made: for those it is encoded some times over.
        self._check_room(len(self._spare.following("", question.text)))
        tail = self._spare.tail(question)
        try:
            trie = LabelTrie.build(question, tail.continuations)
        except ModelError:
            raise InvalidRequestError(
                "Two answers of the question cannot be told apart in the model's tokens. Word them "
                "differently."
            ) from None
        asked = Asked(question, tail, {Scoring.BRANCHES: trie})
        self._check_room(asked.longest)
        return asked

    def _check_room(self, tokens: int) -> None:
        if tokens >= self._room:
            raise InvalidRequestError(
                f"The question takes {tokens} tokens; the model's context has room for fewer than "
                f"{self._room}. Shorten it."
            )


_ALL = tuple(QUESTIONS.values())


def _is_benchmark(question: Question) -> bool:
    known = QUESTIONS.get(question.id)
    return known is question or known == question  # comparing all of its labels takes longer


def _benchmark(question: Question, encoder: PromptEncoder) -> Asked:
    tail = encoder.tail(question)
    tries = {
        Scoring.BRANCHES: LabelTrie.build(question, tail.continuations),
        Scoring.SENTENCES: LabelTrie.build(question, tail.sentences, Scoring.SENTENCES),
    }
    return Asked(question, tail, tries)
