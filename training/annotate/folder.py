"""The folder of an annotation: what each annotator is given, and what is kept from them.

    annotators/NAME/instructions.md        what to do, and the rubric
    annotators/NAME/ratings.csv            the spreadsheet
    annotators/NAME/tasks.json             the same for Label Studio, with
    annotators/NAME/label-studio.xml       its labeling configuration
    items.jsonl key.json                   not for annotators
    ratings.jsonl                          what was imported so far
    annotation.json annotation.md .html    the report

Give an annotator the folder of their name and nothing else. All of it but the report holds posts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from training.annotate import label_studio
from training.annotate.items import ITEMS_FILE, Item, Key, load_items, write_items
from training.annotate.rubric import NOTICE, RUBRICS, SCALE, Rubric
from training.annotate.spreadsheet import read_sheet, write_sheet
from training.errors import DataError, UsageError
from training.evaluate.store import write_private

PEOPLE = "annotators"
SHEET = "ratings.csv"
TASKS = "tasks.json"


def write_folder(
    folder: Path, items: Sequence[Item], key: Key, given: Mapping[str, Sequence[str]]
) -> None:
    """Write everything but ratings and report.

    Raises:
        UsageError: the folder holds an annotation, or something else.
        DataError: it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is not empty: ratings belong to one draw of items. Name another --output."
        )
    rubric = RUBRICS[key.rubric]
    by_id = {item.id: item for item in items}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        for annotator, ids in given.items():
            own = folder / PEOPLE / annotator
            own.mkdir(parents=True)
            theirs = [by_id[one] for one in ids]
            write_private(own / "instructions.md", instructions(rubric, len(theirs)))
            write_sheet(own / SHEET, theirs, rubric)
            write_private(own / TASKS, label_studio.tasks(theirs, annotator))
            write_private(own / "label-studio.xml", label_studio.configuration(rubric))
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror}.") from error
    write_items(folder, items, key)  # last: where they are, the rest is


def given_to(folder: Path, key: Key) -> dict[str, tuple[str, ...]]:
    """Annotator to the items that they were given, by their spreadsheets; empty without them."""
    rubric = RUBRICS[key.rubric]
    given = {}
    for annotator in key.annotators:
        sheet = folder / PEOPLE / annotator / SHEET
        if sheet.is_file():
            given[annotator] = _ids(sheet, annotator, rubric)
    return given


def _ids(sheet: Path, annotator: str, rubric: Rubric) -> tuple[str, ...]:
    import csv

    read_sheet(sheet, annotator, rubric)  # raises where it is damaged
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        return tuple(row["item"] for row in csv.DictReader(file))


def load(folder: Path) -> tuple[Mapping[str, Item], Key]:
    """Items and key of a folder; see `training.annotate.items.load_items`."""
    if not (folder / ITEMS_FILE).exists():
        raise DataError(
            f"{folder} holds no annotation: make one with `mentalllama-train annotate export`, or "
            "read the released one with `annotate import --released`."
        )
    return load_items(folder)


def instructions(rubric: Rubric, items: int) -> str:
    """What an annotator reads first, in Markdown."""
    lines = [
        "# Rating explanations",
        "",
        f"> {NOTICE}",
        "",
        f"There are {items} explanations. Each stands beside a post, a question that was asked "
        "about the post, and the answer that the explanation is for. Read all of them, then give "
        "each criterion a number. Judge the explanation for the answer that it was written for, "
        "also where you would have answered otherwise, and each explanation for itself. You are "
        "not told who wrote which.",
        "",
        f"In the spreadsheet write the numbers {SCALE[0]} to {SCALE[-1]} into the empty columns "
        "and change nothing else; save it as CSV. In Label Studio choose one for each criterion. "
        "Do not talk about single explanations with the other annotators before you have all "
        "finished.",
        "",
    ]
    for criterion in rubric.criteria:
        lines += [f"## {criterion.title}", "", criterion.question, "", "| number | means |"]
        lines += ["|---|---|"]
        lines += [
            f"| {value} | {level} |" for value, level in zip(SCALE, criterion.levels, strict=True)
        ]
        lines.append("")
    lines.append(f"After {rubric.source}; the wording of the numbers is this project's.")
    return "\n".join(lines) + "\n"
