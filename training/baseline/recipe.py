"""What a rival is and how it is trained or asked: the recipe.

`training/baseline/recipes` holds those that ship; one is named by its file there, or by a path.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from training.build.recipe import TeacherRecipe
from training.errors import RecipeError
from training.recipe_model import read_model

SHIPPED = Path(__file__).parent / "recipes"


class Kind(StrEnum):
    """What a rival is.

    TFIDF: logistic regression on words and pairs of words, one for each question. EMBEDDING: the
    same on the vectors of an encoder that is not trained. ENCODER: an encoder that is trained, with
    a head for each question. SEQ2SEQ: BART or T5, trained on the completion wording. ENDPOINT: any
    OpenAI-compatible endpoint, with or without examples.
    """

    TFIDF = "tfidf"
    EMBEDDING = "embedding"
    ENCODER = "encoder"
    SEQ2SEQ = "seq2seq"
    ENDPOINT = "endpoint"


class Way(StrEnum):
    """How an endpoint is asked.

    FREE_FORM: it writes its answer, and the label is read from the text, as in the paper. READ: the
    likelihood of every answer sentence is taken from its completions route.
    """

    FREE_FORM = "free_form"
    READ = "read"


class TrainingRecipe(BaseModel):
    """How a rival is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: Annotated[float, Field(gt=0)] = 3.0
    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    batch_size: Annotated[int, Field(ge=1)] = 16
    max_tokens: Annotated[int, Field(ge=8)] = 256
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    balance_sets: bool = Field(
        default=True, description="Weigh sets by the square root of their rows."
    )


class BaselineRecipe(BaseModel):
    """A whole recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="What the report calls it.")
    kind: Kind
    model: str | None = Field(
        default=None, description="Directory or hub id, for `embedding`, `encoder` and `seq2seq`."
    )
    source: str = Field(default="", description="Where its settings are from.")
    regularisation: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="C of the logistic regression."
    )
    training: TrainingRecipe = TrainingRecipe()
    endpoint: TeacherRecipe | None = None
    way: Way = Way.FREE_FORM
    templates: Path | None = None
    explained: bool = Field(
        default=True, description="Train `seq2seq` to explain its label too, where it is explained."
    )
    seed: int = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind in (Kind.EMBEDDING, Kind.ENCODER, Kind.SEQ2SEQ) and not self.model:
            raise ValueError(f"`model`: {self.kind} needs a directory or an id on a hub")
        if self.kind is Kind.ENDPOINT and self.endpoint is None:
            raise ValueError("`endpoint`: name its base_url and its model")
        return self


def shipped() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def load_baseline_recipe(
    name: str, overrides: Mapping[str, object] | None = None
) -> BaselineRecipe:
    """Read a recipe.

    Args:
        name: of one that ships, or the path of a YAML file.
        overrides: fields in place of the file's, such as `model`.

    Raises:
        RecipeError: there is none, or a field does not exist or is wrong.
    """
    path = SHIPPED / f"{name}.yaml" if name in shipped() else Path(name).expanduser()
    if not path.is_file():
        close = difflib.get_close_matches(name, shipped(), n=2, cutoff=0.6)
        meant = f" Did you mean {' or '.join(close)}?" if close else ""
        raise RecipeError(
            f"There is no recipe {name!r}.{meant} Name a YAML file, or one of: "
            f"{', '.join(shipped())}."
        )
    return read_model(BaselineRecipe, path, overrides)
