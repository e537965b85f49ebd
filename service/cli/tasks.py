"""`mentalllama tasks`: what can be asked of a text, and what can be answered."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from imhi.tasks import TASKS, WORDING_VERSION, Question
from service.analysis.manifest import Manifest
from service.analysis.questions import asked_questions, untrained_note
from service.cli.failures import failures_reported
from service.cli.terminal import output, print_json
from service.models import EMBEDDED, manifest_of


def tasks(
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The model that would be asked: `embedded`, a directory, or an id on a hub.",
        ),
    ] = EMBEDDED,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the tasks, their questions and each question's labels.

    The ids are those that --tasks, --questions and --threshold take. A label with ! points to
    suicide or self-harm. A question with * is asked only where --questions names it. Nothing is
    built, downloaded or loaded for it.
    """
    with failures_reported():
        manifest = manifest_of(model)
        if as_json:
            print_json(_catalogue(manifest))
            return
        output().print(_table(manifest))


def _catalogue(manifest: Manifest | None) -> dict[str, Any]:
    """What `GET /tasks` answers where the model is served."""
    from service.api.catalogue import Catalogue, task_entries

    catalogue = Catalogue(
        model=manifest.name if manifest else None,
        wording_version=WORDING_VERSION,
        tasks=task_entries(manifest),
    )
    return catalogue.model_dump(mode="json")


def _table(manifest: Manifest | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    table.add_column("Task", no_wrap=True)
    table.add_column("Question", no_wrap=True)
    table.add_column("Labels", overflow="fold")
    notes = []
    for task in TASKS.values():
        asked = asked_questions(manifest, task)
        for index, question in enumerate(task.questions):
            name = question.id if question in asked else f"{question.id}*"
            table.add_row(task.id if index == 0 else "", name, _labels(question))
            if note := untrained_note(manifest, task, question):
                notes.append(f"{question.id}: {note}")
    legend = f"Wording {WORDING_VERSION}. ! points to suicide or self-harm."
    table.caption = Text("\n".join([legend, *notes]))
    return table


def _labels(question: Question) -> str:
    return ", ".join(f"{label.id}{'!' if label.urgent else ''}" for label in question.labels)
