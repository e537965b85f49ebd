"""The tables of `imhi.tasks`: the benchmark's wording and ids, and how the tables fit together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import MutableMapping
from dataclasses import FrozenInstanceError, asdict
from typing import cast

import pytest

from imhi.tasks import DATASETS, QUESTIONS, TASKS, WORDING_VERSION, Question, UnknownLabelError

# A model is trained on the wording, and a calibration is fitted to it. Ids, and their order, are in
# HTTP answers, calibrations and result files.
WORDINGS = {"imhi-1": "cb10c3a9997229bc"}
SPLITS = "cd043f4c2880746c"  # what the paper counts


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def test_a_changed_question_or_answer_is_a_new_wording_version() -> None:
    assert (
        digest([asdict(question) for question in QUESTIONS.values()]) == WORDINGS[WORDING_VERSION]
    )


def test_data_sets_are_the_papers() -> None:
    rows = [asdict(one) | {"questions": [q.id for q in one.questions]} for one in DATASETS.values()]
    assert digest(rows) == SPLITS
    assert {q.id for one in DATASETS.values() for q in one.questions} == set(QUESTIONS)
    for one in DATASETS.values():
        assert {question.task for question in one.questions} == {one.task}


def test_tables_go_by_id() -> None:
    for table in (TASKS, QUESTIONS, DATASETS):
        assert all(key == entry.id for key, entry in table.items())
    owned = [(q.id, task.id) for task in TASKS.values() for q in task.questions]
    assert owned == [(q.id, q.task) for q in QUESTIONS.values()]


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda q: q.id)
def test_labels_differ_in_everything_that_names_them(question: Question) -> None:
    for field in ("id", "name", "answer", "completion"):
        values = [getattr(label, field) for label in question.labels]
        assert len(set(values)) == len(values), field
    if question.negative is not None:
        assert question.label(question.negative).id == question.negative


def test_questions_differ_in_both_wordings() -> None:
    assert len({q.text for q in QUESTIONS.values()}) == len(QUESTIONS)
    assert len({q.stub for q in QUESTIONS.values()}) == len(QUESTIONS)


def test_no_task_claims_more_than_a_reading() -> None:
    for task in TASKS.values():
        words = f"{task.title} {task.description}".lower()
        assert not any(word in words for word in ("detect", "diagnos", "patient"))


def test_unknown_label_says_what_there_is() -> None:
    with pytest.raises(UnknownLabelError) as caught:
        QUESTIONS["stress"].label("maybe")
    assert isinstance(caught.value, KeyError)
    assert str(caught.value) == "question 'stress' has no label 'maybe'; it has: yes, no"


def test_tables_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        QUESTIONS["stress"].text = "?"  # type: ignore[misc]
    with pytest.raises(TypeError):
        cast("MutableMapping[str, Question]", QUESTIONS)["extra"] = QUESTIONS["stress"]
