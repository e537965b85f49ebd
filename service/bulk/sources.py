r"""Rows of a file, one after the other, whatever its format.

Nothing is dropped: a row that cannot be taken apart, or whose text is none, is a row with an error.
Texts are read as UTF-8; in other columns, bytes that are none are shown as `\xff`.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.bulk.errors import InputError, MalformedRowError, NotTextError
from service.bulk.formats import Format, check_encoding, open_bytes, unreadable
from service.errors import ServiceError

TEXT_COLUMN = "text"
"""What the only column of a file of plain lines is called."""

_BATCH_ROWS = 1024
_DELIMITERS = {Format.CSV: ",", Format.TSV: "\t"}
csv.field_size_limit(1 << 30)
_HALVES = re.compile("[\ud800-\udfff]")  # of surrogate pairs; the lower ones stand for bytes


@dataclass(frozen=True, slots=True)
class Row:
    """One post and what stands beside it.

    Attributes:
        text: the post; None where there is an error.
        columns: the other columns, by name, as they came.
        error: why there is no text.
    """

    text: str | None
    columns: Mapping[str, Any] = field(default_factory=dict)
    error: ServiceError | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A file of posts.

    Attributes:
        path: where it lies.
        format: how it is written.
    """

    path: Path
    format: Format

    def columns(self) -> tuple[str, ...]:
        """Names of its columns; of JSON lines, those of the first object.

        Raises:
            InputError: it cannot be read, or has no header.
        """
        match self.format:
            case Format.PARQUET:
                return tuple(self.schema().names)
            case Format.TEXT:
                return (TEXT_COLUMN,)
            case Format.JSONL:
                first = next((one for one in self._objects() if isinstance(one, dict)), {})
                return tuple(first)
            case _:
                check_encoding(self.path)
                with self._table() as (_, header):
                    return tuple(header)

    def schema(self) -> Any:
        """The schema of a Parquet file.

        Raises:
            InputError: it is none.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.read_schema(self.path)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self.path.name} is not a Parquet file, or is damaged.") from error

    def rows(self, column: str) -> Iterator[Row]:
        """Every row, in order.

        Args:
            column: the name of the one with the texts.

        Raises:
            InputError: the file cannot be read on.
        """
        match self.format:
            case Format.PARQUET:
                cells: Iterator[Mapping[str, Any] | None] = self._batches()
            case Format.TEXT:
                cells = ({TEXT_COLUMN: line} for line in self._lines())
            case Format.JSONL:
                cells = (one if isinstance(one, dict) else None for one in self._objects())
            case _:
                cells = self._cells()
        for row in cells:
            yield _row(row, column)

    def _lines(self) -> Iterator[str]:
        check_encoding(self.path)
        try:
            with open_bytes(self.path) as raw, _text(raw) as lines:
                for line in lines:
                    yield line.rstrip("\r\n")
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise unreadable(self.path, error) from error

    def _objects(self) -> Iterator[object]:
        for line in self._lines():
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError):
                    yield None

    def _cells(self) -> Iterator[Mapping[str, Any] | None]:
        with self._table() as (table, header):
            while True:
                try:
                    cells = next(table)
                except StopIteration:
                    return
                except csv.Error as error:
                    if "unexpected end" in str(error):
                        raise InputError(
                            f"{self.path.name}: a quotation mark is opened and never closed, after "
                            f"line {table.line_num:,} at the latest. Close it, or double it where "
                            "it is part of a text."
                        ) from None
                    yield None
                    continue
                if not cells:  # an empty line: a row without anything in it
                    cells = [""] * len(header)
                yield dict(zip(header, cells, strict=True)) if len(cells) == len(header) else None

    def _table(self) -> _Table:
        return _Table(self.path, _DELIMITERS[self.format])

    def _batches(self) -> Iterator[Mapping[str, Any]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(_BATCH_ROWS):
                    yield from batch.to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self.path.name} is not a Parquet file, or is damaged.") from error


class _Table:
    """An open CSV file: its reader after the header, and the header."""

    def __init__(self, path: Path, delimiter: str) -> None:
        self._path = path
        self._delimiter = delimiter
        self._raw = open_bytes(path)

    def __enter__(self) -> tuple[Any, list[str]]:
        lines = _text(self._raw, newline="")
        delimiter, header = self._delimiter, list[str]()
        try:
            first = lines.readline()
            if delimiter == "," and "," not in first and ";" in first:
                delimiter = ";"  # as spreadsheets write it where the comma is decimal
            header = next(csv.reader([first], delimiter=delimiter, strict=True), [])
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise unreadable(self._path, error) from error
        except csv.Error:
            pass
        if not header or len(set(header)) < len(header):
            raise InputError(
                f"{self._path.name}: the first line must name the columns, each by another name."
            )
        return csv.reader(lines, delimiter=delimiter, strict=True), header

    def __exit__(self, *_: object) -> None:
        self._raw.close()


def _text(raw: Any, newline: str | None = "\n") -> io.TextIOWrapper:
    # Bytes that are no UTF-8 stay recognisable, so that their row alone fails.
    return io.TextIOWrapper(raw, "utf-8-sig", "surrogateescape", newline)


def _row(cells: Mapping[str, Any] | None, column: str) -> Row:
    if cells is None:
        return Row(None, error=MalformedRowError("The row does not have the form of the others."))
    others = {_shown(name): _shown(value) for name, value in cells.items() if name != column}
    text = cells.get(column)
    if not isinstance(text, str) or _HALVES.search(text):
        return Row(None, others, NotTextError("The row has no text in the column, or no UTF-8."))
    return Row(text, others)


def _shown(value: Any) -> Any:
    """The value, with every half of a surrogate pair in it replaced by what can be written."""
    match value:
        case str() if _HALVES.search(value):
            errors = "surrogateescape" if _escaped(value) else "replace"
            return value.encode("utf-8", errors).decode("utf-8", "backslashreplace")
        case dict():
            return {_shown(name): _shown(one) for name, one in value.items()}
        case list():
            return [_shown(one) for one in value]
        case _:
            return value


def _escaped(value: str) -> bool:
    """Whether all halves of surrogate pairs in it stand for bytes that were read."""
    return all("\udc80" <= one <= "\udcff" for one in _HALVES.findall(value))
