"""Rows of text by column name, from whatever file a source comes as.

CSV and TSV (with a header), JSON lines, Parquet, or a folder with a folder for each label and a
text file a post, whose columns are `folder`, `file` and `text`. Cells are texts; what is no text is
written as JSON writes it, and nothing is an empty text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from training.data.tables import read_table
from training.errors import DataError

Cells = Mapping[str, str]

FOLDER_COLUMNS = ("folder", "file", "text")


def read_cells(path: Path) -> Iterator[Cells]:
    """Yield the rows of a file or folder, in order.

    Raises:
        DataError: it is not there, cannot be read, or has a form that is not known. The message
            names the file and the line, and holds none of its text.
    """
    if path.is_dir():
        yield from _read_folder(path)
        return
    if not path.is_file():
        raise DataError(f"There is no file {path}: check `root` and `files` of the source.")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path} is of no form that is known: name a folder or a file that ends in "
            f"{', '.join(_READERS)}."
        )
    yield from reader(path)


def _read_folder(path: Path) -> Iterator[Cells]:
    files = sorted(file for file in path.glob("*/*.txt") if file.is_file())
    if not files:
        raise DataError(f"{path} holds no folder with text files (*.txt), one a post.")
    for file in files:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise DataError(f"{file} is not UTF-8: convert it, or fetch it again.") from None
        yield {"folder": file.parent.name, "file": file.name, "text": text}


def _read_json_lines(path: Path) -> Iterator[Cells]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError:
                    row = None
                if not isinstance(row, dict):
                    raise DataError(f"Line {number} of {path} is no JSON object.")
                yield {name: _text(value) for name, value in row.items()}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8: convert it, or fetch it again.") from None


def _read_parquet(path: Path) -> Iterator[Cells]:
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    yield {name: _text(value) for name, value in row.items()}
    except (ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}).") from None


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


_READERS: Mapping[str, Callable[[Path], Iterator[Cells]]] = {
    ".csv": read_table,
    ".tsv": read_table,
    ".jsonl": _read_json_lines,
    ".json": _read_json_lines,
    ".parquet": _read_parquet,
}
