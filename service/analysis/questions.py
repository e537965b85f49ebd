"""Which questions a task asks of a model, and how much of each the model was trained on.

Some tasks are asked in the wordings of several data sets: `mental_disorder` in T-SID's and in
SWMH's, each with labels of its own. A model that was trained on one of them answers the task
through that one. `asked_questions` makes this choice from the manifest, `untrained_note` says it in
words; a question that is named by its id is asked of any model.
"""

from __future__ import annotations

from collections.abc import Sequence

from imhi.tasks import DATASETS, Question, Task
from service.analysis.manifest import Manifest


def trained_rows(manifest: Manifest | None, question: Question) -> int | None:
    """Rows with this question that the model was trained on, or None where it is not known."""
    counts = manifest.training.questions if manifest and manifest.training else None
    return None if counts is None else counts.get(question.id, 0)


def asked_questions(manifest: Manifest | None, task: Task) -> tuple[Question, ...]:
    """The questions that a model is asked where a request names the task.

    Args:
        manifest: the model's; None where it is not known.
        task: the task.

    Returns:
        All of the task's questions in their order, but for wordings that the model was not trained
        on where it was trained on another wording of the task.
    """
    wordings = _wordings(task)
    trained = [wording for wording in wordings if _is_trained(manifest, wording)]
    return tuple(question for wording in trained or wordings for question in wording)


def untrained_note(manifest: Manifest | None, task: Task, question: Question) -> str | None:
    """What a user should know of a question that the model was not trained on, else None."""
    if trained_rows(manifest, question) != 0:
        return None
    note = "The model was trained on no rows with this question"
    others = [other.id for other in asked_questions(manifest, task)]
    if question.id in others:
        return f"{note}."
    return f"{note}; the task is answered through {' and '.join(others)}."


def _wordings(task: Task) -> list[Sequence[Question]]:
    """The task's questions, those of one data set together: they are parts of one wording."""
    wordings = {dataset.questions: None for dataset in DATASETS.values() if dataset.task == task.id}
    order = {question.id: place for place, question in enumerate(task.questions)}
    return sorted(wordings, key=lambda wording: order[wording[0].id])


def _is_trained(manifest: Manifest | None, wording: Sequence[Question]) -> bool:
    return any(trained_rows(manifest, question) != 0 for question in wording)
