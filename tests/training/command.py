"""`mentalllama-train` in this process."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from training.cli.main import app


def invoke(*arguments: object) -> Result:
    """Run the command; an exception that it does not turn into an exit code is raised."""
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def error_text(result: Result) -> str:
    """What the command wrote to standard error, on one line."""
    return " ".join(result.stderr.split())
