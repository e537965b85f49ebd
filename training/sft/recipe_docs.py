"""Writes docs/recipes.md from the fields' descriptions, or says whether it is up to date.

    python -m training.sft.recipe_docs [--check] [PATH]

Exit codes: 0 written or up to date, 1 the file differs from the code (`--check`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from service import generated
from training.sft.recipe import SECTIONS
from training.sft.recipe_fields import FIELDS, RecipeField
from training.sft.recipe_file import read_recipe, shipped

DEFAULT_PATH = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"

_HEAD = """\
<!-- Written by `python -m training.sft.recipe_docs`; edit the descriptions in the code instead. -->

# Recipes

A recipe is everything that decides what a training run does: a YAML file of the fields below.

```
mentalllama-train sft RECIPE [field=value ...] [--dry-run]
```

`RECIPE` is the name of one that ships, or a file. `field=value` changes a field, its name dotted
and its value as YAML: `optimisation.learning_rate=1e-4`, `data.sets=[DR, SAD]`. `--dry-run` shows
every field with where its value is from, the rows, steps and memory of the run, and what stands in
its way. A field that is not in a file has the default given here.
"""


def render() -> str:
    """The page as it stands in the file."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    yield "## Recipes that ship"
    yield ""
    yield "| recipe | what it is for | where its numbers come from |"
    yield "|---|---|---|"
    for name in shipped():
        recipe = read_recipe(name)
        yield f"| `{name}` | {recipe.description} | {recipe.source} |"
    yield ""
    yield "## Fields"
    yield from _table(field for name, field in FIELDS.items() if "." not in name)
    for section, kind in SECTIONS.items():
        yield ""
        yield f"## `{section}`"
        yield ""
        yield f"{(kind.__doc__ or '').strip()}"
        yield from _table(field for name, field in FIELDS.items() if name.startswith(f"{section}."))


def _table(fields: Iterator[RecipeField]) -> Iterator[str]:
    yield ""
    yield "| field | takes | default | what it does |"
    yield "|---|---|---|---|"
    for field in fields:
        default = "required" if field.required else f"`{json.dumps(field.default)}`"
        yield f"| `{field.name}` | {field.kind} | {default} | {field.description} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return generated.run(
        render,
        DEFAULT_PATH,
        what="the page on recipes",
        remedy="python -m training.sft.recipe_docs",
        arguments=arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
