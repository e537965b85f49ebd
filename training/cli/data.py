"""`mentalllama-train data prepare`: from the IMHI files to prepared data.

The options become `training.data.preparation.Options`. What is shown are counts; no text of a post
leaves the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from imhi.tasks import DATASETS
from service.cli.terminal import notice, notices, output, print_json
from training.cli.failures import failures_reported
from training.data.preparation import Advance, Options, prepare
from training.data.prepared import CARD_FILE, REPORT_FILE
from training.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Prepare data for training and measuring.")

_RULES = "Rules"
_SPLITS = "Splits"


@app.callback()
def _root() -> None:
    """Prepare data for training and measuring."""


@app.command(name="prepare")
def prepare_command(
    data_folder: Annotated[
        Path,
        typer.Argument(
            metavar="DATA_FOLDER",
            help="The folder with the IMHI files: train_data and test_data, or a folder that holds "
            "them as imhi, with raw beside it where the annotators' own rows are there.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--output",
            metavar="DIR",
            help="The folder to write. It holds posts: keep it where the data is kept.",
            show_default=False,
        ),
    ],
    sets: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IDS",
            help=f"Sets to take, separated by commas; all by default: {', '.join(DATASETS)}.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULES",
            help="Rules to switch off, separated by commas, or the option repeated; the report "
            "names them all.",
            rich_help_panel=_RULES,
        ),
    ] = None,
    everywhere: Annotated[
        bool,
        typer.Option(
            "--everywhere",
            help="Let the rules and removals change val and test too. Figures measured on them can "
            "then not be compared with others'.",
            rich_help_panel=_RULES,
        ),
    ] = False,
    quotes_found: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="Leave out an explanation when less than this share of its quotes stands in the "
            "post.",
            rich_help_panel=_RULES,
        ),
    ] = 1.0,
    remove_shared: Annotated[
        bool,
        typer.Option(
            "--remove-shared/--keep-shared",
            help="Remove train rows whose post stands in a val or test split of any set.",
            rich_help_panel=_SPLITS,
        ),
    ] = True,
    remove_near: Annotated[
        bool,
        typer.Option(
            "--remove-near/--keep-near",
            help="Remove train rows whose post is nearly the same as one in val or test.",
            rich_help_panel=_SPLITS,
        ),
    ] = True,
    held_out: Annotated[
        bool,
        typer.Option(
            "--hold-out/--no-hold-out",
            help="Give a set that has train rows and no val rows a part of them for val.",
            rich_help_panel=_SPLITS,
        ),
    ] = True,
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", help="Of the hold-out.", rich_help_panel=_SPLITS)
    ] = 0,
    written: Annotated[
        bool,
        typer.Option(
            "--write-explanations",
            help="Give the annotators' own train rows, which have none, explanations written by "
            "rule from the words that they marked.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace prepared data that is in DIR.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report, without the rows' ids.")
    ] = False,
) -> None:
    """Read, mend, clean and split the IMHI rows, and say what was done.

    For example:

        mentalllama-train data prepare imhi --output prepared

        mentalllama-train data prepare imhi --output labels --sets DR,dreaddit --without quotes
    """
    with failures_reported():
        options = Options(
            sets=set_ids(sets),
            without=tuple(_names(without)),
            everywhere=everywhere,
            quotes_found=quotes_found,
            remove_shared=remove_shared,
            remove_near=remove_near,
            hold_out=held_out,
            seed=seed,
            write_explanations=written,
        )
        with progress() as advance:
            report = prepare(data_folder, out, options, force=force, advance=advance)
        if as_json:
            print_json(_without_ids(report))
        else:
            _show(report, out)


def _names(values: list[str] | None) -> list[str]:
    return [name.strip() for value in values or [] for name in value.split(",") if name.strip()]


def set_ids(values: list[str] | None) -> tuple[str, ...]:
    """Ids of the sets that an option names, whatever the case; all of them where it is not given.

    Raises:
        UsageError: there is no such set.
    """
    by_name = {
        name.casefold(): dataset.id
        for dataset in DATASETS.values()
        for name in (dataset.id, dataset.file_name)
    }
    names = _names(values)
    unknown = [name for name in names if name.casefold() not in by_name]
    if unknown:
        raise UsageError(f"There is no set {', '.join(unknown)}; there are: {', '.join(DATASETS)}.")
    chosen = {by_name[name.casefold()] for name in names} or set(DATASETS)
    return tuple(set_id for set_id in DATASETS if set_id in chosen)


@contextmanager
def progress() -> Iterator[Advance]:
    """Steps on standard error: a bar on a terminal, elsewhere lines.

    One that has parts says every half minute how far it is.
    """
    console = notices()
    if not console.is_terminal:
        from training.evaluate.progress import ProgressLines

        said: list[str] = []
        lines = ProgressLines()

        def say(step: str, done: int, total: int) -> None:
            if total > 1:
                lines(step, done, total)
            elif step not in said:
                said.append(step)
                notice(f"{step} …")

        yield say
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(step: str, done: int, total: int) -> None:
            bar.update(task, description=step, completed=done, total=total if total > 1 else None)

        yield show


def _show(report: Mapping[str, Any], out: Path) -> None:
    console = output()
    table = Table("set", "split", box=None, pad_edge=False)
    for head in ("rows", "posts", "explanations", "annotations"):
        table.add_column(head, justify="right")
    for set_id, splits in report["rows"].items():
        for split, row in splits.items():
            counts = (row["rows"], row["posts"], row["explanations"], row["annotations"])
            table.add_row(set_id, split, *map(str, counts))
    console.print(table)
    console.print()
    for set_id, splits in report["missing"]["released"].items():
        console.print(f"No released file: {set_id} {', '.join(splits)}")
    for source in report["missing"]["raw"]:
        console.print(f"No raw file: {source}")
    if report["unread"]:
        console.print(f"Rows that could not be read: {len(report['unread'])}")
    removed = sum(
        sum(rule["applied"].values()) for rule in report["rules"] if rule["effect"] == "removed"
    )
    bare = sum(
        sum(rule["applied"].values()) for rule in report["rules"] if rule["effect"] == "label_only"
    )
    console.print(f"Rows removed by rules: {removed}; explanations left out: {bare}")
    shared, near = report["shared"], report["near"]
    console.print(
        f"Train rows with a post of val or test: {len(shared['rows']['train'])} "
        f"({'removed' if shared['removed']['train'] else 'kept'}); with nearly such a post: "
        f"{len(near['rows'])} ({'removed' if near['removed'] else 'kept'})"
    )
    console.print(f"Report: {out / REPORT_FILE} and {out / CARD_FILE}", soft_wrap=True)


def _without_ids(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report with numbers of rows in place of their ids, which would fill screens."""
    short = dict(report)
    short["rules"] = [{**rule, "rows": len(rule["rows"])} for rule in report["rules"]]
    short["near"] = {**report["near"], "rows": len(report["near"]["rows"])}
    shared = report["shared"]
    short["shared"] = {
        **shared,
        "rows": {split: len(rows) for split, rows in shared["rows"].items()},
    }
    return short
