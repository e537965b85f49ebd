"""Baselines: counted in the train split where there is one, and named after it."""

from __future__ import annotations

from tests.training.evaluate.benchmarks import example, stress_rows, wellness_rows
from training.data.example import Example, Split
from training.evaluate.baselines import baselines

SPIRITUAL, PHYSICAL = "wellness.spiritual", "wellness.physical"


def row(post: int, question: str, label: str, split: Split = Split.VAL) -> Example:
    return example(post, question, label, of="MultiWD", split=split)


def test_labels_are_counted_in_train_by_set_and_by_question() -> None:
    train = [
        row(0, SPIRITUAL, "yes", Split.TRAIN),
        row(1, SPIRITUAL, "no", Split.TRAIN),
        row(2, SPIRITUAL, "no", Split.TRAIN),
        row(0, PHYSICAL, "yes", Split.TRAIN),
        row(1, PHYSICAL, "yes", Split.TRAIN),
        row(2, PHYSICAL, "yes", Split.TRAIN),
    ]
    measured = [row(3, SPIRITUAL, "yes"), row(3, PHYSICAL, "no"), row(3, "wellness.social", "no")]
    found = baselines(measured, train)
    ids = [one.id for one in measured]
    assert found == {
        "majority_train": dict.fromkeys(ids, "yes"),
        # A question that train does not ask has the set's label.
        "majority_by_question_train": dict(zip(ids, ["no", "yes", "yes"], strict=True)),
    }


def test_sets_without_train_rows_are_counted_in_what_is_measured_and_say_so() -> None:
    train = [example(0, label="no", split=Split.TRAIN)]
    measured = [*stress_rows(), *wellness_rows()]
    found = baselines(measured, train)
    assert set(found["majority_train"]) == {one.id for one in stress_rows()}
    assert set(found["majority_train"].values()) == {"no"}
    assert set(found["majority_by_question_val"]) == {one.id for one in wellness_rows()}
    assert len(found) == 4
    assert set(baselines(measured, [])) == {"majority_val", "majority_by_question_val"}


def test_of_equally_frequent_labels_the_questions_first_is_taken() -> None:
    rows = [example(0, label="no"), example(1, label="yes")]
    assert set(baselines(rows, [])["majority_val"].values()) == {"yes"}
