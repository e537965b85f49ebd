"""`mentalllama tasks`: what can be asked of a text, and what can be answered."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from imhi.tasks import TASKS, WORDING_VERSION, Question
from service.cli.failures import failures_reported
from service.cli.terminal import output, print_json


def tasks(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the tasks, their questions and each question's labels.

    The ids are those that --tasks, --questions and --threshold take. A label with ! points to
    suicide or self-harm.
    """
    with failures_reported():
        if as_json:
            print_json(_catalogue())
            return
        output().print(_table())


def _catalogue() -> dict[str, Any]:
    """What `GET /tasks` answers where no model is loaded."""
    from service.api.catalogue import Catalogue, task_entries

    catalogue = Catalogue(model=None, wording_version=WORDING_VERSION, tasks=list(task_entries()))
    return catalogue.model_dump(mode="json")


def _table() -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption=f"Wording {WORDING_VERSION}. ! points to suicide or self-harm.",
        caption_justify="left",
    )
    table.add_column("Task", no_wrap=True)
    table.add_column("Question", no_wrap=True)
    table.add_column("Labels", overflow="fold")
    for task in TASKS.values():
        for index, question in enumerate(task.questions):
            table.add_row(task.id if index == 0 else "", question.id, _labels(question))
    return table


def _labels(question: Question) -> str:
    return ", ".join(f"{label.id}{'!' if label.urgent else ''}" for label in question.labels)
