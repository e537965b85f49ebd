"""Reads recipes: those that ship with the package, and YAML files.

YAML is read by the rules of version 1.2's core schema: `1e-4` is a number, `no` and `2024-01-01`
are texts, and a key that stands twice is refused. Values stay as they are; making a `Recipe` of
them, and saying what is wrong with them, is `training.sft.recipe_fields`'.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from training.errors import RecipeError
from training.sft.recipe import SECTIONS, Recipe
from training.sft.recipe_fields import recipe_of

SHIPPED = Path(__file__).resolve().parents[1] / "recipes"
"""Where the recipes lie that come with the package."""

ACCELERATE = SHIPPED / "accelerate"
"""Where the configurations of accelerate lie that come with the package."""


@dataclass(frozen=True, slots=True)
class Values:
    """What stands in a recipe's file.

    Attributes:
        origin: the file, for messages.
        values: by section and field.
        lines: dotted field name to the number of its line, from 1.
    """

    origin: str
    values: Mapping[str, Any]
    lines: Mapping[str, int]

    def place(self, name: str) -> str:
        """Where a field stands, or an empty string where it does not."""
        return f"line {self.lines[name]}" if name in self.lines else ""


def shipped() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def read_values(recipe: str) -> Values:
    """Read a recipe's values, not yet checked.

    Args:
        recipe: name of a shipped recipe, or the path of a YAML file.

    Raises:
        RecipeError: there is none of that name, or the file is no YAML mapping.
    """
    path = SHIPPED / f"{recipe}.yaml" if recipe in shipped() else Path(recipe).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        close = difflib.get_close_matches(recipe, shipped(), n=2, cutoff=0.6)
        meant = f" Did you mean {' or '.join(close)}?" if close else ""
        raise RecipeError(
            f"There is no recipe {recipe!r}.{meant} Name a YAML file, or one of: "
            f"{', '.join(shipped())}."
        ) from None
    return parse(text, str(path) if recipe not in shipped() else recipe)


def read_recipe(recipe: str) -> Recipe:
    """Read a recipe as it stands; see `read_values` and `recipe_of` for what is raised."""
    found = read_values(recipe)
    return recipe_of(found.values, origin=found.origin, place=found.place)


def parse(text: str, origin: str) -> Values:
    """Read YAML that is to be a recipe.

    Raises:
        RecipeError: it is no YAML, no mapping, or a key stands twice in it.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        values = loader.construct_document(node) if node else {}
    except yaml.YAMLError as error:
        raise RecipeError(f"{origin} cannot be read as YAML: {_said(error)}.") from None
    finally:
        loader.dispose()
    if not isinstance(values, dict):
        raise RecipeError(f"{origin} is no recipe: it must be a mapping of fields to values.")
    return Values(origin, values, _lines(node))


def scalar(text: str) -> Any:
    """Read one value as YAML, as it would stand in a recipe.

    Raises:
        yaml.YAMLError: it is none.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _said(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return "it is not well formed"


def _lines(node: yaml.Node | None) -> dict[str, int]:
    lines: dict[str, int] = {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        lines[key.value] = key.start_mark.line + 1
        if key.value in SECTIONS and isinstance(value, yaml.MappingNode):
            for inner, _ in value.value:
                lines[f"{key.value}.{inner.value}"] = inner.start_mark.line + 1
    return lines


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """PyYAML's safe loader with the types of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key must be a name"
            elif key.value in seen:
                problem = f"the key {key.value!r} stands here for the second time"
            else:
                seen.add(key.value)
                continue
            raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        values: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return values


# https://yaml.org/spec/1.2.2/#1032-tag-resolution
_TYPES: tuple[tuple[str, str, str], ...] = (
    ("null", r"null|Null|NULL|~|", "nN~\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
)
for _tag, _pattern, _first in _TYPES:
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(rf"^(?:{_pattern})$"),
        [character if character != "\0" else "" for character in _first],
    )


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    try:
        return int(node.value)  # PyYAML takes 010 for eight, as YAML 1.1 had it
    except ValueError:
        problem = f"{node.value!r} is no whole number"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


_Loader.add_constructor("tag:yaml.org,2002:int", _int)
