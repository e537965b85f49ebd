"""The comparison of two models' labels, and the posts it is made on."""

from __future__ import annotations

import pytest

from imhi.tasks import QUESTIONS, WORDING_VERSION
from service.analysis.manifest import Manifest, PromptStyle, Training
from tests.tokenizers import word_tokenizer
from training.data.example import Example, Origin, Split
from training.data.prepared import write_prepared
from training.errors import DataError
from training.export.checks import ask_all, compare
from training.export.posts import POSTS
from training.export.samples import as_strings, as_tokens, samples

STRESS, CAUSE = QUESTIONS["stress"], QUESTIONS["depression_cause"]


def manifest(**questions: int) -> Manifest:
    return Manifest(
        schema_version=1,
        name="small",
        prompt_style=PromptStyle.BARE,
        wording_version=WORDING_VERSION,
        training=Training(questions=questions) if questions else None,
    )


def test_changes_and_distances_against_hand_counts():
    asked = [("a", STRESS), ("b", STRESS), ("a", CAUSE)]
    labels = [label.id for label in CAUSE.labels]
    cause = {label: 0.5 if label == labels[0] else 0.1 for label in labels}
    trained = [{"yes": 0.6, "no": 0.4}, {"yes": 0.9, "no": 0.1}, cause]
    after = [{"yes": 0.3, "no": 0.7}, {"yes": 0.8, "no": 0.2}, cause]
    found = compare(asked, trained, after)
    assert (found.posts, found.reads, found.changed) == (2, 3, 1)
    assert found.share_changed == pytest.approx(1 / 3)
    assert found.mean_moved == pytest.approx(0.4 / 3)
    assert found.most_moved == pytest.approx(0.3)
    stress = found.questions["stress"]
    assert (stress.reads, stress.changed) == (2, 1)
    assert (stress.mean_moved, stress.most_moved) == (pytest.approx(0.2), pytest.approx(0.3))
    assert found.questions["depression_cause"].most_moved == 0


def test_every_question_is_asked_of_our_own_posts():
    found = samples(None, manifest(), 4)
    assert not found.given
    assert len(found.asked) == len(POSTS) * len(QUESTIONS) == len(found.texts)
    assert list(found.asked) == ask_all(POSTS)


def test_questions_without_training_rows_are_not_asked():
    found = samples(None, manifest(stress=10, depression_cause=0), 4)
    assert {question.id for _, question in found.asked} == {"stress"}


def example(number: int, split: Split, explanation: str | None = None) -> Example:
    post = f"On day {number} of the {split} diary I baked bread."
    label = STRESS.labels[number % 2]
    source = f"dreaddit/{split}.csv"
    return Example(
        post, STRESS, label, Origin.REFERENCE, "dreaddit", split, source, number, explanation
    )


def prepared(folder, *splits: Split):
    rows = [
        example(n, split, "It says so." if n % 2 else None)
        for split in splits
        for n in range(1, 13)
    ]
    write_prepared(rows, folder, report={}, duplicates={}, card="")
    return folder


def test_prepared_data_is_checked_on_validation_and_weighed_with_training(tmp_path):
    folder = prepared(tmp_path / "data", Split.TRAIN, Split.VAL)
    found = samples(folder, manifest(), 2)
    assert found.given
    assert len(found.asked) == 2
    assert all("val diary" in post for post, _ in found.asked)
    assert len(found.texts) == 8
    assert all("train diary" in text.post for text in found.texts)
    assert found == samples(folder, manifest(), 2)
    assert "diary" not in found.source


def test_data_without_both_splits_is_refused(tmp_path):
    with pytest.raises(DataError, match="needs a train and a val split"):
        samples(prepared(tmp_path / "data", Split.TRAIN), manifest(), 2)


def test_texts_are_what_a_model_is_trained_on(tmp_path):
    tokenizer = word_tokenizer()
    folder = prepared(tmp_path / "data", Split.TRAIN, Split.VAL)
    texts = samples(folder, manifest(), 3).texts
    explained = next(text for text in texts if text.explanation)
    rows = as_tokens([explained], tokenizer, manifest())
    whole = as_strings([explained])[0]
    assert whole.startswith('Consider this post: "On day')
    assert whole.endswith("Reasoning: It says so.")
    assert rows[0] == tuple(tokenizer(whole)["input_ids"])
