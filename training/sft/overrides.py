"""`field=value` on the command line: a recipe with some of its fields changed.

`resolve` reads a recipe by name, puts the overrides into its values, and makes a `Recipe` of them,
so that a value given here is checked exactly as one in the file. It keeps where each value is from,
for the plan.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from training.errors import RecipeError
from training.sft.recipe import SECTIONS, Recipe, flatten
from training.sft.recipe_fields import FIELDS, recipe_of, suggestion
from training.sft.recipe_file import read_values, scalar

Source = Literal["default", "recipe", "override"]

ADAPTER = frozenset(
    f"method.{name}" for name in ("rank", "alpha", "dropout", "targets", "train_embeddings")
)
"""Fields that matter only where an adapter is trained."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A recipe with its overrides.

    Attributes:
        recipe: what will run.
        origin: the recipe's name or file.
        overrides: the pairs as given.
        sources: dotted field name to where its value is from, for every field.
    """

    recipe: Recipe
    origin: str
    overrides: tuple[str, ...]
    sources: Mapping[str, Source]


def resolve(recipe: str, overrides: Sequence[str] = ()) -> Resolved:
    """Read a recipe and change fields of it.

    Args:
        recipe: a shipped recipe's name, or a YAML file.
        overrides: `field=value`; the field dotted, the value as YAML. The last of two wins.

    Raises:
        RecipeError: the recipe cannot be read, a pair is malformed or names no field, or the result
            is no recipe.
    """
    found = read_values(recipe)
    pairs = dict(_pair(text) for text in overrides)
    values = _with(found.values, pairs)
    resolved = recipe_of(
        values,
        origin=found.origin,
        place=lambda name: "given on the command line" if name in pairs else found.place(name),
    )
    _check_used(resolved, pairs)
    given = flatten(found.values)
    sources: dict[str, Source] = {
        name: "override" if name in pairs else "recipe" if name in given else "default"
        for name in FIELDS
    }
    return Resolved(resolved, found.origin, tuple(overrides), sources)


def _pair(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    name = name.strip()
    if not sign or not name:
        raise RecipeError(
            f"{text!r} is no override: write field=value, as in optimisation.learning_rate=1e-4."
        )
    if name in SECTIONS:
        raise RecipeError(f"`{name}` is a section: set one of its fields.{suggestion(f'{name}.')}")
    mapping = name.rpartition(".")[0]
    if name not in FIELDS and not (FIELDS.get(mapping) and FIELDS[mapping].default == {}):
        raise RecipeError(f"There is no field `{name}`.{suggestion(name)}")
    try:
        return name, scalar(value)
    except yaml.YAMLError:
        takes = FIELDS[name].kind if name in FIELDS else f"a value of `{mapping}`"
        raise RecipeError(
            f"`{name}`: the value cannot be read as YAML; put it in quotes. It takes {takes}."
        ) from None


def _with(values: Mapping[str, Any], pairs: Mapping[str, Any]) -> dict[str, Any]:
    """The values with dotted names set; a section that is not there is made."""
    changed = copy.deepcopy(dict(values))
    for name, value in pairs.items():
        *path, last = name.split(".")
        inner = changed
        for part in path:
            if not isinstance(inner.get(part), dict):
                inner[part] = {}
            inner = inner[part]
        inner[last] = value
    return changed


def _check_used(recipe: Recipe, pairs: Mapping[str, Any]) -> None:
    """Refuse an override that would change nothing, which is never what was meant."""
    if recipe.method.kind != "full" and pairs.get("method.frozen_layers"):
        raise RecipeError(
            "`method.frozen_layers`: an adapter leaves all layers as they are. Set "
            "method.kind=full as well, or leave it out."
        )
    if recipe.method.kind == "full" and (unused := sorted(ADAPTER & set(pairs))):
        names = ", ".join(f"`{name}`" for name in unused)
        raise RecipeError(
            f"{names}: without an adapter this has no effect. Set method.kind=lora as well, or "
            "leave it out."
        )
