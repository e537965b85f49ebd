"""`mentalllama-train data check`: whether explained rows can be learned from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imhi.tasks import DATASETS
from service.cli.terminal import notice, output, print_json
from training.cli.data import progress, set_ids
from training.cli.failures import failures_reported
from training.data.example import Split
from training.errors import DataError, UsageError

if TYPE_CHECKING:
    from training.check.consistency import Embed

_QUALITY = "Against experts"


def check(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="Prepared data, or a folder of the benchmark's released files, checked as they "
            "are.",
            show_default=False,
        ),
    ],
    folder: Annotated[
        Path,
        typer.Option(
            "--output", metavar="DIR", help="Folder for verdicts and reports. It holds posts."
        ),
    ],
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What to look for, and how strictly; YAML."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(metavar="IDS", help=f"Sets, separated by commas: {', '.join(DATASETS)}."),
    ] = None,
    splits: Annotated[
        str, typer.Option(metavar="SPLITS", help="Splits, separated by commas.")
    ] = "train,val",
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="ENCODER",
            help="Encoder (a directory or an id on a hub) that the consistency is read with, in "
            "place of the recipe's.",
        ),
    ] = None,
    experts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Experts' explanations: CSV with post, question, label, explanation.",
            rich_help_panel=_QUALITY,
        ),
    ] = None,
    bertscore: Annotated[
        str | None,
        typer.Option(metavar="ENCODER", help="Of BERTScore.", rich_help_panel=_QUALITY),
    ] = None,
    bartscore: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Of BARTScore.", rich_help_panel=_QUALITY),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print check.json.")] = False,
) -> None:
    """Give every explained row a verdict with reasons, and count them.

    For example:

        mentalllama-train data check imhi --sets DR,dreaddit,SAD --output runs/checked
    """
    with failures_reported():
        from training.check.content import document, fault_table, verdict_table
        from training.check.experts import read_experts
        from training.check.page import write_page
        from training.check.recipe import load_check_recipe
        from training.check.results import RESULTS_FILE
        from training.check.run import check as run
        from training.check.run import load_rows, write_verdicts
        from training.evaluate.report_markdown import to_markdown
        from training.evaluate.report_terminal import show_table
        from training.files import write_text

        wanted = load_check_recipe(recipe)
        rows = load_rows(path, set_ids(sets), _splits(splits))
        written = read_experts(experts) if experts is not None else None
        if written is None and (bertscore or bartscore):
            raise UsageError("--bertscore and --bartscore compare with experts: add --experts.")
        source = encoder or wanted.consistency.encoder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".gitignore").write_text("*\n")
        except OSError as error:
            raise DataError(f"{folder} cannot be made: {error.strerror}.") from error
        with progress() as advance:
            checked = run(
                rows,
                wanted,
                embed=_embed(source),
                reader=Path(source).name if source else "TF-IDF and logistic regression",
                experts=written,
                encoder=bertscore,
                scorer=bartscore,
                advance=advance,
            )
        write_verdicts(checked, rows, folder)
        text = f"{checked.results.model_dump_json(indent=2)}\n"
        notice(f"Wrote {write_text(folder / RESULTS_FILE, text)}")
        page = to_markdown(document(checked.results))
        notice(f"Wrote {write_text(folder / 'check.md', page)}")
        notice(f"Wrote {write_page(checked, folder)}, which holds posts")
        if as_json:
            print_json(checked.results.model_dump(mode="json"))
            return
        for table in (verdict_table(checked.results), fault_table(checked.results)):
            show_table(table, output())


def _splits(text: str) -> tuple[Split, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {split.value: split for split in Split}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise UsageError(f"The splits are {', '.join(known)}, not {', '.join(unknown) or 'none'}.")
    return tuple(known[name] for name in names)


def _embed(source: str | None) -> Embed | None:
    if source is None:
        return None
    from training.check.embedding import embed, load_embedder

    encoder = load_embedder(source)
    return lambda texts: embed(encoder, texts)
