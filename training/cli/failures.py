"""Turns what goes wrong in a command into one message on standard error and an exit code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import typer

from service.cli import exit_codes
from service.cli.failures import unexpected_reported
from service.cli.terminal import notice
from service.errors import ServiceError
from training.errors import ExitCode, TrainingError

MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.FAILURE: "the program failed",
    ExitCode.USAGE: "wrong usage: an option or a name",
    ExitCode.DATA: "data that is missing or cannot be read",
    ExitCode.RECIPE: "a recipe that cannot be used",
    ExitCode.MODEL: "a model that cannot be loaded",
    ExitCode.RESOURCES: "not enough memory, or another resource",
    ExitCode.ENDPOINT: "an endpoint that refuses or does not answer",
    ExitCode.INTERRUPTED: "interrupted; the same command goes on",
}

_OF_SERVICE: Mapping[exit_codes.ExitCode, ExitCode] = {
    exit_codes.ExitCode.USAGE: ExitCode.USAGE,
    exit_codes.ExitCode.TEXT_TOO_LONG: ExitCode.DATA,
    exit_codes.ExitCode.MODEL: ExitCode.MODEL,
}


def exit_code(error: TrainingError | ServiceError) -> ExitCode:
    """The exit code for an error; one of the service's by what that means here."""
    if isinstance(error, TrainingError):
        return error.exit_code
    return _OF_SERVICE.get(exit_codes.exit_code(error), ExitCode.FAILURE)


@contextmanager
def failures_reported() -> Iterator[None]:
    """Run the body of a command; nothing but `typer.Exit` and `SystemExit` leaves it.

    Raises:
        typer.Exit: with the code that `exit_code` gives for what was raised.
    """
    with unexpected_reported(
        "Interrupted. Run the same command again to go on.", "without any post"
    ):
        try:
            yield
        except (TrainingError, ServiceError) as error:
            notice(f"Error: {error.message}")
            raise typer.Exit(exit_code(error)) from None
