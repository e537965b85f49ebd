"""A question's reads as arrays: what the fit, the folds and the curves are computed on.

Records of a benchmark run come in; one `Reads` a question goes out, with the log-probabilities as
the model gave them, before any calibration. Posts are known by their key alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imhi.tasks import QUESTIONS, Question
from training.errors import DataError
from training.evaluate.records import Read, Record

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

FLOOR = -30.0
"""The least log-probability that is computed with; exp(-30) is 1e-13."""


@dataclass(frozen=True, slots=True, eq=False)
class Reads:
    """The rows of one question.

    Attributes:
        question: what was asked.
        log_probabilities: natural-log probabilities, rows by labels in the question's order, not
            below `FLOOR`.
        references: index of the reference label, by row.
        posts: key of the post, by row; see `training.data.example.post_key`.
        sets: id of the data set, by row.
    """

    question: Question
    log_probabilities: Floats
    references: Integers
    posts: tuple[str, ...]
    sets: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.references)

    def where(self, chosen: Flags) -> Reads:
        """The rows that are chosen, a truth value a row."""
        return Reads(
            self.question,
            self.log_probabilities[chosen],
            self.references[chosen],
            tuple(post for post, keep in zip(self.posts, chosen, strict=True) if keep),
            tuple(name for name, keep in zip(self.sets, chosen, strict=True) if keep),
        )


def reads_of(records: Iterable[Record]) -> dict[str, Reads]:
    """Question id to its rows; records without a read (an error, or not asked for) are left out.

    Raises:
        DataError: a record names a question or a label that does not exist, or its read is not of
            its question's labels.
    """
    found: dict[str, list[tuple[Record, Read]]] = {}
    for record in records:
        if record.question not in QUESTIONS:
            raise DataError(
                f"Record {record.id} asks {record.question!r}, which is no question of this "
                "release. Run `mentalllama-train evaluate` again."
            )
        if record.read is not None:
            found.setdefault(record.question, []).append((record, record.read))
    return {name: _reads(QUESTIONS[name], rows) for name, rows in found.items()}


def _reads(question: Question, rows: Sequence[tuple[Record, Read]]) -> Reads:
    labels = [label.id for label in question.labels]
    for record, read in rows:
        if record.reference not in labels or read.log_probabilities.keys() != set(labels):
            raise DataError(
                f"Record {record.id} does not have the labels of question {question.id!r}. Run "
                "`mentalllama-train evaluate` again."
            )
    values = [[read.log_probabilities[label] for label in labels] for _, read in rows]
    return Reads(
        question,
        np.maximum(np.array(values, dtype=np.float64), FLOOR),
        np.array([labels.index(record.reference) for record, _ in rows], dtype=np.int64),
        tuple(record.post_key for record, _ in rows),
        tuple(record.set for record, _ in rows),
    )


def joined(reads: Sequence[Reads]) -> Reads:
    """The rows of several questions that have the same label ids, under the first's name."""
    return Reads(
        reads[0].question,
        np.concatenate([one.log_probabilities for one in reads]),
        np.concatenate([one.references for one in reads]),
        tuple(post for one in reads for post in one.posts),
        tuple(name for one in reads for name in one.sets),
    )


def pools(questions: Mapping[str, Reads]) -> tuple[tuple[str, ...], ...]:
    """Ids of the questions that are pooled: of one task, with the same label ids."""
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, reads in questions.items():
        labels = tuple(label.id for label in reads.question.labels)
        groups.setdefault((reads.question.task, labels), []).append(name)
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)
