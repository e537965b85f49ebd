"""Explanations by experts, and how like them the rows' explanations on the same posts are.

A CSV file with the columns `post`, `question`, `label` and `explanation` (question and label by
their ids) holds what experts wrote. Where a row asks the same of the same post and has the same
label, its explanation is scored against theirs: BERTScore and BARTScore, as in the benchmark. The
paper scored its explanations against 350 of experts in this way.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imhi.tasks import QUESTIONS, UnknownLabelError
from training.data.example import Example, post_key
from training.errors import DataError
from training.evaluate import bartscore, bertscore

COLUMNS = ("post", "question", "label", "explanation")

Key = tuple[str, str, str]
"""Post key, question id, label id."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like an expert's an explanation is; None where it was not scored.

    Attributes:
        bertscore: F1.
        bartscore: of the expert's explanation given this one, the direction that the paper takes.
    """

    bertscore: float | None
    bartscore: float | None


def read_experts(path: Path) -> Mapping[Key, str]:
    """Read experts' explanations.

    Raises:
        DataError: the file cannot be read, lacks a column, or names a question or label that does
            not exist. The message names the row and holds none of its text.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lacking = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if lacking:
                raise DataError(f"{path} has no column {', '.join(lacking)}.")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}).") from None
    found = {}
    for number, row in enumerate(rows, 2):
        question = QUESTIONS.get((row["question"] or "").strip())
        if question is None:
            raise DataError(f"Row {number} of {path} names no question; see `mentalllama tasks`.")
        try:
            label = question.label((row["label"] or "").strip())
        except UnknownLabelError:
            known = ", ".join(one.id for one in question.labels)
            raise DataError(
                f"Row {number} of {path} names no label of {question.id}: {known}."
            ) from None
        found[post_key(row["post"] or ""), question.id, label.id] = row["explanation"] or ""
    return found


def likeness(
    rows: Sequence[Example],
    experts: Mapping[Key, str],
    *,
    encoder: str | None,
    scorer: str | None,
    on_scored: Callable[[int], None] | None = None,
) -> dict[str, Likeness]:
    """Score the explanations of rows that an expert explained too.

    Args:
        rows: with an explanation.
        experts: from `read_experts`.
        encoder: of BERTScore, a directory or a hub id; None leaves it out.
        scorer: of BARTScore, likewise.
        on_scored: told how many more pairs are done.

    Returns:
        Example id to its likeness.

    Raises:
        ModelFilesError: a model cannot be loaded.
    """
    pairs = [
        (row, experts[key])
        for row in rows
        if (key := (row.post_key, row.question.id, row.label.id)) in experts
    ]
    texts = [row.explanation or "" for row, _ in pairs]
    theirs = [text for _, text in pairs]
    bert: list[float | None] = [None] * len(pairs)
    bart: list[float | None] = [None] * len(pairs)
    if pairs and encoder is not None:
        loaded = bertscore.load_encoder(encoder)
        scored = bertscore.score_pairs(loaded, texts, theirs, on_scored=on_scored)
        bert = [score.f1 for score in scored]
    if pairs and scorer is not None:
        model = bartscore.load_scorer(scorer)
        bart = list(bartscore.score_pairs(model, texts, theirs, batch_size=8, on_scored=on_scored))
    return {row.id: Likeness(bert[place], bart[place]) for place, (row, _) in enumerate(pairs)}
