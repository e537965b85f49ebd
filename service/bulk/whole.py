"""Files that are there whole and on the disk, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.bulk.errors import OutputError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write a file under another name, which it leaves when the block is left without an error.

    Args:
        path: the file; what stands there is replaced in one step.

    Yields:
        Where to write it.

    Raises:
        OutputError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        _to_disk(part)
        part.replace(path)
        _to_disk(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> OutputError:
    """The error for a file that cannot be written."""
    return OutputError(f"{path} cannot be written: {error.strerror or 'it is not possible'}.")


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
