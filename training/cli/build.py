"""`mentalllama-train data build`: raw sources and a teacher to explained, checked rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.terminal import notice, notices, output, print_json
from training.cli.failures import failures_reported

if TYPE_CHECKING:
    from training.build.plan import Estimate
    from training.build.recipe import BuildRecipe
    from training.build.teacher import Progress


def build(
    recipe: Annotated[
        Path,
        typer.Argument(
            metavar="RECIPE", help="YAML: sources, teacher, output.", show_default=False
        ),
    ],
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Read the sources and say what would be asked; ask nothing."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print build.json, or the plan.")] = False,
) -> None:
    """Read raw sources, let a teacher explain their labels, check what it wrote, write the data.

    Every answer is kept as it comes: interrupted or killed, the same command goes on and asks
    nothing twice.

    For example:

        mentalllama-train data build my-imhi.yaml --dry-run
    """
    with failures_reported():
        from training.build.card import outcome_table, reading_table
        from training.build.plan import estimate, plan
        from training.build.recipe import load_build_recipe
        from training.build.run import DATA
        from training.build.run import build as run
        from training.evaluate.report_terminal import show_table

        wanted = load_build_recipe(recipe)
        notice("Reading the sources …")
        planned = plan(wanted)
        expected = estimate(planned, wanted)
        if dry_run:
            if as_json:
                print_json(_fields(expected))
            else:
                output().print(_said(expected, wanted))
            return
        notice(_said(expected, wanted))
        with _progress() as progress:
            results = run(wanted, planned, notice, progress)
        if as_json:
            print_json(results.model_dump(mode="json"))
            return
        for table in (outcome_table(results), reading_table(results)):
            show_table(table, output())
        output().print(f"Data: {wanted.output / DATA}", soft_wrap=True)


def _fields(expected: Estimate) -> dict[str, float]:
    return {name: getattr(expected, name) for name in expected.__slots__}


def _said(expected: Estimate, recipe: BuildRecipe) -> str:
    price = recipe.teacher.price
    cost = f", at most {expected.cost:,.2f} {price.currency}" if expected.cost else ""
    return (
        f"{expected.requests:,} requests to {recipe.teacher.model}: about "
        f"{expected.prompt_tokens:,} prompt tokens, at most {expected.completion_tokens:,} "
        f"completion tokens{cost}; at least {_time(expected.seconds)} under the recipe's limits."
    )


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on a terminal; a line for every twentieth elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = notices()
    if not console.is_terminal:
        last = -1

        def say(done: int, total: int, prompt: int, completion: int) -> None:
            nonlocal last
            if (step := done * 20 // max(total, 1)) > last:
                last = step
                notice(f"{done:,} of {total:,} answers; {prompt + completion:,} tokens")

        yield say
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeRemainingColumn(), console=console) as bars:
        task = bars.add_task("Answers", total=None)

        def show(done: int, total: int, prompt: int, completion: int) -> None:
            said = f"Answers, {prompt + completion:,} tokens"
            bars.update(task, description=said, completed=done, total=total)

        yield show
