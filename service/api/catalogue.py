"""`GET /tasks`: what can be asked, and what the answers can be."""

from __future__ import annotations

from functools import cache

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from imhi.tasks import TASKS, WORDING_VERSION, Question
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


@cache
def task_entries() -> tuple[TaskEntry, ...]:
    """The tasks as JSON carries them."""
    return tuple(
        TaskEntry(
            id=task.id,
            title=task.title,
            description=task.description,
            questions=[_question(question) for question in task.questions],
        )
        for task in TASKS.values()
    )


def _question(question: Question) -> QuestionEntry:
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
    return QuestionEntry(id=question.id, text=question.text, labels=labels)


@router.get("/tasks", response_model=None)
async def tasks(request: Request) -> Response:
    """List the tasks, their questions and their labels."""
    state = current_state(request.app)
    catalogue = Catalogue(
        model=state.analyzer.model_name if state else None,
        wording_version=WORDING_VERSION,
        tasks=list(task_entries()),
    )
    return Response(catalogue.model_dump_json(), media_type="application/json")
