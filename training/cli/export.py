"""`mentalllama-train export`: from what a training wrote to a directory to serve or give away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from service.cli.terminal import notice, notices, output, plain, print_json
from training.cli.failures import failures_reported
from training.errors import UsageError
from training.export.fold import FactorType
from training.export.quantize import Quantization

if TYPE_CHECKING:
    from training.export.report import ExportReport
    from training.export.run import Announce, Progress

_FOLD = "Full fine-tuning as an adapter"
_BITS = "Fewer bits"
_CHECK = "The check against the trained model"
_DTYPES = ("bfloat16", "float16", "float32")


def export(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Directory of a trained model, or of an adapter."),
    ],
    folder: Annotated[Path, typer.Option("--output", metavar="DIR", help="Directory to write.")],
    adapter: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A LoRA adapter to merge into MODEL, its base."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The model that the training started from: a directory, or `embedded-base`. By "
            "default what the adapter names.",
            show_default=False,
        ),
    ] = None,
    keep_adapter: Annotated[
        bool,
        typer.Option("--keep-adapter", help="Write an adapter as an adapter, not merged."),
    ] = False,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another name for the manifest.")
    ] = None,
    dtype: Annotated[
        str,
        typer.Option(metavar="|".join(_DTYPES), help="Type of weights that are not quantized."),
    ] = "bfloat16",
    fold_rank: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="NUMBER",
            help="Write the difference from --base as an adapter of this rank.",
            rich_help_panel=_FOLD,
        ),
    ] = None,
    max_megabytes: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            metavar="NUMBER",
            help="Write it as an adapter of at most so many million bytes; each matrix gets the "
            "rank that keeps most.",
            rich_help_panel=_FOLD,
        ),
    ] = None,
    factors: Annotated[
        FactorType,
        typer.Option(
            help="What its numbers are kept in. float8 takes half the bytes, so that twice the "
            "rank fits; not every program that loads adapters reads it.",
            rich_help_panel=_FOLD,
        ),
    ] = FactorType.BFLOAT16,
    weighted: Annotated[
        bool,
        typer.Option(
            "--weighted",
            help="Keep what matters on the training texts of --data, not what is largest.",
            rich_help_panel=_FOLD,
        ),
    ] = False,
    quantize: Annotated[
        Quantization,
        typer.Option(
            help="int8 rounds weights and activations, int4 weights; both run on CPU and GPU.",
            rich_help_panel=_BITS,
        ),
    ] = Quantization.NONE,
    quantize_python: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Interpreter of an environment with llm-compressor, which rounds with GPTQ; "
            "without it weights are rounded to the nearest value.",
            rich_help_panel=_BITS,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Prepared data to check on; self-written posts by default.",
            rich_help_panel=_CHECK,
        ),
    ] = None,
    posts: Annotated[
        int,
        typer.Option(
            min=1,
            help="Posts of --data to check on; four times as many texts for --weighted and GPTQ.",
            rich_help_panel=_CHECK,
        ),
    ] = 64,
    max_changed: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="The largest share of labels that may differ from the trained model's.",
            rich_help_panel=_CHECK,
        ),
    ] = 0.02,
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check",
            help="Compare the labels of both models.",
            rich_help_panel=_CHECK,
        ),
    ] = True,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an earlier export in --output.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print export.json.")] = False,
) -> None:
    """Merge, fold or quantize a model; check that it still says the same; write it whole.

    The directory holds safetensors, the manifest, a model card, licences, export.json and
    checksums. Pickled weights are refused. What is interrupted leaves nothing.

    For example:

        mentalllama-train export runs/lora --base BASE --output model

        mentalllama-train export runs/full --base embedded-base --max-megabytes 40 --output adapter
    """
    with failures_reported():
        from training.export.fold import Limit
        from training.export.run import Export
        from training.export.run import export as run

        if dtype not in _DTYPES:
            raise UsageError(f"--dtype takes {', '.join(_DTYPES)}.")
        limit = None
        if fold_rank is not None or max_megabytes is not None:
            size = int(max_megabytes * 1e6) if max_megabytes is not None else None
            limit = Limit(fold_rank, size, factors)
        elif factors is not FactorType.BFLOAT16:
            raise UsageError("--factors goes with --fold-rank or --max-megabytes.")
        if weighted and limit is None:
            raise UsageError("--weighted goes with --fold-rank or --max-megabytes.")
        wanted = Export(
            model=model,
            output=folder,
            adapter=adapter,
            base=base,
            fold=limit,
            keep_adapter=keep_adapter,
            quantization=quantize,
            quantize_python=quantize_python,
            data=data,
            posts=posts,
            weighted=weighted,
            dtype=dtype,
            name=name,
            max_changed=max_changed,
            check=check,
            replace=replace,
        )
        with _shown() as (announce, progress):
            report = run(wanted, announce, progress)
        if as_json:
            print_json(report.model_dump(mode="json"))
        else:
            _show(report, folder)


@contextmanager
def _shown() -> Iterator[tuple[Announce, Progress]]:
    """Lines on standard error for what begins, and a bar for what takes long on a terminal."""
    console = notices()
    if not console.is_terminal:
        yield notice, lambda what, done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeRemainingColumn(), console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield lambda line: bars.console.print(Text(plain(line)), soft_wrap=True), show


def _show(report: ExportReport, folder: Path) -> None:
    """Print what an export did."""
    console = output()
    console.print(f"{folder}: {report.model}, {report.kind}, {report.way}", soft_wrap=True)
    if (folded := report.fold) is not None:
        ranks = [layer.rank for layer in folded.layers if layer.rank]
        lost = ", ".join(f"{part} {share:.1%}" for part, share in folded.lost.items() if share)
        console.print(
            f"Kept {folded.kept:.1%} of the squared difference in {folded.size / 1e6:.1f} MB, "
            f"ranks {min(ranks, default=0)} to {max(ranks, default=0)}; lost: {lost or 'nothing'}.",
            soft_wrap=True,
        )
    if (check := report.check) is not None:
        found = check.found
        console.print(
            f"{found.changed} of {found.reads} labels differ from the trained model's "
            f"({check.posts}); probabilities moved by {found.mean_moved:.4f} on average, "
            f"{found.most_moved:.4f} at most.",
            soft_wrap=True,
        )
    for change in report.manifest_changes:
        notice(change)
