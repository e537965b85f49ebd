"""`GET /tasks`: what can be asked, and what the answers can be."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from imhi.tasks import TASKS, WORDING_VERSION, Question, Task
from service.analysis.manifest import Manifest
from service.analysis.questions import asked_questions, trained_rows, untrained_note
from service.api.route import ServiceRoute
from service.api.state import current_state

router = APIRouter(route_class=ServiceRoute)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelEntry(_Entry):
    """One of a question's possible answers."""

    id: str = Field(description="Stable; unique within its question.", examples=["yes"])
    name: str = Field(description="The label in words.", examples=["yes"])
    answer: str = Field(
        description="The full answer sentence whose probability is read.",
        examples=["Yes, the poster suffers from stress."],
    )
    urgent: bool = Field(
        description="Whether the label points to suicide or self-harm.", examples=[False]
    )
    negative: bool = Field(
        description="Whether the label says that nothing was found.", examples=[False]
    )


class QuestionEntry(_Entry):
    """A question and its closed set of labels."""

    id: str = Field(description="Stable.", examples=["stress"])
    text: str = Field(
        description="As the model is asked it.", examples=["Does the poster suffer from stress?"]
    )
    labels: list[LabelEntry] = Field(description="All labels, in their order.")
    asked_by_default: bool = Field(
        description=(
            "Whether a request that names the task asks it. A question that is not can be asked "
            "by its id."
        ),
        examples=[True],
    )
    trained_rows: int | None = Field(
        description=(
            "Rows with this question that the model was trained on; null where its manifest does "
            "not say."
        ),
        examples=[2837],
    )
    note: str | None = Field(
        description="What else to know before asking it; null for most questions.",
        examples=[None],
    )


class TaskEntry(_Entry):
    """One or more questions that are asked together."""

    id: str = Field(description="Stable.", examples=["stress"])
    title: str = Field(description="For people.", examples=["Stress"])
    description: str = Field(
        description="What is asked.",
        examples=["Whether the post reads as if the poster suffers from stress."],
    )
    questions: list[QuestionEntry] = Field(description="Its questions, in their order.")


class Catalogue(_Entry):
    """Everything that can be asked."""

    model: str | None = Field(
        description="The served model; null while it is loaded.", examples=["mentalllama-embedded"]
    )
    wording_version: str = Field(
        description="Version of the questions' and labels' wording.", examples=[WORDING_VERSION]
    )
    tasks: list[TaskEntry] = Field(description="All tasks, in their order.")


def task_entries(manifest: Manifest | None) -> list[TaskEntry]:
    """The tasks as JSON carries them.

    Args:
        manifest: that of the model that would be asked; None where it is not known.
    """
    return [
        TaskEntry(
            id=task.id,
            title=task.title,
            description=task.description,
            questions=[_question(manifest, task, question) for question in task.questions],
        )
        for task in TASKS.values()
    ]


def _question(manifest: Manifest | None, task: Task, question: Question) -> QuestionEntry:
    labels = [
        LabelEntry(
            id=label.id,
            name=label.name,
            answer=label.answer,
            urgent=label.urgent,
            negative=label.id == question.negative,
        )
        for label in question.labels
    ]
    return QuestionEntry(
        id=question.id,
        text=question.text,
        labels=labels,
        asked_by_default=question in asked_questions(manifest, task),
        trained_rows=trained_rows(manifest, question),
        note=untrained_note(manifest, task, question),
    )


@router.get("/tasks", response_model=None)
async def tasks(request: Request) -> Response:
    """List the tasks, their questions and their labels."""
    state = current_state(request.app)
    catalogue = Catalogue(
        model=state.analyzer.model_name if state else None,
        wording_version=WORDING_VERSION,
        tasks=task_entries(state.analyzer.manifest if state else None),
    )
    return Response(catalogue.model_dump_json(), media_type="application/json")
