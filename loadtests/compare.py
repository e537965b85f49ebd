"""The goals of two runs side by side, as a table in Markdown.

    python -m loadtests.compare BEFORE.json AFTER.json

Ratios can be held against those of another run; what has a unit of its own (milliseconds, seconds)
only where both ran on one machine in one state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from loadtests.goals import aim, figure
from service.cli.failures import failures_reported
from service.cli.terminal import output
from service.errors import InvalidRequestError


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """A row a goal of `after`.

    Args:
        before: a `bench.json`, parsed.
        after: likewise.
    """
    earlier = {goal["id"]: goal["value"] for goal in before["goals"]}
    lines = ["| goal | target | before | after | |", "|---|---|---|---|---|"]
    for goal in after["goals"]:
        target = aim(goal["at_least"], goal["target"], goal["unit"])
        values = (figure(earlier.get(goal["id"])), figure(goal["value"]))
        cells = (f"`{goal['id']}`", target, *values, "met" if goal["met"] else "not met")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found["goals"][0]["id"]
    except (OSError, ValueError, LookupError, TypeError):
        raise InvalidRequestError(f"{path.name} is no bench.json of a run.") from None
    return found


def main(
    before: Annotated[Path, typer.Argument(help="The `bench.json` of a run.")],
    after: Annotated[Path, typer.Argument(help="That of a later one.")],
) -> None:
    """Print the goals of two runs side by side."""
    with failures_reported():
        output().print(compared(_read(before), _read(after)), markup=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
