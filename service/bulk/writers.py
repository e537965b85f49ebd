"""The result, made of the parts in their order: there whole, or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.bulk.formats import Format
from service.bulk.whole import whole

if TYPE_CHECKING:
    import pyarrow as pa


def write_result(path: Path, kind: Format, schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
    """Write a result.

    Args:
        path: the file; what stands there is replaced in one step.
        kind: Parquet, JSON lines or CSV.
        schema: the records'.
        tables: the records, in order.

    Raises:
        OutputError: it cannot be written.
    """
    write = {Format.PARQUET: _parquet, Format.CSV: _csv, Format.JSONL: _jsonl}[kind]
    with whole(path) as part:
        write(part, schema, tables)


def _parquet(path: Path, schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _grouped(tables):
            writer.write_table(pa.concat_tables(group))


def _csv(path: Path, schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
    import pyarrow.csv as pc

    with pc.CSVWriter(path, schema) as writer:
        for table in tables:
            writer.write_table(table)


def _jsonl(path: Path, schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
    import pyarrow as pa

    maps = [field.name for field in schema if pa.types.is_map(field.type)]
    with path.open("w", encoding="utf-8") as file:
        for table in tables:
            for record in table.to_pylist():
                for name in maps:
                    if record[name] is not None:
                        record[name] = dict(record[name])
                try:
                    line = json.dumps(record, ensure_ascii=False, default=str, allow_nan=False)
                except ValueError:  # what is no number has no other form in JSON
                    line = json.dumps(_without_nan(record), ensure_ascii=False, default=str)
                file.write(f"{line}\n")


def _without_nan(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {name: _without_nan(one) for name, one in value.items()}
        case list() | tuple():
            return [_without_nan(one) for one in value]
        case _:
            return value


def _grouped(tables: Iterator[pa.Table], rows: int = 8_192) -> Iterator[list[pa.Table]]:
    """Parts together as row groups: readers are slow on many small ones."""
    group: list[pa.Table] = []
    for table in tables:
        group.append(table)
        if sum(one.num_rows for one in group) >= rows:
            yield group
            group = []
    if group:
        yield group
