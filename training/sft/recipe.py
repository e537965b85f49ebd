"""The recipe: everything that decides what a training run does.

A YAML file and `field=value` pairs are read by `training.sft.recipe_file` and
`training.sft.overrides`, which end in `training.sft.recipe_fields.recipe_of`; the trainer, the
memory estimate and the plan read the frozen `Recipe` and nothing else. A run keeps its recipe
beside its checkpoints with `dump`, and `difference` says in what two differ. The descriptions here
and in `training.sft.sections` are the documentation: `docs/recipes.md` is generated from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, Field, model_validator

from training.sft.sections import (
    BalanceSection,
    CheckpointsSection,
    Count,
    DataSection,
    EvaluationSection,
    LossSection,
    MethodSection,
    ModelSection,
    OptimisationSection,
    PrecisionSection,
    Section,
)

MASKED = frozenset({"sdpa", "grouped", "eager"})
"""Implementations of attention that take a mask of who sees whom; the others take positions that
start anew."""


class Recipe(Section):
    """A training run."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="The recipe's name, as in its file's."
    )
    description: str = Field(
        default="", description="What the recipe is for, in a sentence or two."
    )
    source: str = Field(default="", description="Where its numbers come from.")
    unknown: tuple[str, ...] = Field(
        default=(),
        description="Fields whose value in the work that the recipe follows is not known: what "
        "stands here is an assumption.",
    )
    model: ModelSection = Field(description="What is trained.")
    data: DataSection = Field(default_factory=DataSection, description="What it is trained on.")
    loss: LossSection = Field(default_factory=LossSection, description="What the loss counts.")
    balance: BalanceSection = Field(
        default_factory=BalanceSection, description="What each row weighs."
    )
    layout: Literal["padded", "packed", "shared"] = Field(
        default="padded",
        description="How rows become sequences. `padded`: one row each, grouped by length. "
        "`packed`: rows end to end up to `data.max_tokens`, none attending to another, without "
        "padding; for GPUs. `shared`: one post with all its questions as branches, so that the "
        "post is computed once; the fastest on a CPU.",
    )
    pad_to_multiple_of: Count = Field(
        default=64,
        description="Lengths are padded to a multiple of this: fewer shapes, less memory lost to "
        "fragments.",
    )
    method: MethodSection = Field(
        default_factory=MethodSection, description="Which weights are trained."
    )
    optimisation: OptimisationSection = Field(
        default_factory=OptimisationSection, description="How the weights move."
    )
    precision: PrecisionSection = Field(
        default_factory=PrecisionSection, description="Numbers and memory."
    )
    evaluation: EvaluationSection = Field(
        default_factory=EvaluationSection, description="Measuring while training."
    )
    checkpoints: CheckpointsSection = Field(
        default_factory=CheckpointsSection, description="What is kept on disk."
    )
    trackers: tuple[
        Literal["tensorboard", "wandb", "mlflow", "comet_ml", "trackio", "clearml", "swanlab"], ...
    ] = Field(
        default=("tensorboard",),
        description="Where curves are logged, by transformers' names; each but tensorboard needs "
        "its own package. `[]` logs nowhere.",
    )
    log_every: Count = Field(
        default=10,
        description="Steps between two points of the curve; a checkpoint's step is one besides.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        default=1, description="Seed of everything drawn: order, samples, dropout, adapters."
    )
    output: Path = Field(
        description="The folder for checkpoints, logs and the result; made if it is not there."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if problems := tuple(_at_odds(self)):
            raise ValueError("; ".join(problems))
        return self


def _at_odds(recipe: Recipe) -> Iterator[str]:
    """What of a recipe's fields cannot hold together, in words that name the fields."""
    if recipe.data.sets == () or recipe.data.origins == ():
        yield "an empty `data.sets` or `data.origins` leaves no rows; null takes all"
    if recipe.layout == "shared" and recipe.model.attention not in MASKED:
        yield (
            f"`layout: shared` needs a mask that `model.attention: {recipe.model.attention}` does "
            "not take; set `model.attention` to sdpa, or `layout` to packed or padded"
        )
    if recipe.loss.full_text and recipe.loss.answer_weight is not None:
        yield (
            "`loss.full_text` counts every token alike and `loss.answer_weight` does not; set one "
            "of them to null or false"
        )
    if recipe.loss.full_text and recipe.layout == "shared":
        yield (
            "`loss.full_text` trains the questions, whose first token follows another branch in "
            "`layout: shared`; set `layout` to padded or packed"
        )
    every = recipe.evaluation.every
    if every and recipe.checkpoints.every % every and not recipe.optimisation.average_last:
        yield (
            f"the best checkpoint is chosen at evaluations; set `checkpoints.every` to a multiple "
            f"of `evaluation.every`, which is {every}"
        )
    if recipe.evaluation.patience is not None and not every:
        yield "`evaluation.patience` needs evaluations; set `evaluation.every` to their distance"
    checkpoints, average = recipe.checkpoints, recipe.optimisation.average_last
    if average and not checkpoints.every:
        yield "`optimisation.average_last` needs checkpoints; set `checkpoints.every`"
    if checkpoints.keep is not None and average > checkpoints.keep:
        yield (
            f"`optimisation.average_last` is {average} and `checkpoints.keep` only "
            f"{checkpoints.keep}; raise `checkpoints.keep`"
        )
    if recipe.method.kind == "qlora" and recipe.precision.weights != "bfloat16":
        yield "`method.kind: qlora` needs `precision.weights: bfloat16`"


def dump(recipe: Recipe) -> str:
    """The recipe as YAML, every field written out; `training.sft.recipe_file` reads it back."""
    values = recipe.model_dump(mode="json")
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100))


def difference(left: Recipe, right: Recipe) -> list[str]:
    """Dotted names of the fields in which two recipes differ, in the recipe's order."""
    one, other = (flatten(recipe.model_dump(mode="json")) for recipe in (left, right))
    return [name for name in one if one[name] != other[name]]


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted field name to value, of values that are nested by section.

    What is no section comes out as it is: `balance.set_weights` is one field, and so is a name that
    does not exist.
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if name in SECTIONS and isinstance(value, Mapping):
            flat |= {f"{name}.{field}": inner for field, inner in value.items()}
        else:
            flat[name] = value
    return flat


SECTIONS: Mapping[str, type[BaseModel]] = {
    name: field.annotation
    for name, field in Recipe.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
"""The sections by the name of the field that holds them."""
