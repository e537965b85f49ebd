"""Questions that a caller words: instructions and answers in, a `Question` out.

They are asked like the benchmark's, after the post and with the answers read as a trie, so that
they share the post's tokens with them. What the benchmark's models know by training, which answers
there are, stands here in the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imhi.tasks import Label, Question

OWN_TASK = "own"
"""Stands where a question of the benchmark names its task."""

YES, NO = "yes", "no"
"""Ids of the labels of `own_predicate`."""

_ENDS = (".", "!", "?")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers to choose from.

    Attributes:
        text: how it is called; it is what the model may answer.
        description: what it means, or nothing.
    """

    text: str
    description: str = ""


def own_predicate(number: int, instructions: str) -> Question:
    """A question, or a statement that is true or not, whose labels are `YES` and `NO`.

    Args:
        number: unique among the questions that are asked together.
        instructions: not blank.
    """
    asked = instructions.strip()
    text = asked if asked.endswith("?") else f"{asked} Is this true?"
    labels = tuple(Label(name, name, f"{name.title()}.", f"{name}.") for name in (YES, NO))
    return _question(number, text, labels, negative=NO)


def own_choice(number: int, instructions: str, choices: Sequence[Choice]) -> Question:
    """A question with answers to choose from; a label's id is its place among them, from 0.

    Args:
        number: unique among the questions that are asked together.
        instructions: not blank.
        choices: two or more, not blank, that `answer_of` keeps apart.
    """
    lines = [instructions.strip()]
    for choice in choices:
        said = f": {choice.description.strip()}" if choice.description.strip() else ""
        lines.append(f"- {_one_line(choice.text)}{said}")
    lines.append("Answer with one of these choices, in the same words.")
    labels = tuple(
        Label(str(place), _one_line(choice.text), answer_of(choice), answer_of(choice))
        for place, choice in enumerate(choices)
    )
    return _question(number, "\n".join(lines), labels, negative=None)


def answer_of(choice: Choice) -> str:
    """The sentence by which a choice is answered."""
    text = _one_line(choice.text)
    return text if text.endswith(_ENDS) else f"{text}."


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _question(number: int, text: str, labels: tuple[Label, ...], negative: str | None) -> Question:
    return Question(f"{OWN_TASK}.{number}", OWN_TASK, text, "", labels, negative)
