"""What is built from what, and who explains it: the recipe of `mentalllama-train data build`.

A YAML file with the fields below. Its paths are relative to the file, so that a folder with recipe
and sources can be moved.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from imhi.tasks import DATASETS, Question
from training.data.example import Split
from training.errors import RecipeError
from training.recipe_model import read_model

Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0)]


class Price(BaseModel):
    """What a million tokens cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Amount = 0.0
    completion: Amount = 0.0
    currency: str = "USD"


class TeacherRecipe(BaseModel):
    """An OpenAI-compatible endpoint, and how it is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(description="Up to and with `/v1`.")
    model: str = Field(min_length=1)
    api_key_env: str | None = Field(
        default=None, description="The environment variable that holds the key."
    )
    few_shot: int = Field(default=2, ge=0, description="Expert examples of each label.")
    label_free_share: Share = Field(
        default=0.0,
        description="Share of the rows that are also asked without their label, to measure how "
        "often the teacher agrees with it.",
    )
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    max_tokens: Annotated[int, Field(ge=1)] = 400
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 16
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None
    timeout: Annotated[float, Field(gt=0)] = Field(
        default=120.0, description="Seconds until a request counts as hung."
    )
    attempts: Annotated[int, Field(ge=1)] = Field(
        default=6, description="How often a request is sent before its row is left for the next run"
    )
    backoff: Amount = Field(
        default=1.0, description="Seconds before the second attempt; doubled for each one after it."
    )
    price: Price = Price()

    @field_validator("base_url")
    @classmethod
    def _url(cls, value: str) -> str:
        try:
            AnyHttpUrl(value)
        except ValidationError:
            raise ValueError("name a URL such as http://127.0.0.1:8000/v1") from None
        if "@" in value or "?" in value:
            raise ValueError("a key does not belong into the URL: name its variable, `api_key_env`")
        return value.rstrip("/")

    def key(self) -> SecretStr:
        """The key, from the environment; a word that says so where the endpoint needs none.

        Raises:
            RecipeError: the variable is not set.
        """
        if self.api_key_env is None:
            return SecretStr("none")
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise RecipeError(
                f"The environment variable {self.api_key_env}, which `teacher.api_key_env` names, "
                "is not set: put the endpoint's key into it."
            )
        return SecretStr(key)


class LabelColumn(BaseModel):
    """Where the label of a question stands, and what its cells mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = Field(min_length=1)
    values: Mapping[str, str] = Field(
        default_factory=dict,
        description="Cell to label id; without any, a cell must be a label's id or name.",
    )
    evidence: str | None = Field(
        default=None, description="The column in which annotators marked parts of the post."
    )

    @field_validator("values", mode="before")
    @classmethod
    def _texts(cls, value: object) -> object:
        """Keys as text: `1: "yes"` is meant as the cell `1`."""
        if isinstance(value, Mapping):
            return {str(cell): label for cell, label in value.items()}
        return value


class SourceRecipe(BaseModel):
    """One set and its files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: str
    files: Mapping[Split, Path] = Field(
        min_length=1, description="Split to file, or to a folder with a folder for each label."
    )
    text: tuple[str, ...] | None = Field(
        default=None, description="The columns that make the post, joined by an empty line."
    )
    labels: Mapping[str, LabelColumn] | None = Field(
        default=None, description="Question id to its column; in place of the known format."
    )
    agreed: bool = Field(
        default=False, description="You have the agreement that the source asks for."
    )

    @field_validator("text", mode="before")
    @classmethod
    def _columns(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("set")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in DATASETS:
            raise ValueError(f"there is no set {value}; the sets are: {', '.join(DATASETS)}")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        questions = {question.id: question for question in DATASETS[self.set].questions}
        for name, column in (self.labels or {}).items():
            if name not in questions:
                raise ValueError(
                    f"{self.set} does not ask {name}; its questions are: {', '.join(questions)}"
                )
            _check_labels(column.values, questions[name])
        return self


class BuildRecipe(BaseModel):
    """A whole recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    root: Path = Path()
    sources: tuple[SourceRecipe, ...] = Field(min_length=1)
    teacher: TeacherRecipe
    templates: Path | None = Field(
        default=None, description="A folder of templates that go before those that ship."
    )
    check: Path | None = Field(
        default=None, description="A recipe of `data check`, in place of the one that ships."
    )
    limit: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Most posts of a file that are explained; drawn by `seed`."
    )
    seed: int = Field(default=0, description="Of the examples that are drawn, and of the samples.")
    output: Path

    @model_validator(mode="after")
    def _once(self) -> Self:
        sets = [source.set for source in self.sources]
        twice = sorted({name for name in sets if sets.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands twice; name all its files in one source")
        return self


def _check_labels(values: Mapping[str, str], question: Question) -> None:
    known = {label.id for label in question.labels}
    unknown = sorted(set(values.values()) - known)
    if unknown:
        raise ValueError(
            f"{question.id} has no label {', '.join(unknown)}; its labels are: "
            f"{', '.join(sorted(known))}"
        )


def load_build_recipe(path: Path) -> BuildRecipe:
    """Read a recipe; its paths become absolute.

    Raises:
        RecipeError: it cannot be read, or a field does not exist or is wrong.
    """
    recipe = read_model(BuildRecipe, path)
    here = path.absolute().parent
    root = here / recipe.root.expanduser()
    sources = tuple(
        source.model_copy(
            update={
                "files": {split: root / file.expanduser() for split, file in source.files.items()}
            }
        )
        for source in recipe.sources
    )

    def absolute(one: Path | None) -> Path | None:
        return None if one is None else here / one.expanduser()

    return recipe.model_copy(
        update={
            "root": root,
            "sources": sources,
            "templates": absolute(recipe.templates),
            "check": absolute(recipe.check),
            "output": here / recipe.output.expanduser(),
        }
    )
