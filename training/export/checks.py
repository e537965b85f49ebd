"""Whether an exported model still says what the trained one said.

Both read the labels of every question on the same posts, with transformers and in float32, so that
what differs comes of the weights alone. `compare` counts the labels that changed and says how far
probabilities moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imhi.tasks import QUESTIONS, Question
from service.analysis.manifest import Manifest

Asked = tuple[str, Question]
"""A post and a question on it."""

Distribution = Mapping[str, float]
"""Label id to calibrated probability."""


@dataclass(frozen=True, slots=True)
class QuestionCheck:
    """One question's reads in both models.

    Attributes:
        reads: posts that were read.
        changed: how many got another most probable label.
        mean_moved: mean over posts of the total variation distance of the two distributions (half
            the sum of absolute differences), from 0 to 1.
        most_moved: the largest of them.
    """

    reads: int
    changed: int
    mean_moved: float
    most_moved: float


@dataclass(frozen=True, slots=True)
class Check:
    """What `compare` found.

    Attributes:
        posts: posts that were read.
        reads: posts times questions.
        changed: reads with another most probable label.
        share_changed: the same as a share of the reads, from 0 to 1.
        mean_moved, most_moved: total variation distances, as in `QuestionCheck`.
        questions: question id to its own.
    """

    posts: int
    reads: int
    changed: int
    share_changed: float
    mean_moved: float
    most_moved: float
    questions: Mapping[str, QuestionCheck]


def ask_all(posts: Sequence[str]) -> list[Asked]:
    """Every question on every post."""
    return [(post, question) for post in posts for question in QUESTIONS.values()]


def read_all(
    model: Any,
    tokenizer: Any,
    manifest: Manifest,
    asked: Sequence[Asked],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Distribution]:
    """Read labels with a transformers model, calibrated as its manifest says.

    Args:
        model: a causal language model, with an adapter or without.
        tokenizer: its tokenizer.
        manifest: what is said of it.
        asked: posts and questions.
        progress: told how many are read, and how many there are.

    Returns:
        The distributions, in the order of `asked`.
    """
    from training.sft.losses import add_sparse_head
    from training.sft.reads import LabelReads

    add_sparse_head(model.get_base_model() if hasattr(model, "peft_config") else model)
    calibration = manifest.to_calibration()
    found: dict[int, Distribution] = {}
    for index, read in LabelReads(model, tokenizer, manifest.prompt_style).read(asked):
        found[index] = calibration.apply(asked[index][1], read.log_probabilities)
        progress(len(found), len(asked))
    return [found[index] for index in range(len(asked))]


def compare(
    asked: Sequence[Asked], trained: Sequence[Distribution], exported: Sequence[Distribution]
) -> Check:
    """Compare two models' reads of the same questions, at least one."""
    moved: dict[str, list[tuple[bool, float]]] = {}
    for (_, question), before, after in zip(asked, trained, exported, strict=True):
        changed = max(before, key=before.__getitem__) != max(after, key=after.__getitem__)
        distance = math.fsum(abs(before[label] - after[label]) for label in before) / 2
        moved.setdefault(question.id, []).append((changed, distance))
    questions = {name: _question(rows) for name, rows in moved.items()}
    everything = _question([row for rows in moved.values() for row in rows])
    return Check(
        posts=len({post for post, _ in asked}),
        reads=everything.reads,
        changed=everything.changed,
        share_changed=everything.changed / everything.reads,
        mean_moved=everything.mean_moved,
        most_moved=everything.most_moved,
        questions=questions,
    )


def _question(rows: Sequence[tuple[bool, float]]) -> QuestionCheck:
    distances = [distance for _, distance in rows]
    return QuestionCheck(
        reads=len(rows),
        changed=sum(changed for changed, _ in rows),
        mean_moved=math.fsum(distances) / len(distances),
        most_moved=max(distances),
    )
