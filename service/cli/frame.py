"""What the project's command lines have in common: their frame, and how it is run."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable
from io import TextIOWrapper
from typing import Annotated

import typer


def exit_code_words(meanings: Iterable[tuple[int, str]]) -> str:
    """One sentence that says what the exit codes mean, for the end of a help page."""
    return "Exit codes: " + "; ".join(f"{code} {said}" for code, said in meanings) + "."


def make_app(name: str, summary: str, epilog: str) -> typer.Typer:
    """A command line without commands, with `--version`.

    Args:
        name: what it is called.
        summary: what it does.
        epilog: stands at the end of its help.
    """
    app = typer.Typer(
        name=name,
        help=summary,
        epilog=epilog,
        rich_markup_mode="markdown",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    return app


def run(app: typer.Typer) -> None:
    """Run a command line; entry points of the distribution end here."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal that cannot show a character shows a question mark rather than no answer.
        sys.stdout.reconfigure(errors="replace")
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(importlib.metadata.version("mentalllama"))
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass
