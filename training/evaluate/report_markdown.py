"""A report as Markdown: every table, no plots."""

from __future__ import annotations

from training.evaluate.document import Document, Section, Table


def to_markdown(document: Document) -> str:
    """Return the report as GitHub-flavoured Markdown."""
    parts = [f"# {_text(document.title)}", f"> {_text(document.notice)}"]
    for section in document.sections:
        parts += _section(section)
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> list[str]:
    parts = [f"## {_text(section.title)}", *map(_text, section.paragraphs)]
    for table in section.tables:
        parts += table_lines(table)
    if section.plots and not section.tables:
        # Plots alone would leave a heading with nothing under it.
        for plot in section.plots:
            parts += table_lines(plot.table)
    return parts


def table_lines(table: Table) -> list[str]:
    """A table as paragraphs: its title, its rows, its note."""
    lines = [
        _line(table.header),
        _line(("---", *("---:" for _ in table.header[1:])) if _numeric(table) else _rule(table)),
        *map(_line, table.rows),
    ]
    note = [_text(table.note)] if table.note else []
    return [f"**{_text(table.title)}**", "\n".join(lines), *note]


def _rule(table: Table) -> tuple[str, ...]:
    return ("---",) * len(table.header)


def _numeric(table: Table) -> bool:
    """Whether what follows the first column is figures, to be set to the right."""
    return all(len(one) <= 40 for row in table.rows for one in row[1:])


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(_text(one) for one in cells)} |"


def _text(text: str) -> str:
    """The text on one line, with what Markdown or HTML would take for their own escaped."""
    joined = " ".join(text.split())
    for mark in ("\\", "|", "<", "*", "_", "`"):
        joined = joined.replace(mark, f"\\{mark}")
    return joined
