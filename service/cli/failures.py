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

    An unexpected exception is named by its type and place alone: its message could hold a post.

    Raises:
        typer.Exit: with the code that `service.cli.exit_codes` gives for what was raised.
    """
    try:
        yield
    except typer.Exit:
        raise
    except ServiceError as error:
        notice(f"Error: {error.message}")
        raise typer.Exit(exit_code(error)) from None
    except KeyboardInterrupt:
        notice("Interrupted.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        raise  # the reader has gone; typer ends quietly
    except Exception as error:  # noqa: BLE001 - the last stop before a person
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        notice(
            f"Internal error: {type(error).__name__}{place}. Please report this line in the "
            "project's issue tracker, without the text that was analysed."
        )
        raise typer.Exit(ExitCode.FAILURE) from None
