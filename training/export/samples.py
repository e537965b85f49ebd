"""The posts that an export reads: to check it, to weigh a fold, to round weights.

They come from prepared data where that is given (validation posts for the check, training posts
for the rest), else they are `training.export.posts`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imhi.tasks import QUESTIONS, Label, Question
from imhi.wording import ANSWER_SEPARATOR, REASONING, render_answer, render_query
from service.analysis.manifest import Manifest
from service.analysis.prompt import PromptEncoder
from training.data.example import Example, Split
from training.errors import DataError
from training.export.checks import Asked, ask_all
from training.export.posts import POSTS

_LONGEST = 1024
"""Tokens of a text that a fold is weighed with; what comes after is left out."""


@dataclass(frozen=True, slots=True)
class Text:
    """A query with its answer."""

    post: str
    question: Question
    label: Label
    explanation: str | None


@dataclass(frozen=True, slots=True)
class Samples:
    """What an export reads.

    Attributes:
        source: what it is, in words.
        asked: posts and questions of the check.
        texts: whole queries and answers, for moments and rounding.
        given: whether they are from data that was given.
    """

    source: str
    asked: tuple[Asked, ...]
    texts: tuple[Text, ...]
    given: bool


def samples(data: Path | None, manifest: Manifest, posts: int, seed: int = 0) -> Samples:
    """Choose what is read.

    Args:
        data: prepared data, or None.
        manifest: the model's; questions that it had no training rows for are not asked.
        posts: how many posts the check reads, and four times as many texts; for `data` alone.
        seed: of the choice.

    Raises:
        DataError: the data cannot be read, or lacks a training or a validation split.
    """
    counts = manifest.training.questions if manifest.training else None
    trained = [q for q in QUESTIONS.values() if counts is None or counts.get(q.id, 0)]
    if data is None:
        asked = [(post, question) for post, question in ask_all(POSTS) if question in trained]
        texts = [
            Text(post, q, q.labels[i % len(q.labels)], None) for i, (post, q) in enumerate(asked)
        ]
        return Samples("self-written posts", tuple(asked), tuple(texts), given=False)
    from training.data.prepared import load_prepared

    examples = load_prepared(data).examples
    chosen = random.Random(seed)
    validation, training = (examples.get(split, ()) for split in (Split.VAL, Split.TRAIN))
    if not validation or not training:
        raise DataError(f"{data} needs a train and a val split; prepare it again with both.")
    keys = sorted({example.post_key for example in validation})
    kept = set(chosen.sample(keys, min(posts, len(keys))))
    # One key can stand for two spellings of a post, and one example for another's repetition.
    asked = list(
        {
            (e.post, e.question.id): (e.post, e.question) for e in validation if e.post_key in kept
        }.values()
    )
    return Samples(
        f"{len(kept)} validation posts of the prepared data",
        tuple(asked),
        tuple(map(_text, chosen.sample(training, min(4 * posts, len(training))))),
        given=True,
    )


def _text(example: Example) -> Text:
    return Text(example.post, example.question, example.label, example.explanation)


def as_tokens(texts: Sequence[Text], tokenizer: Any, manifest: Manifest) -> list[tuple[int, ...]]:
    """Texts as a model is trained on them, in its prompt style, at most `_LONGEST` tokens each."""
    encoder = PromptEncoder(tokenizer, manifest.prompt_style)
    tails = {question.id: encoder.tail(question) for question in QUESTIONS.values()}
    rows = []
    for text in texts:
        tail = tails[text.question.id]
        tokens = (*encoder.shared(text.post), *tail.tokens, *tail.continuations[text.label.id])
        if text.explanation:
            tokens += encoder.following(REASONING, f" {text.explanation}")
        rows.append(tokens[:_LONGEST])
    return rows


def as_strings(texts: Sequence[Text]) -> list[str]:
    """Texts as strings, in the bare style."""
    return [
        render_query(text.post, text.question)
        + ANSWER_SEPARATOR
        + render_answer(text.label, text.explanation or "")
        for text in texts
    ]
