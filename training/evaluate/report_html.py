"""A report as one HTML page that asks for nothing outside itself.

Style and plots stand in the page, and its content security policy forbids everything else, scripts
too. Every text is escaped by the template.
"""

from __future__ import annotations

from training.evaluate.document import Document
from training.evaluate.pages import render


def to_html(document: Document) -> str:
    """Return the report as a page."""
    return render("report.html.j2", document=document)
