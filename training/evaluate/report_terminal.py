"""A report's tables on a terminal."""

from __future__ import annotations

import rich.table
from rich import box
from rich.console import Console
from rich.text import Text

from service.cli.terminal import plain
from training.evaluate.document import Table


def show_table(table: Table, console: Console) -> None:
    """Print a table with its title and note."""
    shown = rich.table.Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=_text(table.title), title_justify="left"
    )
    for name in table.header:
        shown.add_column(_text(name), overflow="fold")
    for row in table.rows:
        shown.add_row(*map(_text, row))
    console.print(shown)
    if table.note:
        console.print(_text(table.note), style="dim")


def _text(text: str) -> Text:
    return Text(plain(text))
