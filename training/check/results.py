"""The results of a check: the form of `check.json`. No field holds any of a post."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from training.check.recipe import CheckRecipe
from training.evaluate.results import Count, Figure

RESULTS_FILE = "check.json"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RuleResults(_Entry):
    """What one rule found."""

    id: str
    description: str
    action: str
    found: Mapping[str, Count] = Field(description="Set to rows.")


class SetResults(_Entry):
    """What was found in a set."""

    set: str
    rows: Count
    explained: Count = Field(description="Rows with an explanation.")
    verdicts: Mapping[str, Count] = Field(description="`ok`, `note`, `review`, `reject` to rows.")
    correctness: Figure = Field(description="Share of labels that are the annotators'.")
    annotated: Count = Field(description="Rows with an annotators' label.")
    consistency: Figure = Field(
        description="Weighted F1 of the classifier from explanation to label, on posts that it "
        "did not learn from."
    )
    read: Count = Field(description="Explanations that the classifier read.")
    quotes_found: Figure = Field(description="Share of all quotes that stand in their post.")
    quotes: Count
    words: Figure = Field(description="Median number of words of an explanation.")
    bertscore: Figure = Field(description="Mean F1 against experts' explanations.")
    bartscore: Figure = Field(description="Mean, likewise.")
    with_expert: Count = Field(description="Explanations that were scored against an expert's.")


class CheckResults(_Entry):
    """All that a check found."""

    schema_version: Literal[1] = 1
    created: str = Field(description="When, in UTC, ISO 8601.")
    source: str = Field(description="What was checked: the name of a folder, never a path.")
    splits: tuple[str, ...]
    reader: str = Field(description="What the classifier of the consistency reads with.")
    recipe: CheckRecipe
    unread: Count = Field(description="Rows of the files that could not be read.")
    rules: tuple[RuleResults, ...]
    sets: tuple[SetResults, ...]
