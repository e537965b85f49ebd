"""Logistic regression for each question, on words or on the vectors of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.baseline.answers import Answers, Progress, by_question, to_read
from training.baseline.recipe import BaselineRecipe, Kind
from training.data.example import Example
from training.errors import DataError


def answer(
    recipe: BaselineRecipe, train: Sequence[Example], rows: Sequence[Example], progress: Progress
) -> Answers:
    """Train on `train` and answer `rows`.

    Raises:
        DataError: a question that is asked has no two labels among the train rows.
        ModelFilesError: the encoder cannot be loaded.
    """
    learned, asked = by_question(train), by_question(rows)
    vectors = _vectors(recipe, [*train, *rows], progress) if recipe.kind is Kind.EMBEDDING else None
    answers = {}
    for number, (name, members) in enumerate(asked.items()):
        progress("Questions", number, len(asked))
        known = learned.get(name, [])
        labels = [row.label.id for row in known]
        if len(set(labels)) < 2:
            raise DataError(
                f"The train split has no two labels of {name}, which is asked: prepare data with "
                "train rows of all sets, or measure fewer with --sets."
            )
        model = _model(recipe)
        if vectors is None:
            model.fit([row.post for row in known], labels)
            found = model.predict_proba([row.post for row in members])
        else:
            model.fit([vectors[row.post] for row in known], labels)
            found = model.predict_proba([vectors[row.post] for row in members])
        for row, probabilities in zip(members, found, strict=True):
            shares = dict(zip(map(str, model.classes_), map(float, probabilities), strict=True))
            answers[row.id] = to_read(row.question, shares)
    progress("Questions", len(asked), len(asked))
    return answers


def _model(recipe: BaselineRecipe) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=recipe.regularisation, max_iter=2000)
    if recipe.kind is Kind.TFIDF:
        words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        return make_pipeline(words, regression)
    return make_pipeline(StandardScaler(), regression)


def _vectors(recipe: BaselineRecipe, rows: Sequence[Example], progress: Progress) -> dict[str, Any]:
    from training.check.embedding import embed, load_embedder

    encoder = load_embedder(recipe.model or "")
    posts = list(dict.fromkeys(row.post for row in rows))
    done = 0

    def count(number: int) -> None:
        nonlocal done
        done += number
        progress("Posts", done, len(posts))

    found = embed(encoder, posts, on_done=count)
    return dict(zip(posts, found, strict=True))
