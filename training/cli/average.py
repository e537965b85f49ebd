"""`mentalllama-train average`: the mean of models that were fine-tuned from the same base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.terminal import notice, output
from training.cli.failures import failures_reported


def average(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL...", help="Directories of models, or of checkpoints of one run."
        ),
    ],
    folder: Annotated[Path, typer.Option("--output", metavar="DIR", help="Directory to write.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an earlier average in --output.")
    ] = False,
) -> None:
    """Write one model whose weights are the mean of several; calibrate and measure it afterwards.

    For example:

        mentalllama-train average runs/one/model runs/two/model --output runs/mean
    """
    with failures_reported():
        from training.export.average import average as run

        manifest = run(models, folder, notice, replace=replace)
        output().print(f"{folder}: {manifest.name}, mean of {len(models)} models", soft_wrap=True)
