"""The report of a check with examples of each failure, on one HTML page.

It holds posts: only its owner may read the file, and the page says what it is. It asks for nothing
outside itself.
"""

from __future__ import annotations

from pathlib import Path

from training.check.content import document
from training.check.run import Checked
from training.evaluate.pages import render
from training.evaluate.store import write_private

PAGE_FILE = "check.html"

_TEMPLATES = Path(__file__).parent / "templates"


def write_page(checked: Checked, folder: Path) -> Path:
    """Write the page, in place of one that is there.

    Raises:
        DataError: it cannot be written.
    """
    rules = [rule for rule in checked.results.rules if checked.examples.get(rule.id)]
    page = render(
        "check.html.j2",
        _TEMPLATES,
        document=document(checked.results),
        rules=rules,
        examples=checked.examples,
        verdicts=checked.verdicts,
    )
    path = folder / PAGE_FILE
    write_private(path, page)
    return path
