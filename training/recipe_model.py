"""Reads a YAML file into a pydantic model, and says what is wrong with it in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from training.errors import RecipeError
from training.sft.recipe_file import parse

Model = TypeVar("Model", bound=BaseModel)


def read_model(model: type[Model], path: Path, overrides: Mapping[str, Any] | None = None) -> Model:
    """Read a file.

    Args:
        model: what it is to hold.
        path: the file.
        overrides: fields in place of the file's.

    Raises:
        RecipeError: it cannot be read, is no YAML, or a field does not exist or is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read ({type(error).__name__}).") from None
    values = {**parse(text, path.name).values, **(overrides or {})}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ").removesuffix(".")
        where = f"`{field}`: " if field else ""
        raise RecipeError(f"{path.name}: {where}{said}.") from None
