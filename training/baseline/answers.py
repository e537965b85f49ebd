"""What every rival gives: a distribution over labels, or a text, for each row."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from imhi.tasks import Question
from training.data.example import Example
from training.evaluate.records import FreeForm, Read

Answers = Mapping[str, Read | FreeForm]
"""Example id to the answer."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

_TINY = 1e-9


def to_read(question: Question, probabilities: Mapping[str, float]) -> Read:
    """A distribution as the benchmark keeps it.

    Args:
        question: whose labels.
        probabilities: label id to probability; a label that is missing has next to none.
    """
    known = {label.id: max(probabilities.get(label.id, 0.0), _TINY) for label in question.labels}
    total = sum(known.values())
    shares = {label: value / total for label, value in known.items()}
    return Read({label: math.log(value) for label, value in shares.items()}, shares, 1.0)


def batches(
    train: Sequence[Example], size: int, steps: int, seed: int, progress: Progress
) -> Iterator[list[Example]]:
    """So many batches of rows, shuffled anew for each pass over them."""
    generator = random.Random(seed)
    order: list[Example] = []
    for step in range(steps):
        progress("Steps", step, steps)
        while len(order) < min(size, len(train)):
            more = list(train)
            generator.shuffle(more)
            order += more
        batch, order = order[:size], order[size:]
        yield batch
    progress("Steps", steps, steps)


def by_question(rows: Sequence[Example]) -> dict[str, list[Example]]:
    """Rows by the question that they ask."""
    found: dict[str, list[Example]] = {}
    for row in rows:
        found.setdefault(row.question.id, []).append(row)
    return found
