"""The human evaluation that was released with the predecessor's data.

`DR_annotation` holds three files: explanations of depression labels by ChatGPT whose label was
right, by ChatGPT whose label was wrong, and by GPT-3 (curie-instruct-beta), each with three
annotators' numbers for fluency, completeness, reliability and overall.
"""

from __future__ import annotations

import ast
import csv
from collections.abc import Mapping
from pathlib import Path

from imhi.tasks import QUESTIONS
from training.annotate.items import Item, Key, Origin
from training.annotate.ratings import Rating
from training.annotate.rubric import RUBRICS, SCALE
from training.data.example import post_key
from training.errors import DataError

SYSTEMS: Mapping[str, str] = {
    "chatgpt_data.csv": "ChatGPT, label right",
    "chatgpt_false_data.csv": "ChatGPT, label wrong",
    "gpt3_data.csv": "GPT-3",
}
ANNOTATORS = ("1", "2", "3")
RUBRIC = "predecessor"
_QUESTION = QUESTIONS["depression"]


def read_released(
    folder: Path,
) -> tuple[tuple[Item, ...], Key, tuple[Rating, ...], tuple[str, ...]]:
    """Read the files that are there.

    Args:
        folder: `human_evaluation/DR_annotation` of the released data.

    Returns:
        Items, key, ratings, and names of the files that are missing.

    Raises:
        DataError: none is there, or one is not of the form above.
    """
    present = [name for name in SYSTEMS if (folder / name).is_file()]
    if not present:
        raise DataError(
            f"{folder} holds none of {', '.join(SYSTEMS)}: name the folder DR_annotation of the "
            "released human evaluation."
        )
    items: list[Item] = []
    origins: dict[str, Origin] = {}
    ratings: list[Rating] = []
    for name in present:
        for number, row in enumerate(_rows(folder / name), 1):
            item = _item(row, f"{Path(name).stem}-{number:03d}", folder / name)
            items.append(item)
            origins[item.id] = Origin(system=SYSTEMS[name], set="DR", sample=post_key(item.post))
            ratings += _ratings(row, item.id, f"Row {number} of {folder / name}")
    key = Key(rubric=RUBRIC, annotators=ANNOTATORS, overlap=3, seed=0, origins=origins)
    missing = tuple(name for name in SYSTEMS if name not in present)
    return tuple(items), key, tuple(ratings), missing


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}).") from None
    criteria = [criterion.id for criterion in RUBRICS[RUBRIC].criteria]
    lacking = [name for name in ("text", "label", *criteria) if not rows or name not in rows[0]]
    if lacking:
        raise DataError(f"{path} has no column {', '.join(lacking)}.")
    return rows


def _item(row: Mapping[str, str], name: str, path: Path) -> Item:
    known = {"text", "label", *(criterion.id for criterion in RUBRICS[RUBRIC].criteria)}
    texts = [column for column in row if column not in known]
    if len(texts) != 1:
        raise DataError(f"{path} has {len(texts)} columns that could hold explanations, not one.")
    # 1 is depression. The label is the annotators'; where ChatGPT was wrong it explains the other.
    label = _QUESTION.label("yes" if row["label"].strip() == "1" else "no").answer
    return Item(name, row["text"], _QUESTION.text, label, row[texts[0]])


def _ratings(row: Mapping[str, str], item: str, where: str) -> list[Rating]:
    ratings = []
    for criterion in RUBRICS[RUBRIC].criteria:
        try:
            values = ast.literal_eval(row[criterion.id])
        except (ValueError, SyntaxError):
            values = None
        if (
            not isinstance(values, list)
            or len(values) != len(ANNOTATORS)
            or any(value not in SCALE for value in values)
        ):
            raise DataError(f"{where}: {criterion.id} is no list of three numbers from 0 to 3.")
        ratings += [
            Rating(item, annotator, criterion.id, int(value))
            for annotator, value in zip(ANNOTATORS, values, strict=True)
        ]
    return ratings
