"""Turns what goes wrong in a command into one message on standard error and an exit code."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from service.cli.exit_codes import ExitCode, exit_code
from service.cli.terminal import notice
from service.errors import ServiceError


@contextmanager
def failures_reported() -> Iterator[None]:
    """Run the body of a command; nothing but `typer.Exit` and `SystemExit` leaves it.

    Raises:
        typer.Exit: with the code that `service.cli.exit_codes` gives for what was raised.
    """
    with unexpected_reported("Interrupted.", "without the text that was analysed"):
        try:
            yield
        except ServiceError as error:
            notice(f"Error: {error.message}")
            raise typer.Exit(exit_code(error)) from None


@contextmanager
def unexpected_reported(interrupted: str, without: str) -> Iterator[None]:
    """End a command on an interrupt, and on what nobody foresaw.

    An unexpected exception is named by its type and place alone: its message could hold a post.

    Args:
        interrupted: what is said on Ctrl-C.
        without: what a person is asked to leave out of a report.

    Raises:
        typer.Exit: in place of every exception but itself and a broken pipe.
    """
    try:
        yield
    except (typer.Exit, BrokenPipeError):
        raise  # of a broken pipe the reader has gone; typer ends quietly
    except KeyboardInterrupt:
        notice(interrupted)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001 - the last stop before a person
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        notice(
            f"Internal error: {type(error).__name__}{place}. Please report this line in the "
            f"project's issue tracker, {without}."
        )
        raise typer.Exit(ExitCode.FAILURE) from None
