"""`mentalllama-train baseline RECIPE`: another kind of model on the same rows."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from imhi.tasks import DATASETS
from service.cli.terminal import notice, output, print_json
from training.baseline.recipe import shipped
from training.cli.data import progress, set_ids
from training.cli.failures import failures_reported
from training.data.example import Split


def baseline(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help=f"One that ships ({', '.join(shipped())}), or a YAML file.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Prepared data: train rows to learn from, and rows to measure."
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Folder to write; runs/RECIPE by default."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Directory or hub id, in place of the recipe's."),
    ] = None,
    split: Annotated[Split, typer.Option(help="The part of the data.")] = Split.VAL,
    sets: Annotated[
        list[str] | None,
        typer.Option(metavar="IDS", help=f"Sets, separated by commas: {', '.join(DATASETS)}."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most rows a set: the same for every model.")
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=0, max=100_000, help="Resamples of posts; 0 leaves intervals out.")
    ] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json.")] = False,
) -> None:
    """Train or ask a rival, and measure it as `evaluate` measures a model.

    The folder holds what `evaluate` writes: `compare` takes two of them.

    For example:

        mentalllama-train baseline tfidf --data prepared --output runs/tfidf

        mentalllama-train compare runs/tfidf runs/measured
    """
    with failures_reported():
        from training.baseline.recipe import load_baseline_recipe
        from training.baseline.run import Measured
        from training.baseline.run import run as measure
        from training.evaluate.report_content import report
        from training.evaluate.report_terminal import show_table

        wanted = load_baseline_recipe(recipe, {"model": model} if model else None)
        target = folder or Path("runs") / wanted.name
        words = ["mentalllama-train", "baseline", Path(recipe).name, "--data", data.absolute().name]
        words += ["--split", split.value]
        words += ["--sets", ",".join(set_ids(sets))] if sets else []
        words += ["--limit", str(limit)] if limit else []
        measured = Measured(
            data=data,
            output=target,
            split=split,
            sets=set_ids(sets) if sets else None,
            limit=limit,
            resamples=resamples,
            command=shlex.join(words),
        )
        with progress() as advance:
            results = measure(wanted, measured, advance)
        if as_json:
            print_json(results.model_dump(mode="json", exclude_none=True))
            return
        for table in report(results).sections[0].tables:
            show_table(table, output())
        notice(f"The report is {target / 'report.html'}.")
