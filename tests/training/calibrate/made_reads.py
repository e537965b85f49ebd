"""Reads made up for tests: references drawn from known probabilities, read with a known fault."""

from __future__ import annotations

import numpy as np

from imhi.tasks import QUESTIONS
from training.calibrate.reads import FLOOR, Floats, Reads
from training.evaluate.records import Read, Record


def log_softmax(scores: Floats) -> Floats:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def made_reads(
    question: str = "stress",
    rows: int = 400,
    *,
    temperature: float = 1.0,
    bias: tuple[float, ...] | None = None,
    seed: int = 0,
    a_post: int = 1,
) -> Reads:
    """Reads for which softmax(log p / temperature + bias) is the truth.

    Args:
        question: id of the question.
        rows: how many.
        temperature: above 1: the model is too sure.
        bias: by label, adding up to 0; none by default.
        seed: of all draws.
        a_post: rows of each post.
    """
    draw = np.random.default_rng(seed)
    asked = QUESTIONS[question]
    labels = len(asked.labels)
    true = log_softmax(draw.normal(size=(rows, labels)) * 1.5)
    references = np.array([draw.choice(labels, p=np.exp(row)) for row in true], dtype=np.int64)
    read = log_softmax((true - np.array(bias or (0.0,) * labels)) * temperature)
    posts = tuple(f"post-{row // a_post}" for row in range(rows))
    return Reads(asked, np.maximum(read, FLOOR), references, posts, ("dreaddit",) * rows)


def as_records(reads: Reads, set_id: str, split: str = "val") -> list[Record]:
    """The same as a benchmark run keeps them."""
    labels = [label.id for label in reads.question.labels]
    records = []
    for row, values in enumerate(reads.log_probabilities):
        logs = dict(zip(labels, map(float, values), strict=True))
        records.append(
            Record(
                id=f"{set_id}/val.csv:{row}:{reads.question.id}",
                set=set_id,
                split=split,
                question=reads.question.id,
                post=f"The {row}th walk along the canal.",
                post_key=reads.posts[row],
                reference=labels[reads.references[row]],
                read=Read(logs, {name: float(np.exp(log)) for name, log in logs.items()}, 1.0),
            )
        )
    return records
