"""`mentalllama-train compare A B`: whether one run is better than another, or only luckier."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from service.cli.terminal import notice, output, print_json
from training.cli.failures import failures_reported
from training.errors import DataError
from training.evaluate.results import FREE_FORM, READ, READ_UNCALIBRATED, BootstrapSettings


class Way(StrEnum):
    """How a label was given."""

    READ = READ
    READ_UNCALIBRATED = READ_UNCALIBRATED
    FREE_FORM = FREE_FORM


def compare(
    a: Annotated[
        Path, typer.Argument(help="Output folder of `evaluate`: what is compared against.")
    ],
    b: Annotated[Path, typer.Argument(help="Output folder of the other run, on the same data.")],
    way: Annotated[Way, typer.Option(help="How the labels of both were given.")] = Way.READ,
    way_b: Annotated[
        Way | None, typer.Option(help="How those of B were given, where it is another way.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Also write comparison.json, comparison.md and comparison.html there."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    resamples: Annotated[
        int, typer.Option(min=0, max=100_000, help="Resamples of posts; 0 leaves intervals out.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resamples.")] = 0,
) -> None:
    """Compare two benchmark runs on the same data: differences with paired intervals.

    Prints weighted F1 by set and how often which run is right; other metrics go into the files of
    `--output` and into `--json`.
    """
    with failures_reported():
        from training.evaluate.compare import compare_runs
        from training.evaluate.comparison_content import (
            comparison_document,
            difference_table,
            flips_table,
        )
        from training.evaluate.report_html import to_html
        from training.evaluate.report_markdown import to_markdown
        from training.evaluate.report_terminal import show_table
        from training.files import write_text

        comparison = compare_runs(
            a,
            b,
            way_a=way.value,
            way_b=(way_b or way).value,
            bootstrap=BootstrapSettings(resamples=resamples, seed=seed),
        )
        if folder:
            document = comparison_document(comparison)
            texts = {
                "comparison.json": f"{comparison.model_dump_json(indent=2, exclude_none=True)}\n",
                "comparison.md": to_markdown(document),
                "comparison.html": to_html(document),
            }
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(f"{folder} cannot be made: {error.strerror}.") from error
            for name, text in texts.items():
                notice(f"Wrote {write_text(folder / name, text)}")
        if as_json:
            print_json(comparison.model_dump(mode="json", exclude_none=True))
            return
        console = output()
        for table in (difference_table(comparison), flips_table(comparison)):
            show_table(table, console)
