"""Rows and answers put together: a `Record` for every row of a run."""

from __future__ import annotations

from dataclasses import replace

from training.data.example import Example
from training.evaluate.journal import Journal, Way
from training.evaluate.records import Explained, FreeForm, Read, Record
from training.evaluate.selection import Selection
from training.evaluate.source import Source


def records_of(selection: Selection, source: Source, journal: Journal) -> tuple[Record, ...]:
    """Put together each row and what the journal holds on it, in the order of the rows."""
    return tuple(_record(example, selection, source, journal) for example in selection.examples)


def _record(example: Example, selection: Selection, source: Source, journal: Journal) -> Record:
    outcomes = {
        way: outcome
        for way in Way
        if example.id in selection.asked[way] and (outcome := journal.get(example.id, way))
    }
    read, explained, free_form = (outcomes[way].answer if way in outcomes else None for way in Way)
    if (failure := outcomes.get(Way.FREE_FORM)) and failure.error:
        # A response that could not be had is one that cannot be read.
        free_form = FreeForm("", "error", 0, None, None, failure.error)
    return replace(
        blank_record(example, source),
        read=read if isinstance(read, Read) else None,
        explained=explained if isinstance(explained, Explained) else None,
        free_form=free_form if isinstance(free_form, FreeForm) else None,
        error=outcomes[Way.READ].error if Way.READ in outcomes else None,
        cut=max((outcome.cut for outcome in outcomes.values()), default=0),
    )


def blank_record(example: Example, source: Source) -> Record:
    """The record of a sample that was not asked anything yet."""
    return Record(
        id=example.id,
        set=example.set,
        split=example.split.value,
        question=example.question.id,
        post=example.post,
        post_key=example.post_key,
        reference=example.label.id,
        annotation=example.annotation.id if example.annotation else None,
        reference_explanation=example.explanation,
        seen=source.was_seen(example),
        read=None,
        explained=None,
        free_form=None,
        error=None,
        cut=0,
    )
