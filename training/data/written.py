"""Explanations that are written by rule, for rows that came with a label and no explanation.

The annotators of CAMS and IRF marked the words in a post that decided their label. An explanation
quotes these words, says what they speak of in the label's definition, and ends in the label; a "no"
says what is missing. MultiWD has no marks: there the words around one of the dimension's own
(`work`, `sleep`, `friends`) are quoted, and a row where there is none stays without an explanation.
They are plain and short, and they are right where the marks are. A model learns from them to quote
the post and to speak of what was asked. Only train rows get one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from service.analysis.evidence import find_quotes
from training.data.example import Example, Origin, Split
from training.data.written_wording import (
    ABSENT,
    CAUSES,
    ENDS,
    NO_CAUSE,
    OPENINGS,
    PRESENT,
    WORDS,
)

MAX_QUOTES = 2
MAX_QUOTE_WORDS = 16
"""What is longer is cut after this many words."""

_SENTENCE = re.compile(r"[^.!?\n]+")
_MARKS = re.compile('["“”„«»]')
_BEFORE, _AFTER = 6, 9  # words of the post around one of the dimension's


def write_explanations(examples: Iterable[Example]) -> tuple[tuple[Example, ...], dict[str, int]]:
    """Give rows an explanation where one can be written.

    Args:
        examples: of all splits; only annotators' train rows without an explanation change.

    Returns:
        All examples in their order, and set id to how many explanations were written.
    """
    result: list[Example] = []
    written: dict[str, int] = {}
    for example in examples:
        text = explanation(example) if _is_bare(example) else None
        if text is not None:
            written[example.set] = written.get(example.set, 0) + 1
            example = replace(example, explanation=text)
        result.append(example)
    return tuple(result), written


def _is_bare(example: Example) -> bool:
    return (
        example.split is Split.TRAIN
        and example.origin is Origin.ANNOTATION
        and example.explanation is None
    )


def explanation(example: Example) -> str | None:
    """Write the explanation of an example's label; None where there is nothing to write it from.

    The wording varies with the example's id, which is all that it depends on besides the example.
    """
    question, label = example.question.id, example.label.id
    draw = random.Random(f"{example.id}:{label}")
    if label == example.question.negative or (question == "depression_cause" and label == "none"):
        said = NO_CAUSE if question == "depression_cause" else ABSENT.get(question, ())
        return draw.choice(said) if said else None
    means = CAUSES.get(label, ()) if question == "depression_cause" else PRESENT.get(question, ())
    quotes = _marked(example) or _around_a_word(example, draw)
    quoted = " and ".join(f'"{quote}"' for quote in quotes)
    found = find_quotes(quoted, example.post)
    if not means or not found or not all(quote.evidence for quote in found):
        return None
    name = example.label.name if question == "depression_cause" else ""
    return " ".join(
        (
            draw.choice(OPENINGS).format(quoted),
            draw.choice(means),
            draw.choice(ENDS[example.question.task]).format(name or _name(question)),
        )
    )


def _name(question: str) -> str:
    return question.rpartition(".")[2].replace("_", " ")


def _marked(example: Example) -> list[str]:
    """What the annotators marked, the longest first; nothing that could not be found again."""
    texts = [example.post[span.start : span.end] for span in example.evidence or ()]
    quotes = [quote for quote in dict.fromkeys(map(_quotable, texts)) if quote]
    chosen = sorted(quotes, key=len, reverse=True)[:MAX_QUOTES]
    return [quote for quote in quotes if quote in chosen]


def _quotable(text: str) -> str | None:
    """The words of a part of a post, as they can stand between quotation marks."""
    words = text.split()[:MAX_QUOTE_WORDS]
    quote = " ".join(words).replace("\u2019", "'").strip(" .,;:!?-()'")
    return quote if sum(map(str.isalpha, quote)) > 1 and not _MARKS.search(quote) else None


def _around_a_word(example: Example, draw: random.Random) -> list[str]:
    """The words of a sentence around one that names the question's subject."""
    wanted = WORDS.get(example.question.id)
    if wanted is None:
        return []
    found = [
        quote
        for sentence in _SENTENCE.findall(example.post)
        if (match := wanted.search(sentence)) and (quote := _quotable(_around(sentence, match)))
    ]
    return [draw.choice(found)] if found else []


def _around(sentence: str, match: re.Match[str]) -> str:
    before: Sequence[str] = sentence[: match.start()].split()
    after: Sequence[str] = sentence[match.start() :].split()
    return " ".join((*before[-_BEFORE:], *after[:_AFTER]))
