"""`mentalllama analyze`: one text or files of them, in this process, by a service, or on Ray.

The options become the request that `POST /analyze` takes; the answer is that route's response,
wherever it was made. With `--output` the arguments are files.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from service.analysis.types import Explain, Scoring, Truncation
from service.bulk.formats import Format
from service.bulk.on_ray import Cluster
from service.bulk.records import Layout
from service.bulk.run import Job
from service.cli.bulk import Where, analyse_files
from service.cli.failures import failures_reported
from service.cli.in_process import analyze_in_process
from service.cli.report import show
from service.cli.terminal import notice, output, print_json, waiting
from service.client import KEY_VARIABLE, analyze_over_http
from service.errors import InvalidRequestError
from service.models import EMBEDDED

_CHOICE = "How the label is decided"
_WHERE = "Where the text is analysed"
_FILES = "Files"


def analyze(
    texts: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT|FILE…",
            help="The text, or - to read it from standard input; with --output, files of texts (- "
            "for standard input). Prefer - for a text: an argument can be seen by other users of "
            "the machine and stays in the shell's history.",
            show_default=False,
        ),
    ],
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IDS",
            help="Tasks to ask, separated by commas, or the option repeated; all by default.",
        ),
    ] = None,
    questions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IDS",
            help="Single questions in place of --tasks; `mentalllama tasks` lists both.",
        ),
    ] = None,
    explain: Annotated[
        Explain | None,
        typer.Option(
            metavar="WHEN",
            help="Which labels to explain: always (the default), positive (where the label says "
            "that something is present), never.",
        ),
    ] = None,
    explanation_tokens: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Most tokens of one explanation.")
    ] = None,
    consistency: Annotated[
        bool | None,
        typer.Option(
            "--consistency/--no-consistency",
            help="Read each explanation alone to see whether it supports the label.",
        ),
    ] = None,
    scoring: Annotated[
        Scoring | None,
        typer.Option(
            metavar="WHAT",
            help="branches (the default) reads the tokens by which a question's answers part; "
            "sentences, for research, the likelihood of each full answer sentence.",
        ),
    ] = None,
    truncation: Annotated[
        Truncation | None,
        typer.Option(
            metavar="KEEP",
            help="Which part of a text that is too long to keep: head, tail, middle (both ends, "
            "without the middle); error (the default) refuses it.",
        ),
    ] = None,
    abstention_band: Annotated[
        str | None,
        typer.Option(
            metavar="LOW,HIGH",
            help="Leave a question undecided where its probability lies between these.",
            rich_help_panel=_CHOICE,
        ),
    ] = None,
    min_probability: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Leave a question undecided below this probability.",
            rich_help_panel=_CHOICE,
        ),
    ] = None,
    min_label_mass: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Leave a question undecided where the labels hold less of the model's "
            "probability than this.",
            rich_help_panel=_CHOICE,
        ),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="QUESTION.LABEL=NUMBER",
            help="Decide for a label from this probability on; repeatable.",
            rich_help_panel=_CHOICE,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The model to load: `embedded` (the default), `embedded-base`, a directory, or an "
            "id on a hub. With --url: a model that the service serves.",
            show_default=False,
            rich_help_panel=_WHERE,
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="A running service, as http://localhost:8000. Nothing is loaded here. Where it "
            f"asks for a key, that of the variable {KEY_VARIABLE} is sent.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.001,
            metavar="SECONDS",
            help="How long to wait for the answer of --url.",
            rich_help_panel=_WHERE,
        ),
    ] = 600.0,
    result: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="RESULT",
            help="Analyse files, each row a text, and write the answers here: .parquet, .jsonl or "
            ".csv. A run that is interrupted goes on when the same command is given again.",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The column of the texts; otherwise it is found by its name (text, post, …).",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ] = None,
    layout: Annotated[
        Layout,
        typer.Option(
            help="tidy: a row for each text and question. wide: a row for each text.",
            rich_help_panel=_FILES,
        ),
    ] = Layout.TIDY,
    input_format: Annotated[
        Format | None,
        typer.Option(
            help="Of the inputs, where their names do not tell.",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ] = None,
    output_format: Annotated[
        Format | None,
        typer.Option(
            help="Of the result, where its name does not tell: parquet, jsonl or csv.",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ] = None,
    keep_texts: Annotated[
        bool,
        typer.Option(
            "--texts/--no-texts",
            help="Whether the result holds the texts too.",
            rich_help_panel=_FILES,
        ),
    ] = True,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Begin anew: replace the result, and forget what an earlier run has done.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="NUMBER",
            help="Texts at a time; 64 in this process, 16 with --url.",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ] = None,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray", help="Load the model in actors of a Ray cluster.", rich_help_panel=_FILES
        ),
    ] = False,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Of a running cluster, as host:6379, or auto on one of its machines; otherwise "
            "one is started on this machine.",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ] = None,
    engines: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="NUMBER",
            help="With --ray: how many actors; one a GPU or, without any, one a machine.",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the response as POST /analyze gives it.")
    ] = False,
) -> None:
    """Read labels in a text or in files of them, with probabilities, explanations and evidence.

    For example:

        mentalllama analyze - < post.txt

        mentalllama analyze - --tasks stress --json --url http://localhost:8000 < post.txt

        mentalllama analyze posts.csv --output answers.parquet --tasks stress,loneliness
    """
    with failures_reported():
        chosen: dict[str, Any] = {
            "tasks": _names(tasks),
            "questions": _names(questions),
            "explain": explain.value if explain else None,
            "explanation_tokens": explanation_tokens,
            "consistency": consistency,
            "scoring": scoring.value if scoring else None,
            "truncation": truncation.value if truncation else None,
            "abstention_band": _band(abstention_band) if abstention_band else None,
            "min_probability": min_probability,
            "min_label_mass": min_label_mass,
            "thresholds": _thresholds(threshold) if threshold else None,
            "model": model if url else None,
        }
        request = {name: value for name, value in chosen.items() if value is not None}
        if result is not None:
            if as_json:
                raise InvalidRequestError("--json is for one text: name the result .jsonl instead.")
            if url and ray:
                raise InvalidRequestError("Give either --url or --ray, not both.")
            job = Job(
                tuple(texts),
                result,
                input_format,
                output_format,
                column,
                layout,
                keep_texts,
                request,
                restart,
            )
            if not ray and (ray_address or engines):
                raise InvalidRequestError("--ray-address and --engines are for --ray.")
            cluster = Cluster(ray_address, engines) if ray else None
            where = Where(model or EMBEDDED, url, timeout, concurrency, cluster)
            analyse_files(job, where)
            return
        request["text"] = _text(_only(texts))
        if url:
            with waiting("Waiting for the service …"):
                response = analyze_over_http(url, request, timeout, os.environ.get(KEY_VARIABLE))
        else:
            response = analyze_in_process(model or EMBEDDED, request)
        if as_json:
            print_json(response)
        else:
            show(response, output())


def _only(texts: list[str]) -> str:
    """The one text.

    Raises:
        InvalidRequestError: there are several, or it is a file.
    """
    if len(texts) > 1:
        raise InvalidRequestError("Give one text, in quotation marks; or files, with --output.")
    if texts[0] != "-" and len(texts[0]) < 1024 and Path(texts[0]).is_file():
        raise InvalidRequestError(
            "That is a file. Analyse each of its rows with --output RESULT, or read one text from "
            "it with `mentalllama analyze - < FILE`."
        )
    return texts[0]


def _text(argument: str) -> str:
    """The text itself, or standard input's without its last line break."""
    if argument != "-":
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise InvalidRequestError("The text is not UTF-8.", param="text")
        return argument
    if sys.stdin.isatty():
        notice("Write the text, then press Ctrl-D on a line of its own.")
    try:
        text = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequestError("Standard input is not UTF-8.", param="text") from None
    return text.removesuffix("\n").removesuffix("\r")


def _names(values: list[str] | None) -> list[str] | None:
    if not values:
        return None
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def _band(value: str) -> list[float]:
    low, comma, high = value.partition(",")
    try:
        if comma:
            return [float(low), float(high)]
    except ValueError:
        pass
    raise InvalidRequestError(
        "--abstention-band takes two numbers, as in 0.4,0.6.", param="abstention_band"
    )


def _thresholds(values: list[str]) -> dict[str, dict[str, float]]:
    """`QUESTION.LABEL=NUMBER` each; a question's id may hold dots, a label's does not."""
    thresholds: dict[str, dict[str, float]] = {}
    for value in values:
        name, _, number = value.partition("=")
        question, _, label = name.strip().rpartition(".")
        try:
            if question and label:
                thresholds.setdefault(question, {})[label] = float(number)
                continue
        except ValueError:
            pass
        raise InvalidRequestError(
            "--threshold takes QUESTION.LABEL=NUMBER, as in stress.yes=0.7.", param="thresholds"
        )
    return thresholds
