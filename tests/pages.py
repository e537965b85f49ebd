"""The pages for people, and what stands in their blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_FOLDERS = ("docs", "models")
_BLOCK = re.compile(r"^```([\w{}]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<<'(\w+)'")
SHELLS = ("bash", "sh", "console")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: relative to the repository.
        language: as it stands behind the fence.
        code: its lines.
    """

    page: str
    language: str
    code: str


def pages() -> list[Path]:
    """Every page in Markdown that a person may read."""
    found = [*ROOT.glob("*.md"), *(ROOT / "loadtests").glob("*.md")]
    return [*found, *(page for folder in _FOLDERS for page in (ROOT / folder).rglob("*.md"))]


def blocks() -> list[Block]:
    """The blocks of all pages, in the order in which they stand."""
    return [
        Block(str(page.relative_to(ROOT)), language, code)
        for page in sorted(pages())
        for language, code in _BLOCK.findall(page.read_text(encoding="utf-8"))
    ]


def commands(block: Block) -> Iterator[str]:
    """The commands of a block of shell; one that reads lines of its own is whole."""
    lines = iter(block.code.replace("\\\n", " ").splitlines())
    for line in lines:
        # Where a page does without `source .venv/bin/activate`.
        command = line.removeprefix("$ ").replace(".venv/bin/mentalllama", "mentalllama")
        command = command.strip().removeprefix(".venv/bin/")
        if not command or command.startswith("#"):
            continue
        if found := _HEREDOC.search(command):
            whole = [command]
            for more in lines:
                whole.append(more)
                if more == found[1]:
                    break
            command = "\n".join(whole)
        yield command
