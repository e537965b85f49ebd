"""Which questions a task asks of a model that was trained on some of them."""

from __future__ import annotations

import pytest

from imhi.tasks import QUESTIONS, TASKS
from service.analysis.manifest import Manifest, Training, assumed_manifest
from service.analysis.questions import asked_questions, trained_rows, untrained_note

UNKNOWN = assumed_manifest("some/model", has_chat_template=True)


def trained(**rows: int) -> Manifest:
    """A manifest of a model that was trained on these rows; `__` stands for a dot."""
    questions = {name.replace("__", "."): count for name, count in rows.items()}
    return UNKNOWN.model_copy(update={"training": Training(questions=questions)})


def asked(manifest: Manifest | None, task: str) -> list[str]:
    return [question.id for question in asked_questions(manifest, TASKS[task])]


@pytest.mark.parametrize("manifest", [None, UNKNOWN, trained()], ids=["none", "unknown", "nothing"])
@pytest.mark.parametrize("task", TASKS)
def test_all_questions_are_asked_of_a_model_of_which_nothing_is_known(manifest, task):
    assert asked(manifest, task) == [question.id for question in TASKS[task].questions]


def test_the_trained_wording_of_a_task_answers_it():
    manifest = trained(mental_disorder__tsid=5)
    assert asked(manifest, "mental_disorder") == ["mental_disorder.tsid"]
    manifest = trained(mental_disorder__tsid=0, mental_disorder__swmh=5)
    assert asked(manifest, "mental_disorder") == ["mental_disorder.swmh"]
    both = trained(mental_disorder__tsid=5, mental_disorder__swmh=1)
    assert asked(both, "mental_disorder") == ["mental_disorder.tsid", "mental_disorder.swmh"]


def test_parts_of_one_wording_are_asked_together():
    manifest = trained(wellness__social=5)
    assert len(asked(manifest, "wellness")) == 6
    note = untrained_note(manifest, TASKS["wellness"], QUESTIONS["wellness.spiritual"])
    assert note == "The model was trained on no rows with this question."


def test_rows_of_a_question_that_is_not_named_are_none():
    question = QUESTIONS["stress"]
    assert trained_rows(trained(stress=7), question) == 7
    assert trained_rows(trained(loneliness=7), question) == 0
    assert trained_rows(UNKNOWN, question) is None
    assert untrained_note(UNKNOWN, TASKS["stress"], question) is None
    assert untrained_note(trained(stress=7), TASKS["stress"], question) is None
