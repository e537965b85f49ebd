"""Errors a person who trains, evaluates or exports may meet.

As in `service.errors`, a message says what to do and never holds any of a post: only paths, sizes,
row numbers, names of fields, sets, questions and labels. Each class owns the exit code of
`mentalllama-train`; errors of the service (a model that cannot be loaded, say) pass through with
theirs.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What `mentalllama-train` ends with; part of the public interface."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    DATA = 3
    RECIPE = 4
    MODEL = 5
    RESOURCES = 6
    ENDPOINT = 7
    INTERRUPTED = 130


class TrainingError(Exception):
    """Base of everything a person can be told.

    Attributes:
        exit_code: what the command ends with.
        message: safe to show; says what to do.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAILURE

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UsageError(TrainingError):
    """An option or a name that does not fit."""

    exit_code = ExitCode.USAGE


class DataError(TrainingError):
    """Data that is missing, cannot be read, or is not of the form expected."""

    exit_code = ExitCode.DATA


class RecipeError(TrainingError):
    """A recipe with a field that does not exist, a value out of range, or fields at odds."""

    exit_code = ExitCode.RECIPE


class ModelFilesError(TrainingError):
    """Weights or an adapter that are missing, not whole, or of a kind that is refused."""

    exit_code = ExitCode.MODEL


class ResourcesError(TrainingError):
    """Work that does not fit this machine, by estimate."""

    exit_code = ExitCode.RESOURCES


class TeacherError(TrainingError):
    """An endpoint that refuses its key, does not know the model, or does not answer."""

    exit_code = ExitCode.ENDPOINT
