"""Samples as JSON lines: `samples.jsonl` in a run's folder.

A run writes its records once it has them all, or what it has of them when it is interrupted;
reports, comparisons and calibration read them back. One line a sample, fields as in `Record`, None
left out. A log-probability of minus infinity is null, since JSON has no other way to write it.

The file holds posts: only its owner may read it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from training.errors import DataError
from training.evaluate.records import Explained, FreeForm, Read, Record

SAMPLES_FILE = "samples.jsonl"

_RECORD = TypeAdapter(Record)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, in place of one that is there.

    A reader sees the old file or the new one, never a part.

    Raises:
        DataError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # What UTF-8 cannot hold, half a surrogate pair, becomes the escape that JSON has for it.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written: {error.strerror}.") from error


def write_records(directory: Path, records: Iterable[Record]) -> Path:
    """Write the samples of a run into its folder, in place of those that are there.

    Returns:
        The file's path.

    Raises:
        DataError: it cannot be written.
    """
    path = directory / SAMPLES_FILE
    write_private(path, "".join(f"{record_line(record)}\n" for record in records))
    return path


def load_records(directory: Path) -> list[Record]:
    """Read the samples in a run's folder, in the order in which they were written.

    Raises:
        DataError: the file is missing, cannot be read, or a line is no sample. The message names
            the line and never what it holds.
    """
    path = directory / SAMPLES_FILE
    try:
        with path.open(encoding="utf-8") as file:
            return [_record(path, number, line) for number, line in enumerate(file, 1)]
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist: give the output folder of `mentalllama-train evaluate`."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}).") from None


def record_line(record: Record) -> str:
    """One record as one line of JSON, without its end."""
    fields = {name: value for name, value in asdict(record).items() if value is not None}
    if record.read is not None:
        fields["read"] = answer_fields(record.read)
    return json.dumps(fields, ensure_ascii=False, allow_nan=False)


def answer_fields(answer: Read | Explained | FreeForm) -> dict[str, Any]:
    """An answer's fields as JSON has them."""
    fields = asdict(answer)
    if isinstance(answer, Read):
        fields["log_probabilities"] = {
            label: None if value == -math.inf else value
            for label, value in answer.log_probabilities.items()
        }
    return fields


def read_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a label read as JSON had them, with infinities again."""
    numbers = fields.get("log_probabilities")
    if not isinstance(numbers, dict):
        return fields
    known = {label: -math.inf if value is None else value for label, value in numbers.items()}
    return {**fields, "log_probabilities": known}


def _record(path: Path, number: int, line: str) -> Record:
    try:
        fields = json.loads(line)
        if isinstance(fields, dict) and isinstance(fields.get("read"), dict):
            fields["read"] = read_fields(fields["read"])
        return _RECORD.validate_python(fields)
    except (ValueError, TypeError):  # pydantic's and json's are ValueErrors
        raise DataError(
            f"Line {number} of {path} is no sample as this release writes them. Run "
            "`mentalllama-train evaluate` again on the same output folder to rewrite the file."
        ) from None
