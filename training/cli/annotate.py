"""`mentalllama-train annotate export|import|report`: people rate explanations."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.terminal import notice, output, print_json
from training.annotate.rubric import RUBRICS
from training.cli.failures import failures_reported
from training.errors import DataError, UsageError

if TYPE_CHECKING:
    from training.annotate.ratings import Rating

app = typer.Typer(
    no_args_is_help=True, help="Let people rate explanations, and count what they say."
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@app.callback()
def _root() -> None:
    """Let people rate explanations, and count what they say."""


@app.command(name="export")
def export_command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]RUN...",
            help="Output folders of mentalllama-train evaluate, each a system to be rated; by "
            "default a system is named like its folder.",
            show_default=False,
        ),
    ],
    folder: Annotated[
        Path,
        typer.Option("--output", metavar="DIR", help="Folder to write. It holds posts."),
    ],
    annotators: Annotated[
        str, typer.Option(metavar="NAMES", help="Names of the annotators, separated by commas.")
    ],
    overlap: Annotated[
        int, typer.Option(min=1, help="How many annotators rate an explanation.")
    ] = 2,
    rows: Annotated[
        int, typer.Option(min=1, help="Samples to draw, evenly over sets; each for every system.")
    ] = 50,
    rubric: Annotated[str, typer.Option(metavar="|".join(RUBRICS), help="What is rated.")] = "imhi",
    free_form: Annotated[
        bool,
        typer.Option("--free-form", help="Rate the free-form responses, not the explanations."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the draw and the order.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was drawn.")] = False,
) -> None:
    """Draw explanations, blind and shuffle them, and write what each annotator gets.

    For example:

        mentalllama-train annotate export ours=runs/ours base=runs/base --annotators ana,ben,eva
        --overlap 2 --rows 40 --output runs/rated
    """
    with failures_reported():
        from training.annotate.draw import draw, explained
        from training.annotate.folder import PEOPLE, write_folder
        from training.evaluate.store import load_records

        if rubric not in RUBRICS:
            raise UsageError(f"There is no rubric {rubric}; there are: {', '.join(RUBRICS)}.")
        names = [name.strip() for name in annotators.split(",") if name.strip()]
        wrong = [name for name in names if not _NAME.fullmatch(name)]
        if wrong or not names:
            raise UsageError(
                "Name annotators by letters, digits, dots, dashes and underscores, as in "
                "--annotators ana,ben."
            )
        systems = {}
        for given in runs:
            name, path = _system(given)
            if name in systems:
                raise UsageError(f"Two systems are called {name}: name them, as in ours={given}.")
            systems[name] = explained(load_records(path), free_form=free_form)
            if not systems[name]:
                raise DataError(f"{path} holds no explanation: run evaluate with --explain.")
        items, key, given_items = draw(
            systems, rows=rows, annotators=names, overlap=overlap, rubric=rubric, seed=seed
        )
        write_folder(folder, items, key, given_items)
        if as_json:
            counts = {name: len(ids) for name, ids in given_items.items()}
            print_json({"items": len(items), "systems": list(systems), "annotators": counts})
            return
        console = output()
        console.print(f"{len(items)} explanations of {len(systems)} systems.")
        for name, ids in given_items.items():
            console.print(f"{name}: {len(ids)} in {folder / PEOPLE / name}", soft_wrap=True)


@app.command(name="import")
def import_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that export wrote.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE...",
            help="Exports of Label Studio (JSON), and filled spreadsheets; a spreadsheet as "
            "NAME.csv is by NAME, one in a folder is by the folder's name. By default the "
            "spreadsheets in DIR.",
        ),
    ] = None,
    released: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Read the released human evaluation (DR_annotation) into DIR, a new folder.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was read.")] = False,
) -> None:
    """Read what people said; what was read before stays, and a new number replaces an old one.

    For example:

        mentalllama-train annotate import runs/rated ana.csv ben.json

        mentalllama-train annotate import runs/released
        --released imhi/human_evaluation/DR_annotation
    """
    with failures_reported():
        from training.annotate.folder import given_to, load, write_folder
        from training.annotate.ratings import add_ratings, checked

        given: dict[str, tuple[str, ...]] = {}
        if released is not None:
            from training.annotate.released import read_released

            if files:
                raise UsageError("--released reads its own files: name no others.")
            items, key, read, missing = read_released(released)
            write_folder(folder, items, key, {})
            for name in missing:
                notice(f"Not there: {name}")
            ratings = list(checked(read, key, str(released)))
        else:
            _, key = load(folder)
            given = given_to(folder, key)
            ratings = _read(folder, files or [], key.annotators, key.rubric)
            ratings = list(checked(ratings, key, "A file"))
        done = add_ratings(folder, ratings, given, key.rubric)
        if as_json:
            print_json(
                {"added": done.added, "changed": done.changed, "missing": dict(done.missing)}
            )
            return
        console = output()
        console.print(f"{done.added} ratings added, {done.changed} changed.")
        for name, number in done.missing.items():
            console.print(f"{name}: {number} ratings are missing.")


@app.command(name="report")
def report_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with imported ratings.")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Also read each explanation alone with this model (embedded, a directory, an id "
            "on a hub), and see whether the probability of its label follows people.",
        ),
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=0, max=100_000, help="Resamples of posts; 0 leaves intervals out.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resamples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print annotation.json.")] = False,
) -> None:
    """Means, agreement between annotators, and which automatic metrics follow them.

    For example:

        mentalllama-train annotate report runs/rated
    """
    with failures_reported():
        from training.annotate.content import agreement_tables, document, means_table
        from training.annotate.folder import load
        from training.annotate.metrics import consistency_of
        from training.annotate.ratings import load_ratings
        from training.annotate.results import RESULTS_FILE, compute
        from training.evaluate.report_html import to_html
        from training.evaluate.report_markdown import to_markdown
        from training.evaluate.report_terminal import show_table
        from training.evaluate.results import BootstrapSettings
        from training.files import write_text

        items, key = load(folder)
        ratings = load_ratings(folder)
        if not ratings:
            raise DataError(f"{folder} holds no ratings: read them with annotate import.")
        others = None
        if model is not None:
            notice(f"Loading {model} …")
            others = asyncio.run(consistency_of(items.values(), model))
        settings = BootstrapSettings(resamples=resamples, seed=seed)
        results = compute(items, key, ratings, settings, others)
        page = document(results)
        texts = {
            RESULTS_FILE: f"{results.model_dump_json(indent=2)}\n",
            "annotation.md": to_markdown(page),
            "annotation.html": to_html(page),
        }
        for name, text in texts.items():
            notice(f"Wrote {write_text(folder / name, text)}")
        if as_json:
            print_json(results.model_dump(mode="json"))
            return
        console = output()
        for table in (means_table(results), agreement_tables(results)[0]):
            show_table(table, console)


def _system(given: str) -> tuple[str, Path]:
    name, sign, path = given.partition("=")
    return (name, Path(path)) if sign else (Path(given).name, Path(given))


def _read(
    folder: Path, files: list[Path], annotators: tuple[str, ...], rubric_id: str
) -> list[Rating]:
    from training.annotate.folder import PEOPLE, SHEET
    from training.annotate.label_studio import read_export
    from training.annotate.spreadsheet import read_sheet

    rubric = RUBRICS[rubric_id]
    listed = files or [folder / PEOPLE / name / SHEET for name in annotators]
    ratings: list[Rating] = []
    for path in listed:
        if path.suffix.lower() == ".json":
            ratings += read_export(path, rubric)
            continue
        names = [name for name in (path.stem, path.absolute().parent.name) if name in annotators]
        if not names:
            raise UsageError(
                f"Whose is {path}? Call it NAME.csv, by one of: {', '.join(annotators)}."
            )
        ratings += read_sheet(path, names[0], rubric)
    return ratings
