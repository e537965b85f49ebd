"""Errors a user may meet. Each class owns its HTTP status, a stable code and a safe message.

A message says what to do and never holds any of a post: only sizes, names of fields, tasks,
questions and labels, which are public. The HTTP layer and the command line render these; nothing
else reaches a user.
"""

from __future__ import annotations

from typing import ClassVar


class ServiceError(Exception):
    """Base of everything a caller can be told.

    Attributes:
        status: the HTTP status of a response that carries the error.
        code: stable, machine-readable; part of the public interface.
        message: safe to show; says what to do.
        param: the request's field that is wrong, or None.
        retry_after: seconds after which trying again can help, or None where nothing is known.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    description: ClassVar[str] = "Something failed inside the service."

    def __init__(
        self, message: str, *, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after


class InvalidRequestError(ServiceError):
    """The request does not have the form the interface asks for."""

    status = 422
    code = "invalid_request"
    description = "A field is missing, unknown, of the wrong type or out of range."


class UnknownNameError(ServiceError):
    """A task, question, label or model that does not exist."""

    status = 422
    code = "unknown_name"
    description = "A task, question, label or model is named that this service does not have."


class EmptyTextError(ServiceError):
    """A post without anything to read."""

    status = 422
    code = "empty_text"
    description = "A text is empty or holds only white space."


class TextTooLongError(ServiceError):
    """A post that does not fit the model's context, with truncation left at `error`."""

    status = 422
    code = "text_too_long"
    description = "A text does not fit the model's context and the truncation policy is `error`."


class BodyTooLargeError(ServiceError):
    """A request body beyond the limit."""

    status = 413
    code = "body_too_large"
    description = "The request's body is larger than the service accepts."


class NotFoundError(ServiceError):
    """A path that this service does not expose."""

    status = 404
    code = "not_found"
    description = "The path or method is not one of the service's routes."


class MethodNotAllowedError(ServiceError):
    """A path that exists, asked with another method."""

    status = 405
    code = "method_not_allowed"
    description = "The path exists, but not with this method."


class NotReadyError(ServiceError):
    """The service is starting, warming or stopping."""

    status = 503
    code = "not_ready"
    description = "The service is not ready to answer; see /readyz."


class OverloadedError(ServiceError):
    """More work than can be done in time."""

    status = 503
    code = "overloaded"
    description = "There is more work than the service accepts; try again later."


class EngineError(ServiceError):
    """The engine failed on this request or has died."""

    status = 502
    code = "engine_error"
    description = "The engine did not answer this request."


class ModelError(ServiceError):
    """A model that cannot be served: a broken manifest, labels that cannot be told apart, …."""

    status = 500
    code = "model_error"
    description = "The model cannot be served as it is."
