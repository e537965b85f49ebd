"""The paper's consistency: whether a classifier reads an explanation's label in it.

For each question a classifier from explanation to label is trained on the explanations of some
posts and reads those of the others, fold by fold, so that no explanation is read by what learned
from it or from another on its post. The paper trained MentalBERT for each set (arXiv 2309.13567,
section 3.3); here it is logistic regression on any encoder's vectors, or on TF-IDF.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.check.recipe import Consistency
from training.data.example import Example
from training.evaluate.classified import label_classifier
from training.evaluate.metrics import Floats

Embed = Callable[[Sequence[str]], Floats]
"""Texts to their vectors, (N, D)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the classifier read in one explanation.

    Attributes:
        label: the most probable label.
        probability: of the row's own label, from 0 to 1.
    """

    label: str
    probability: float


def read_explanations(
    rows: Sequence[Example],
    settings: Consistency,
    *,
    embed: Embed | None,
    seed: int,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Reading]:
    """Read every explanation that can be.

    Args:
        rows: with an explanation.
        settings: of the classifier.
        embed: the encoder's vectors; None for TF-IDF.
        seed: of the folds.
        advance: told how many questions are done, and of how many.

    Returns:
        Example id to what was read. Not there are rows of a label with too few explanations, and
        of a question where that leaves fewer than two labels.
    """
    by_question: dict[str, list[Example]] = defaultdict(list)
    for row in rows:
        by_question[row.question.id].append(row)
    readings: dict[str, Reading] = {}
    for number, (_, members) in enumerate(sorted(by_question.items())):
        advance(number, len(by_question))
        counts = Counter(row.label.id for row in members)
        enough = {label for label, count in counts.items() if count >= settings.min_rows}
        kept = [row for row in members if row.label.id in enough]
        if len(enough) > 1 and len({row.post_key for row in kept}) >= settings.folds:
            readings |= _cross_read(kept, settings, embed, seed)
    advance(len(by_question), len(by_question))
    return readings


def _cross_read(
    rows: Sequence[Example], settings: Consistency, embed: Embed | None, seed: int
) -> dict[str, Reading]:
    from sklearn.model_selection import StratifiedGroupKFold

    texts = [_text(row, hide=settings.hide_labels) for row in rows]
    labels = np.array([row.label.id for row in rows])
    posts = np.array([row.post_key for row in rows])
    vectors = embed(texts) if embed is not None else None
    readings = {}
    folds = StratifiedGroupKFold(settings.folds, shuffle=True, random_state=seed)
    for learned, read in folds.split(texts, labels, posts):
        if len(set(labels[learned])) < 2:
            continue
        model = _classifier(vectors is None)
        if vectors is None:
            model.fit([texts[i] for i in learned], labels[learned])
            probabilities = model.predict_proba([texts[i] for i in read])
        else:
            model.fit(vectors[learned], labels[learned])
            probabilities = model.predict_proba(vectors[read])
        classes = list(model.classes_)
        for place, row in enumerate(probabilities):
            own = labels[read[place]]
            probability = float(row[classes.index(own)]) if own in classes else 0.0
            readings[rows[read[place]].id] = Reading(str(classes[int(row.argmax())]), probability)
    return readings


def _classifier(words: bool) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if words:
        return label_classifier()
    regression = LogisticRegression(C=1.0, class_weight="balanced", max_iter=2000)
    return make_pipeline(StandardScaler(), regression)


def _text(row: Example, *, hide: bool) -> str:
    text = row.explanation or ""
    if not hide:
        return text
    named = [row.question.id.rpartition(".")[2].replace("_", " ")]
    named += [label.name for label in row.question.labels if label.name not in ("yes", "no")]
    pattern = "|".join(re.escape(name) for name in sorted(named, key=len, reverse=True))
    return re.sub(rf"\b(?:{pattern})\b", "…", text, flags=re.IGNORECASE)


def inconsistent(
    rows: Sequence[Example], readings: Mapping[str, Reading], least: float
) -> set[str]:
    """Ids of rows in whose explanation another label was read, their own with less than `least`."""
    return {
        row.id
        for row in rows
        if (reading := readings.get(row.id)) is not None
        and reading.label != row.label.id
        and reading.probability < least
    }
