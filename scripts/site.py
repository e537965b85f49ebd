"""Builds the site of the documentation with Sphinx, every warning an error.

    python -m scripts.site [--output FOLDER]

The pages of docs/ and those of other folders that belong to the documentation are laid out in a
folder of their own, where links to files elsewhere in the repository lead to copies of these. Then
Sphinx makes HTML of them, with no network. Exit codes are Sphinx's: 0 built, else not.

Sphinx with MyST reads the pages as a forge shows them, and itself finds links to pages and headings
that are not there. Material for MkDocs calls itself inactive, and its successor Zensical is a beta.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_OUTPUT = ROOT / "build" / "site"
OUTSIDE = (
    "CONTRIBUTING.md",
    "SECURITY.md",
    "loadtests/README.md",
    "models/README.md",
    "models/mentalllama-embedded/README.md",
    "models/mentalllama-embedded/calibration.md",
    "models/mentalllama-embedded/report.md",
)
"""Pages of the site that lie outside docs/."""

LINK = re.compile(r"\[([^\]]+)\]\(([^)\s#]+)([^)]*)\)")
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description="Build the site of the documentation.")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="where it goes")
    output: Path = parser.parse_args(arguments).output
    from sphinx.cmd.build import build_main

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        lay_out(source)
        if output.is_dir():
            shutil.rmtree(output)
        # -W: a warning is an error; -n: so is a reference to nothing; -a -E: nothing is kept.
        given = [
            "-W",
            "--keep-going",
            "-n",
            "-a",
            "-E",
            "-q",
            "-b",
            "html",
            "-c",
            str(ROOT / "docs"),
        ]
        code = build_main([*given, "-d", str(Path(folder) / "doctrees"), str(source), str(output)])
    if code == 0:
        sys.stdout.write(f"The site is in {output}: open {output / 'index.html'}.\n")
    return code


def lay_out(source: Path) -> None:
    """Copy the pages, and what they link to, to where Sphinx reads them."""
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb")]
    for page in (*pages, *(ROOT / name for name in OUTSIDE)):
        text, target = page.read_text(encoding="utf-8"), _place(source, page)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_relinked(text, page, source), encoding="utf-8")


def _place(source: Path, file: Path) -> Path:
    """Where a file of the repository stands in the layout: docs/ is its root."""
    inside = file.relative_to(ROOT)
    if inside.parts[0] == "docs":
        return source.joinpath(*inside.parts[1:])
    return source / "repository" / inside


def _relinked(text: str, page: Path, source: Path) -> str:
    """The text with its links leading to the same files in the layout."""

    def relink(match: re.Match[str]) -> str:
        words, link, after = match.groups()
        if re.match(r"[a-z]+:", link):
            return match[0]
        file = Path(os.path.normpath(page.parent / link))
        if file.is_dir() and not (file / "README.md").is_file():
            return f"{words} (`{file.relative_to(ROOT)}`)"  # a site shows no folders
        if file.is_dir():
            file = file / "README.md"
        if not file.is_file():
            return match[0]  # Sphinx names the place
        target = _place(source, file)
        if not target.exists() and file.suffix not in (".md", ".ipynb"):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        return f"[{words}]({os.path.relpath(target, _place(source, page).parent)}{after})"

    if page.suffix == ".ipynb":
        return LINK.sub(relink, text)
    pieces, end = [], 0
    for block in BLOCK.finditer(text):
        pieces += [LINK.sub(relink, text[end : block.start()]), block[0]]
        end = block.end()
    return "".join((*pieces, LINK.sub(relink, text[end:])))


if __name__ == "__main__":
    sys.exit(main())
