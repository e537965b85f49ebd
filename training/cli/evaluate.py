"""`mentalllama-train evaluate`: a model measured on the benchmark, its reports in a folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from service.analysis.types import Truncation
from service.cli.terminal import notice, output, print_json
from training.cli.failures import failures_reported
from training.data.example import Split
from training.errors import UsageError
from training.evaluate.answers import Decoding
from training.evaluate.benchmark import Adapter, Benchmark
from training.evaluate.runner import CONCURRENCY

_ROWS = "Which rows"
_HOW = "How the model is asked"
_FIGURES = "What is made of it"
_DECODING = Decoding()
_NUMBER = re.compile(r"[0-9]{1,9}")
_FOLDER = "evaluations"


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="The model: `embedded`, a directory, or an id on a hub.", show_default=False
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Prepared data (`mentalllama-train data prepare`), or the benchmark's released "
            "files.",
        ),
    ],
    engine_options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- VLLM OPTIONS",
            help="What follows -- goes to vLLM, as in `-- --max-model-len 2048`.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help=f"Folder for answers, samples and reports; {_FOLDER}/MODEL-SPLIT by default. One "
            "that holds an unfinished run is gone on with.",
        ),
    ] = None,
    split: Annotated[Split, typer.Option(help="The part of the data.", rich_help_panel=_ROWS)] = (
        Split.VAL
    ),
    sets: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IDS",
            help="Data sets, separated by commas, or the option repeated; all by default.",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="NUMBER",
            help="Most rows a set: a sample of posts, the same for every model.",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    explain: Annotated[
        str,
        typer.Option(
            metavar="none|NUMBER|all",
            help="How many rows a set are explained.",
            rich_help_panel=_ROWS,
        ),
    ] = "50",
    free_form: Annotated[
        str,
        typer.Option(
            metavar="none|NUMBER|all",
            help="How many rows a set are answered in free form too, as in the paper: the whole "
            "response is generated, and the label read from its text.",
            rich_help_panel=_ROWS,
        ),
    ] = "50",
    seen_in: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Data that the model was trained on: posts of its train split are reported "
            "apart. By default the train split of --data.",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of samples and intervals.", rich_help_panel=_ROWS)
    ] = 0,
    adapter: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=DIR",
            help="A LoRA adapter to measure on top of the model.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    truncation: Annotated[
        Truncation,
        typer.Option(
            help="Which part of a post that is too long to keep. `error`, as the service: such a "
            "row counts as wrong.",
            rich_help_panel=_HOW,
        ),
    ] = _DECODING.truncation,
    explanation_tokens: Annotated[
        int, typer.Option(min=1, help="Most tokens of an explanation.", rich_help_panel=_HOW)
    ] = _DECODING.explanation_tokens,
    max_tokens: Annotated[
        int,
        typer.Option(min=1, help="Most tokens of a free-form response.", rich_help_panel=_HOW),
    ] = _DECODING.response_tokens,
    consistency: Annotated[
        bool,
        typer.Option(
            "--consistency/--no-consistency",
            help="Read each explanation alone to see whether it supports the label.",
            rich_help_panel=_HOW,
        ),
    ] = _DECODING.consistency,
    reads_from: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of an earlier run of the same model: its label reads are taken over, "
            "under the calibration that the model has now.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Posts in flight.", rich_help_panel=_HOW)
    ] = CONCURRENCY,
    bertscore: Annotated[
        str,
        typer.Option(
            metavar="none|ENCODER",
            help="Directory or hub id of the encoder of BERTScore.",
            rich_help_panel=_FIGURES,
        ),
    ] = "none",
    bartscore: Annotated[
        str | None,
        typer.Option(
            metavar="none|MODEL",
            help="Directory or hub id of the seq2seq model of BARTScore; facebook/bart-large-cnn "
            "by default, where it can be loaded.",
            rich_help_panel=_FIGURES,
        ),
    ] = None,
    resamples: Annotated[
        int,
        typer.Option(
            min=0,
            max=100_000,
            help="Resamples of posts; 0 leaves intervals out.",
            rich_help_panel=_FIGURES,
        ),
    ] = 1000,
    sample_page: Annotated[
        bool,
        typer.Option(
            "--sample-page/--no-sample-page",
            help="Write samples.html, which shows every post with the model's answers.",
            rich_help_panel=_FIGURES,
        ),
    ] = True,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away the answers of an earlier run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json.")] = False,
) -> None:
    """Measure a model on the benchmark: label reads on every row, explanations, free form.

    Everything goes into one folder: report.html, report.md, results.json; every sample in
    samples.jsonl and samples.html, which hold posts; and released/, for the paper's own scorers.
    Interrupted, the same command goes on where it was.

    For example:

        mentalllama-train evaluate embedded --data prepared

        mentalllama-train evaluate org/model --data prepared --limit 100 -- --max-model-len 2048
    """
    with failures_reported():
        from training.evaluate.bartscore import DEFAULT_MODEL
        from training.evaluate.progress import shown_progress
        from training.evaluate.report_content import report
        from training.evaluate.report_terminal import show_table
        from training.evaluate.reports import HTML_FILE
        from training.evaluate.run import run

        where = folder or Path(_FOLDER) / f"{_slug(model)}-{split.value}"
        benchmark = Benchmark(
            model=model,
            data=data,
            output=where,
            split=split,
            sets=_names(sets),
            limit=limit,
            explained=_amount("--explain", explain),
            free_form=_amount("--free-form", free_form),
            seed=seed,
            seen_in=seen_in,
            adapter=_adapter(adapter),
            engine_options=tuple(engine_options or ()),
            decoding=Decoding(truncation, explanation_tokens, max_tokens, consistency),
            concurrency=concurrency,
            resamples=resamples,
            bertscore=_named(bertscore),
            bartscore=DEFAULT_MODEL if bartscore is None else _named(bartscore),
            sample_page=sample_page,
            restart=restart,
            reads_from=reads_from,
        )
        with shown_progress() as progress:
            results = run(benchmark, progress=progress, announce=notice)
        if as_json:
            print_json(results.model_dump(mode="json", exclude_none=True))
        else:
            for table in report(results).sections[0].tables:
                show_table(table, output())
        notice(f"The report is {where / HTML_FILE}.")


def _names(values: list[str] | None) -> tuple[str, ...] | None:
    if not values:
        return None
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


def _amount(option: str, value: str) -> int | None:
    if value == "all":
        return None
    if value != "none" and not _NUMBER.fullmatch(value):
        raise UsageError(f"{option} takes none, all or a number of rows a set; it is {value!r}.")
    return 0 if value == "none" else int(value)


def _named(value: str) -> str | None:
    return None if value == "none" else value


def _adapter(value: str | None) -> Adapter | None:
    if value is None:
        return None
    name, _, directory = value.partition("=")
    if not name or not directory:
        raise UsageError("--adapter takes NAME=DIR, as in tuned=outputs/tuned.")
    return Adapter(name, Path(directory))


def _slug(model: str) -> str:
    """A folder's name for a model."""
    path = Path(model)
    name = path.absolute().name if path.is_dir() else model
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "model"
