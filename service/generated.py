"""Documents written from the code: the command that writes one, or says it is out of date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def run(
    render: Callable[[], str],
    default: Path,
    *,
    what: str,
    remedy: str,
    arguments: Sequence[str] | None = None,
) -> int:
    """Write a document, or with `--check` compare it with the code.

    Args:
        render: the document as it should stand in the file.
        default: the file, where the arguments name none.
        what: the document in words, as in `the page on recipes`.
        remedy: the command that writes it.
        arguments: of the command line; the process's own by default.

    Returns:
        The exit code: 0 written or up to date, 1 the file differs from the code.
    """
    parser = argparse.ArgumentParser(description=f"Write or check {what}.")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("path", nargs="?", type=Path, default=default, help="the file")
    options = parser.parse_args(arguments)
    path: Path = options.path
    if options.check:
        if path.is_file() and path.read_text(encoding="utf-8") == render():
            return 0
        sys.stderr.write(f"{path.name} is not what the code says. Run `{remedy}`.\n")
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(), encoding="utf-8")
    return 0
