"""The results of a build: the form of `build.json`. No field holds any of a post."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from training.evaluate.results import Count, Figure

RESULTS_FILE = "build.json"


class Outcome(StrEnum):
    """What became of a row that was asked about.

    EXPLAINED: the teacher repeated the label and explained it, and the check let it pass. The
    others keep their label without an explanation. REJECTED: the check found a grave fault.
    OTHER_LABEL: the teacher named another label than it was given. UNREADABLE: no label or no
    explanation could be read. CUT_OFF: the answer ran into `max_tokens`. REFUSED: the teacher, or
    its endpoint, would not answer.
    """

    EXPLAINED = "explained"
    REJECTED = "rejected"
    OTHER_LABEL = "other_label"
    UNREADABLE = "unreadable"
    CUT_OFF = "cut_off"
    REFUSED = "refused"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileResults(_Entry):
    """What was read from a file."""

    set: str
    split: str
    source: str = Field(description="The file, relative to the recipe's root.")
    rows: Count
    examples: Count = Field(description="Questions on posts that have a label.")
    skipped: Mapping[str, Count] = Field(description="Reason to rows.")
    marks: Count = Field(description="Examples with words that annotators marked.")
    marks_found: Count = Field(description="Those whose marks stand in the post.")


class SetResults(_Entry):
    """What became of a set's rows."""

    set: str
    asked: Count
    outcomes: Mapping[str, Count] = Field(description="`Outcome` to rows.")
    explained: Figure = Field(description="Share of the rows that are explained.")
    reasons: Mapping[str, Count] = Field(
        description="Rule of the check to the rows that it rejected; a row can have several."
    )
    asked_freely: Count = Field(description="Rows asked without their label.")
    agreement: Figure = Field(
        description="Share of these on which the teacher named the annotators' label; an answer "
        "that names none counts as another."
    )


class UsageResults(_Entry):
    """What the answers cost."""

    sent: Count = Field(description="Requests of this run.")
    cached: Count = Field(description="Requests that an earlier run had answered.")
    prompt_tokens: Count = Field(description="Of both, as the endpoint counts them.")
    completion_tokens: Count
    retries: Mapping[str, Count] = Field(description="Reason to requests that were sent again.")
    cost: float = Field(ge=0, description="Of both, at the recipe's price.")
    currency: str


class BuildResults(_Entry):
    """All that a build did."""

    schema_version: Literal[1] = 1
    name: str
    created: str = Field(description="When, in UTC, ISO 8601.")
    teacher: str = Field(description="The model; never the endpoint's address.")
    few_shot: Count
    files: tuple[FileResults, ...]
    mended: Mapping[str, Count]
    removed: Mapping[str, Count]
    sets: tuple[SetResults, ...]
    usage: UsageResults
    warning: str = Field(description="What is to be said about the explanations, or nothing.")
