"""The command line: `mentalllama serve|analyze|tasks|model`.

Each command is a thin module: arguments become the same request that HTTP takes, the answer is
printed on standard output, and everything else goes to standard error. `failures` turns errors into
the exit codes of `exit_codes`. Nothing heavy is imported before a model is loaded.
"""

from __future__ import annotations

import importlib.metadata
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from service.cli import analyze, model, serve, tasks
from service.cli.exit_codes import MEANINGS

_EXIT_CODES = "Exit codes: " + "; ".join(f"{c} {said}" for c, said in MEANINGS.items()) + "."

app = typer.Typer(
    name="mentalllama",
    help="Reads the IMHI tasks in a post with a language model: labels with probabilities, an "
    "explanation and its evidence. Research software: no diagnosis, no advice.",
    epilog=_EXIT_CODES,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(context_settings=serve.CONTEXT, epilog=_EXIT_CODES)(serve.serve)
app.command(epilog=_EXIT_CODES)(analyze.analyze)
app.command()(tasks.tasks)
app.add_typer(model.app, name="model")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(importlib.metadata.version("mentalllama"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; the entry point of the distribution."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal that cannot show a character shows a question mark rather than no answer.
        sys.stdout.reconfigure(errors="replace")
    app()
