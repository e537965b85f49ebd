"""Records made up for tests: labels and probabilities drawn by a seed, one line for a post."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from imhi.tasks import DATASETS
from training.data.example import post_key
from training.evaluate.records import FreeForm, Read, Record

POST = "I walked along the canal again and counted the boats, number {}."


def made_records(
    sets: tuple[str, ...] = ("DR", "SAD", "IRF"),
    posts: int = 40,
    *,
    skill: float = 1.5,
    seed: int = 0,
    temperature: float = 2.0,
) -> list[Record]:
    """Return records with a label read each.

    Args:
        sets: ids of the sets; each asks all its questions on every post.
        posts: posts a set, every one of its own.
        skill: how much more probable the reference is made.
        seed: of the model's answers. References, annotation and posts do not depend on it.
        temperature: `probabilities` are the read's at this temperature.
    """
    data, model = np.random.default_rng(7), np.random.default_rng(seed)
    records = []
    for set_id in sets:
        for row in range(1, posts + 1):
            post = POST.format(f"{row} of {set_id}")
            seen, annotated = row % 4 == 0, row % 3 != 0
            for question in DATASETS[set_id].questions:
                labels = [label.id for label in question.labels]
                reference, other = data.integers(len(labels), size=2)
                scores = model.normal(size=len(labels))
                scores[reference] += skill
                records.append(
                    Record(
                        id=f"{set_id}/val.csv:{row}:{question.id}",
                        set=set_id,
                        split="val",
                        question=question.id,
                        post=post,
                        post_key=post_key(post),
                        reference=labels[reference],
                        annotation=labels[other if row % 5 == 0 else reference]
                        if annotated
                        else None,
                        seen=seen,
                        read=Read(
                            _log_softmax(labels, scores),
                            _softmax(labels, scores / temperature),
                            label_mass=0.9,
                        ),
                    )
                )
    return records


def with_free_form(records: list[Record], *, unreadable_every: int = 10) -> list[Record]:
    """Return the records with a response whose label is the read's, save every so many."""
    answered = []
    for place, record in enumerate(records):
        assert record.read
        label = max(record.read.probabilities, key=record.read.probabilities.__getitem__)
        lost = place % unreadable_every == 0
        response = FreeForm(
            text="Reasoning: the boats." if lost else f"{label} Reasoning: the boats.",
            finish_reason="stop",
            tokens=6,
            label=None if lost else label,
            explanation="the boats.",
            problem="no_label" if lost else None,
        )
        answered.append(replace(record, free_form=response))
    return answered


def _softmax(labels: list[str], scores: np.ndarray) -> dict[str, float]:
    return {label: math.exp(one) for label, one in _log_softmax(labels, scores).items()}


def _log_softmax(labels: list[str], scores: np.ndarray) -> dict[str, float]:
    shifted = scores - scores.max()
    values = shifted - np.log(np.exp(shifted).sum())
    return {label: float(value) for label, value in zip(labels, values, strict=True)}
