"""What the command line's exit codes mean, and which error leads to which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from service.client import RefusedError, UnreachableError
from service.errors import (
    BodyTooLargeError,
    EmptyTextError,
    InvalidRequestError,
    MethodNotAllowedError,
    ModelError,
    NotFoundError,
    NotReadyError,
    OverloadedError,
    ServiceError,
    TextTooLongError,
    UnknownNameError,
)
from service.settings import InvalidSettingsError


class ExitCode(IntEnum):
    """Part of the public interface: scripts rely on the numbers."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    TEXT_TOO_LONG = 3
    SERVICE = 4
    MODEL = 5
    ROWS_FAILED = 6
    INTERRUPTED = 130


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.FAILURE: "the engine or the program failed",
    ExitCode.USAGE: "wrong usage: an option, a name, a setting, or an empty text",
    ExitCode.TEXT_TOO_LONG: "the text is too long",
    ExitCode.SERVICE: "the service cannot be reached or refuses",
    ExitCode.MODEL: "the model cannot be loaded",
    ExitCode.ROWS_FAILED: "the result is whole, and some of its rows have an error for answers",
    ExitCode.INTERRUPTED: "interrupted",
}

_CODES: Mapping[type[ServiceError], ExitCode] = {
    InvalidRequestError: ExitCode.USAGE,
    UnknownNameError: ExitCode.USAGE,
    InvalidSettingsError: ExitCode.USAGE,
    EmptyTextError: ExitCode.USAGE,
    TextTooLongError: ExitCode.TEXT_TOO_LONG,
    BodyTooLargeError: ExitCode.TEXT_TOO_LONG,
    UnreachableError: ExitCode.SERVICE,
    RefusedError: ExitCode.SERVICE,
    NotReadyError: ExitCode.SERVICE,
    OverloadedError: ExitCode.SERVICE,
    NotFoundError: ExitCode.SERVICE,
    MethodNotAllowedError: ExitCode.SERVICE,
    ModelError: ExitCode.MODEL,
}


def exit_code(error: ServiceError) -> ExitCode:
    """The exit code for an error: its class's, or the nearest base class's that has one."""
    for kind in type(error).__mro__:
        if kind in _CODES:
            return _CODES[kind]
    return ExitCode.FAILURE
