"""Items as a plain spreadsheet: one row an item, one empty column a criterion.

CSV in UTF-8 with a byte order mark, so that spreadsheet programs read it without being asked. A
cell that a program would take for a formula begins with an apostrophe there. When the file is read
again, only ids and numbers count.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from training.annotate.items import Item
from training.annotate.ratings import Rating
from training.annotate.rubric import SCALE, Rubric
from training.errors import DataError
from training.evaluate.store import write_private

_TEXTS = ("item", "post", "question", "label", "explanation")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_sheet(path: Path, items: Sequence[Item], rubric: Rubric) -> None:
    """Write the sheet of one annotator, the items in their order.

    Raises:
        DataError: it cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    criteria = [criterion.id for criterion in rubric.criteria]
    writer.writerow([*_TEXTS, *criteria, "comment"])
    for item in items:
        cells = (item.id, item.post, item.question, item.label, item.explanation)
        writer.writerow([*map(_safe, cells), *("" for _ in criteria), ""])
    write_private(path, "\N{ZERO WIDTH NO-BREAK SPACE}" + text.getvalue())


def read_sheet(path: Path, annotator: str, rubric: Rubric) -> tuple[Rating, ...]:
    """Read a filled sheet; empty cells are not rated yet, whatever else is in the row is ignored.

    Args:
        path: the file; comma, semicolon or tab between cells, as programs write them.
        annotator: whose it is.
        rubric: what it rates by.

    Raises:
        DataError: it cannot be read, lacks a column, or a cell holds no number of the scale. The
            message names row and column, and holds nothing of the row.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read ({type(error).__name__}): save it as CSV in UTF-8."
        ) from None
    first = text.split("\n", 1)[0]
    delimiter = max((",", ";", "\t"), key=first.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    criteria = [criterion.id for criterion in rubric.criteria]
    lacking = [name for name in ("item", *criteria) if name not in (rows.fieldnames or ())]
    if lacking:
        raise DataError(f"{path} has no column {', '.join(lacking)}.")
    ratings = []
    for number, row in enumerate(rows, 2):
        for criterion in criteria:
            cell = (row[criterion] or "").strip()
            if cell:
                value = _value(cell)
                if value is None:
                    raise DataError(
                        f"{path}, row {number}: {criterion} is no number from {SCALE[0]} to "
                        f"{SCALE[-1]}."
                    )
                ratings.append(Rating((row["item"] or "").strip(), annotator, criterion, value))
    return tuple(ratings)


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _value(cell: str) -> int | None:
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        return None
    return int(value) if value in SCALE else None
