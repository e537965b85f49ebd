"""The fields of a recipe as a flat table, and nested values as a `Recipe`.

`training.sft.overrides` looks names up here and `training.sft.recipe_docs` writes the table out;
`recipe_of` is the one way from values to a recipe, with errors that name the field, what it takes
and what was meant.
"""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from training.errors import RecipeError
from training.sft.recipe import SECTIONS, Recipe


@dataclass(frozen=True, slots=True)
class RecipeField:
    """One field of a recipe.

    Attributes:
        name: dotted, as in `optimisation.learning_rate`.
        kind: what it takes, in words.
        description: what it does.
        required: whether a recipe must give it.
        default: its value where a recipe does not, as JSON values.
    """

    name: str
    kind: str
    description: str
    required: bool
    default: Any


def recipe_of(
    values: Mapping[str, Any],
    *,
    origin: str = "The recipe",
    place: Callable[[str], str] | None = None,
) -> Recipe:
    """Make a recipe from nested values, as YAML gives them.

    Args:
        values: by section and field.
        origin: what the values are from, for messages.
        place: dotted field name to where its value stands ("line 3", say), or to an empty string.

    Raises:
        RecipeError: a field that does not exist, a value out of range, or fields at odds; every
            one of them is named.
    """
    try:
        # Through JSON, whose arrays strict pydantic takes for tuples and whose strings for paths.
        recipe = Recipe.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        problems = _problems(error.errors(include_url=False), place or (lambda _: ""))
        raise RecipeError(f"{origin} cannot be used. {' '.join(problems)}") from None
    for name in recipe.unknown:
        if name not in FIELDS:
            raise RecipeError(
                f"{origin} cannot be used. `unknown` names a field that does not exist, {name}."
                f"{suggestion(name)}"
            )
    return recipe


def suggestion(name: str) -> str:
    """` Did you mean …?` for a name that is no field, or a hint where to look."""
    section, _, last = name.rpartition(".")
    beside = {
        field.rpartition(".")[2]: field for field in FIELDS if field.startswith(f"{section}.")
    }
    everywhere = {field.rpartition(".")[2]: field for field in FIELDS}
    for candidates in (beside, everywhere):
        if close := difflib.get_close_matches(last, candidates, n=2, cutoff=0.6):
            return f" Did you mean {' or '.join(f'`{candidates[one]}`' for one in close)}?"
    if section in SECTIONS:
        return f" The fields of `{section}` are {', '.join(f'`{one}`' for one in beside)}."
    return " docs/recipes.md lists the fields."


def _problems(errors: Iterable[ErrorDetails], place: Callable[[str], str]) -> list[str]:
    """A sentence for each wrong field; what a union's members say of one is put together."""
    by_field: dict[str, list[ErrorDetails]] = {}
    for error in errors:
        by_field.setdefault(_name(error), []).append(error)
    sentences: list[str] = []
    for name, found in by_field.items():
        where = f" ({at})" if (at := place(name)) else ""
        if not name:
            sentences.extend(f"{_reason(one)}." for one in found)
        elif found[0]["type"] == "extra_forbidden":
            sentences.append(f"There is no field `{name}`{where}.{suggestion(name)}")
        elif found[0]["type"] == "missing":
            sentences.append(f"`{name}` is missing{where}.")
        elif own := [_reason(one) for one in found if one["type"] == "value_error"]:
            sentences.append(f"`{name}`: {own[0]}{where}.")
        elif name in FIELDS:
            given = _shown(found[0]["input"])
            sentences.append(f"`{name}` takes {FIELDS[name].kind}, not {given}{where}.")
        else:
            sentences.append(f"`{name}`: {_reason(found[0])}{where}.")
    return sentences


def _name(error: ErrorDetails) -> str:
    """The field that an error is on; what pydantic adds of a union's member or an index is left."""
    parts = [str(part) for part in error["loc"]]
    depth = 2 if parts and parts[0] in SECTIONS else 1
    return ".".join(parts[:depth])


def _reason(error: ErrorDetails) -> str:
    return error["msg"].removeprefix("Value error, ")


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _fields() -> Mapping[str, RecipeField]:
    schema = Recipe.model_json_schema()
    table: dict[str, RecipeField] = {}
    for name, entry in schema["properties"].items():
        if name not in SECTIONS:
            table[name] = _field(name, entry, schema)
            continue
        section = schema["$defs"][SECTIONS[name].__name__]
        for inner, one in section["properties"].items():
            table[f"{name}.{inner}"] = _field(f"{name}.{inner}", one, section)
    return types.MappingProxyType(table)


def _field(name: str, entry: Mapping[str, Any], owner: Mapping[str, Any]) -> RecipeField:
    required = name.rpartition(".")[2] in owner.get("required", ())
    empty: dict[str, Any] = {}  # what JSON schema leaves out: the mapping that a factory makes
    return RecipeField(
        name=name,
        kind=_kind(entry),
        description=entry["description"],
        required=required,
        default=None if required else entry.get("default", empty),
    )


_KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "a mapping",
    "string": "a text",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def _kind(schema: Mapping[str, Any]) -> str:
    """What a JSON schema takes, in words."""
    if members := schema.get("anyOf"):
        return ", or ".join(_kind(member) for member in members)
    if choices := schema.get("enum"):
        return "one of " + ", ".join(f"`{choice}`" for choice in choices)
    if "const" in schema:
        return f"`{schema['const']}`"
    if fixed := schema.get("prefixItems"):
        return f"a list of {len(fixed)}, each {_kind(fixed[0])}"
    if items := schema.get("items"):
        return f"a list, each {_kind(items)}"
    if inner := schema.get("additionalProperties"):
        return f"a mapping to {_kind(inner)}"
    kind = "a path" if schema.get("format") == "path" else _KINDS[schema["type"]]
    bounds = [f"{words} {schema[key]}" for key, words in _BOUNDS.items() if key in schema]
    return f"{kind} {' and '.join(bounds)}".rstrip()


FIELDS: Mapping[str, RecipeField] = _fields()
"""Every field by its dotted name, in the order of the sections."""
