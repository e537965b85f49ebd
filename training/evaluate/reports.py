"""Writes what a run measured: `results.json`, `report.md` and `report.html`."""

from __future__ import annotations

from pathlib import Path

from training.evaluate.report_content import report
from training.evaluate.report_html import to_html
from training.evaluate.report_markdown import to_markdown
from training.evaluate.results import RESULTS_FILE, Results
from training.files import write_text

MARKDOWN_FILE = "report.md"
HTML_FILE = "report.html"


def write_reports(directory: Path, results: Results) -> tuple[Path, ...]:
    """Write the three files into a run's folder, in place of those that are there.

    Returns:
        Their paths: JSON, Markdown, HTML.

    Raises:
        DataError: one of them cannot be written.
    """
    document = report(results)
    texts = {
        RESULTS_FILE: f"{results.model_dump_json(indent=2, exclude_none=True)}\n",
        MARKDOWN_FILE: to_markdown(document),
        HTML_FILE: to_html(document),
    }
    return tuple(write_text(directory / name, text) for name, text in texts.items())
