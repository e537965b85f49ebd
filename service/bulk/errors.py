"""What can be wrong with the files of a bulk analysis."""

from __future__ import annotations

from service.errors import InvalidRequestError, ServiceError


class InputError(InvalidRequestError):
    """A file cannot be read as what it is said to be, or has no column of texts."""

    code = "input_error"
    description = "An input file cannot be read, or has no column of texts."


class OutputError(InvalidRequestError):
    """The result cannot be written where it was asked for, or something else is there."""

    code = "output_error"
    description = "The result cannot be written, or another run's stands in its place."


class NotTextError(ServiceError):
    """A row whose text is none: missing, a number, or bytes that are not UTF-8."""

    status = 422
    code = "not_text"
    description = "The row has no text in the column, or it is not UTF-8."


class MalformedRowError(ServiceError):
    """A row that cannot be taken apart."""

    status = 422
    code = "malformed_row"
    description = "The row has more or fewer cells than the header, or is no JSON object."
