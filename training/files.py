"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from training.errors import DataError, TrainingError


def write_text(path: Path, text: str, error: type[TrainingError] = DataError) -> Path:
    """Write a file; a reader sees the old one or the new one, never a part.

    Args:
        path: the file.
        text: all that it is to hold.
        error: raised where it cannot be written.

    Returns:
        The file.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as problem:
        part.unlink(missing_ok=True)
        raise error(f"{path} cannot be written: {problem.strerror}.") from problem
    return path
