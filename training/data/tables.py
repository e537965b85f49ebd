"""CSV tables as rows of text, with errors that say what to do and never show a cell."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from training.errors import DataError

Mend = Callable[[str, str], str]
"""Mends a text; given the text and the id of its row (`source:row`)."""

_LONGEST_CELL = 2**24


def untouched(text: str, row_id: str) -> str:
    """The `Mend` that changes nothing."""
    del row_id
    return text


def read_table(path: Path) -> Iterator[Mapping[str, str]]:
    """Yield the rows of a UTF-8 CSV file by column name, of a TSV file by its suffix `.tsv`.

    A cell that a short row lacks is empty; what a long row has too much is left out.

    Raises:
        DataError: the file cannot be read, is not UTF-8, is no CSV, or has no header.
    """
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
            reader = csv.reader(file, strict=True, delimiter=delimiter)
            header = next(reader, None)
            if header is None:
                raise DataError(f"{path.name} is empty: expected a CSV file with a header.")
            width = len(header)
            for cells in reader:
                cells += [""] * (width - len(cells))
                yield dict(zip(header, cells, strict=False))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8: convert it, or fetch it again.") from None
    except csv.Error:
        raise DataError(f"{path} is not a well-formed CSV file: fetch it again.") from None
    finally:
        csv.field_size_limit(before)
