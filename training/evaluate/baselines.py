"""Baselines that read no post: the most frequent label of a set, and of each question.

Labels are counted in the train split where it has rows of a set, else in the rows that are
measured, which flatters a baseline; its name says which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from training.data.example import Example, Split

_Group = Callable[[Example], tuple[str, ...]]


def baselines(
    measured: Sequence[Example], train: Sequence[Example]
) -> dict[str, Mapping[str, str]]:
    """Predict a label for every measured row.

    Args:
        measured: rows of one split.
        train: rows of the train split, of any sets; empty where there are none.

    Returns:
        `majority_SPLIT` (the most frequent label of the set) and `majority_by_question_SPLIT`
        (that of the question in the set), each to row id to label id. SPLIT is where labels were
        counted; a baseline is of those sets alone whose labels were counted there.
    """
    fitted = {example.set for example in train}
    known = [example for example in measured if example.set in fitted]
    rest = [example for example in measured if example.set not in fitted]
    found: dict[str, Mapping[str, str]] = {}
    if known:
        found |= _baselines(Split.TRAIN, known, train)
    if rest:
        found |= _baselines(rest[0].split, rest, rest)
    return found


def _baselines(
    split: Split, rows: Sequence[Example], counted: Sequence[Example]
) -> dict[str, Mapping[str, str]]:
    return {
        f"majority_{split.value}": _majority(rows, counted, lambda one: (one.set,)),
        f"majority_by_question_{split.value}": _majority(
            rows, counted, lambda one: (one.set, one.question.id)
        ),
    }


def _majority(rows: Iterable[Example], counted: Iterable[Example], group: _Group) -> dict[str, str]:
    """Each row's label by its group; of equals the first in the question's order.

    A question that has no counted rows of its own has its set's.
    """
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for example in counted:
        for key in {group(example), (example.set,)}:
            counts.setdefault(key, Counter())[example.label.id] += 1
    return {
        row.id: max(
            (label.id for label in row.question.labels),
            key=counts.get(group(row), counts[row.set,]).__getitem__,
        )
        for row in rows
    }
