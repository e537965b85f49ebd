"""Writes the OpenAPI document, or says whether the committed one is up to date.

    python -m service.api.openapi [--check] [PATH]

Exit codes: 0 written or up to date, 1 the file differs from the code (`--check`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from service import generated
from service.api.document import build_document

__all__ = ["build_document", "main", "render"]

DEFAULT_PATH = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def render() -> str:
    """The document as it stands in the file."""
    return f"{json.dumps(build_document(), indent=2, ensure_ascii=False)}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return generated.run(
        render,
        DEFAULT_PATH,
        what="the OpenAPI document",
        remedy="make openapi",
        arguments=arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
