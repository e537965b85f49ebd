"""What a check looks for, how strict it is, and what a finding means: the recipe.

A YAML file with the fields below; `training/check/recipes/default.yaml` is used when none is named.
Every field has a default, so that a file need only say what differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from training.errors import RecipeError
from training.evaluate import faults
from training.recipe_model import read_model

DEFAULT = Path(__file__).parent / "recipes" / "default.yaml"

Share = Annotated[float, Field(ge=0, le=1)]


class Action(StrEnum):
    """What a finding means for its row.

    REJECT: do not learn from it. REVIEW: a person should look. NOTE: it is counted, no more. OFF:
    it is not looked for.
    """

    REJECT = "reject"
    REVIEW = "review"
    NOTE = "note"
    OFF = "off"


class Thresholds(BaseModel):
    """How strict the rules are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quotes_found: Share = Field(
        default=1.0, description="Least share of an explanation's quotes that stands in the post."
    )
    min_words: int = Field(default=8, ge=0, description="Fewer words explain nothing.")
    max_words: int = Field(default=250, ge=1, description="More words ramble.")
    max_copied: Share = Field(
        default=faults.MAX_COPIED,
        description="Largest share of an explanation that may be one run of the post's words.",
    )
    max_repeated_4grams: Share = Field(
        default=faults.MAX_REPEATED_4GRAMS,
        description="Largest share of an explanation's 4-grams that may be repetitions.",
    )
    consistency: Share = Field(
        default=0.5,
        description="An explanation is inconsistent where the classifier gives its label less than "
        "this, and another label more.",
    )
    bertscore: float | None = Field(
        default=None, ge=-1, le=1, description="Least BERTScore F1 against an expert's explanation."
    )
    bartscore: float | None = Field(
        default=None, le=0, description="Least BARTScore against an expert's explanation."
    )


class Consistency(BaseModel):
    """The classifier from explanation to label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str | None = Field(
        default=None,
        description="Directory or hub id of an encoder whose mean-pooled vectors are classified; "
        "without one, TF-IDF of words and pairs of words.",
    )
    folds: int = Field(
        default=5, ge=2, description="Parts of the posts; each is read by what learned from others."
    )
    min_rows: int = Field(
        default=10, ge=2, description="A label with fewer explanations is left out of it."
    )
    hide_labels: bool = Field(
        default=False,
        description="Take the names of labels and of what was asked out of the explanations first, "
        "so that only the reasoning is left to read.",
    )


class CheckRecipe(BaseModel):
    """A whole recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    actions: Mapping[str, Action] = Field(
        default_factory=dict, description="Rule to action, in place of the rule's own."
    )
    thresholds: Thresholds = Thresholds()
    consistency: Consistency = Consistency()
    examples: int = Field(
        default=5, ge=0, description="Examples of each failure in the report, a set."
    )
    seed: int = Field(default=0, description="Of folds and examples.")


def load_check_recipe(path: Path | None) -> CheckRecipe:
    """Read a recipe; None for the one that ships.

    Raises:
        RecipeError: it cannot be read, or a field does not exist or is out of range.
    """
    from training.check.rules import RULES

    source = path or DEFAULT
    recipe = read_model(CheckRecipe, source)
    unknown = sorted(recipe.actions.keys() - RULES.keys())
    if unknown:
        raise RecipeError(
            f"{source.name}: there is no rule {', '.join(unknown)}; there are: {', '.join(RULES)}."
        )
    return recipe
