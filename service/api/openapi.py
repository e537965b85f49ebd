"""Writes the OpenAPI document, or says whether the committed one is up to date.

    python -m service.api.openapi [--check] [PATH]

Exit codes: 0 written or up to date, 1 the file differs from the code (`--check`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from service.api.document import build_document

__all__ = ["build_document", "main", "render"]

DEFAULT_PATH = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def render() -> str:
    """The document as it stands in the file."""
    return f"{json.dumps(build_document(), indent=2, ensure_ascii=False)}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description="Write or check the OpenAPI document.")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("path", nargs="?", type=Path, default=DEFAULT_PATH, help="the file")
    options = parser.parse_args(arguments)
    path: Path = options.path
    if options.check:
        if path.is_file() and path.read_text(encoding="utf-8") == render():
            return 0
        sys.stderr.write(f"{path.name} is not what the code says. Run `make openapi`.\n")
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
