"""Which form a file has, by its name or as it is said, and opening it whatever compresses it."""

from __future__ import annotations

import gzip
import lzma
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, cast

from service.bulk.errors import InputError

STANDARD_INPUT = "-"


class Format(StrEnum):
    """How rows are written in a file."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    TEXT = "text"


RESULTS = (Format.PARQUET, Format.JSONL, Format.CSV)
"""Formats that a result can have."""

_SUFFIXES: Mapping[str, Format] = {
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".tab": Format.TSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".txt": Format.TEXT,
}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def format_of(path: Path, said: Format | None, *, option: str) -> Format:
    """The format of a file.

    Args:
        path: its name; an ending that says how it is compressed is left out.
        said: what the user says, which counts.
        option: the option that says it, for the error.

    Raises:
        InputError: neither tells.
    """
    if said is not None:
        return said
    name = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
    if (found := _SUFFIXES.get(name.suffix.lower())) is None:
        known = ", ".join(_SUFFIXES)
        raise InputError(
            f"{path.name}: the ending does not tell the format. Say it with {option} "
            f"({', '.join(Format)}), or use one of: {known}."
        )
    return found


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading, decompressed.

    Raises:
        InputError: it cannot be opened.
    """
    try:
        match path.suffix.lower():
            case ".gz":
                return cast("BinaryIO", gzip.open(path))
            case ".xz":
                return cast("BinaryIO", lzma.open(path))
            case ".bz2" | ".zst":
                return cast("BinaryIO", _arrow_stream(path))
            case _:
                return path.open("rb")
    except OSError as error:
        raise unreadable(path, error) from error


def check_encoding(path: Path) -> None:
    """Refuse text that is not in UTF-8 from its first bytes on.

    Raises:
        InputError: it is UTF-16, or cannot be read.
    """
    with open_bytes(path) as file:
        try:
            first = file.read(2)
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise unreadable(path, error) from error
    if first in _UTF16:
        raise InputError(f"{path.name} is in UTF-16. Save it in UTF-8 and try again.")


def unreadable(path: Path, error: Exception) -> InputError:
    """The error for a file that cannot be read; it repeats nothing of what stands in it."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else None
    return InputError(f"{path.name} cannot be read: {reason or 'it is damaged or not compressed'}.")


def spool(target: Path) -> None:
    """Keep standard input in a file: what is analysed may have to be read again.

    Raises:
        InputError: nothing came.
    """
    part = target.with_name(f"{target.name}.part")
    with part.open("wb") as file:
        while block := sys.stdin.buffer.read(1 << 20):
            file.write(block)
    if not part.stat().st_size:
        part.unlink()
        raise InputError("Standard input is empty.")
    part.replace(target)


def _arrow_stream(path: Path) -> Any:
    import pyarrow as pa

    kind = "bz2" if path.suffix.lower() == ".bz2" else "zstd"
    return pa.input_stream(str(path), compression=kind)
