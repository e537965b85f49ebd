"""The folder of a run: its recipe, its checkpoints, and whether a run may go on in it.

recipe.yaml       the recipe of the run that the folder belongs to
checkpoint-N/     after step N, as transformers writes them
model/            the result, once the run is finished
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from training.errors import RecipeError
from training.sft.recipe import Recipe, difference
from training.sft.recipe_file import read_recipe

RECIPE_FILE = "recipe.yaml"
"""Name of the file that holds a run's recipe."""

RESULT = "model"
"""Name of the folder of the finished model."""

_CHECKPOINT = re.compile(r"checkpoint-([0-9]+)")
_WHOLE = "trainer_state.json"
"""The file of a checkpoint that transformers writes last but the random state's."""

_PROSE = frozenset({"name", "description", "source", "unknown"})
"""Fields that change nothing of what a run does."""


def checkpoints(output: Path) -> list[Path]:
    """The whole checkpoints in a run's folder, in the order of their steps."""
    if not output.is_dir():
        return []
    found = {
        int(match[1]): path
        for path in output.iterdir()
        if (match := _CHECKPOINT.fullmatch(path.name)) and (path / _WHOLE).is_file()
    }
    return [found[step] for step in sorted(found)]


def check(recipe: Recipe) -> None:
    """Refuse to go on in a folder whose checkpoints are another recipe's.

    Raises:
        RecipeError: `output` is no folder, or a run with other fields left checkpoints in it.
    """
    output = recipe.output
    if output.exists() and not output.is_dir():
        raise RecipeError(f"`output`: {output} is a file; name a folder.")
    kept = output / RECIPE_FILE
    if not checkpoints(output) or not kept.is_file():
        return
    differing = [name for name in difference(read_recipe(str(kept)), recipe) if name not in _PROSE]
    if differing:
        raise RecipeError(
            f"{output} holds checkpoints of another recipe; it differs in "
            f"{', '.join(f'`{name}`' for name in differing)}. Name another folder with output=DIR, "
            "or start anew with --restart, which removes them."
        )


def clear(output: Path) -> None:
    """Remove a run's checkpoints, recipe and result, for a start from the beginning."""
    for path in output.glob("checkpoint-*"):
        if _CHECKPOINT.fullmatch(path.name) and path.is_dir():
            shutil.rmtree(path)
    shutil.rmtree(output / RESULT, ignore_errors=True)
    (output / RECIPE_FILE).unlink(missing_ok=True)
