"""Errors that only the HTTP surface can give, and which error stands for which status.

`service.errors` holds what the analysis and the command line can say too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from service.errors import (
    BodyTooLargeError,
    EmptyTextError,
    EngineError,
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


class UnauthorizedError(ServiceError):
    """No API key, or one that is not known."""

    status = 401
    code = "unauthorized"
    description = "The API key is missing or wrong (only where the deployment asks for one)."


class KeyExpiredError(ServiceError):
    """An API key that was good once."""

    status = 401
    code = "key_expired"
    description = "The API key is past its date."


class ForbiddenError(ServiceError):
    """A caller that is known but may not do this."""

    status = 403
    code = "forbidden"
    description = "The API key lacks the scope that the path asks for."


class RequestTimeoutError(ServiceError):
    """A body that takes too long to arrive."""

    status = 408
    code = "request_timeout"
    description = "The request's body did not arrive in time."


class UnsupportedMediaTypeError(ServiceError):
    """A body that is not plain JSON."""

    status = 415
    code = "unsupported_media_type"
    description = "The body is not sent as uncompressed `application/json`."


class RateLimitedError(ServiceError):
    """A caller that asks too often."""

    status = 429
    code = "rate_limited"
    description = "The key's requests a minute are used up."


class PostsLimitedError(ServiceError):
    """A caller that sends too many posts."""

    status = 429
    code = "posts_limited"
    description = "The key's posts a minute are used up."


class ConcurrencyLimitedError(ServiceError):
    """A caller that asks too much at one time."""

    status = 429
    code = "concurrency_limited"
    description = "As many of the key's requests as it may have are being answered."


class DeadlineUnreachableError(ServiceError):
    """A request whose deadline cannot be kept, found out before any work."""

    status = 503
    code = "deadline_unreachable"
    description = "At the rate of the moment the answer would be later than the request's deadline."


class DeadlineExceededError(ServiceError):
    """A request whose deadline passed before its answer began."""

    status = 504
    code = "deadline_exceeded"
    description = "The request's deadline passed; its work was stopped."


class NotImplementedByModelError(ServiceError):
    """Something that vLLM's route knows but the served model cannot do."""

    status = 501
    code = "not_implemented"
    description = "The served model or engine cannot do what an OpenAI route was asked for."


ERRORS: tuple[type[ServiceError], ...] = (
    InvalidRequestError,
    UnknownNameError,
    EmptyTextError,
    TextTooLongError,
    UnauthorizedError,
    KeyExpiredError,
    ForbiddenError,
    NotFoundError,
    MethodNotAllowedError,
    RequestTimeoutError,
    BodyTooLargeError,
    UnsupportedMediaTypeError,
    RateLimitedError,
    PostsLimitedError,
    ConcurrencyLimitedError,
    ServiceError,
    ModelError,
    NotImplementedByModelError,
    EngineError,
    NotReadyError,
    OverloadedError,
    DeadlineUnreachableError,
    DeadlineExceededError,
)
"""Every error that a response can carry."""

BY_STATUS: Mapping[int, type[ServiceError]] = MappingProxyType(
    {
        400: InvalidRequestError,
        401: UnauthorizedError,
        403: ForbiddenError,
        404: NotFoundError,
        405: MethodNotAllowedError,
        408: RequestTimeoutError,
        413: BodyTooLargeError,
        415: UnsupportedMediaTypeError,
        422: InvalidRequestError,
        429: RateLimitedError,
        500: ServiceError,
        501: NotImplementedByModelError,
        502: EngineError,
        503: OverloadedError,
        504: DeadlineExceededError,
    }
)
"""The error that stands for a status which somebody else's code answered with."""


def error_for_status(status: int) -> type[ServiceError]:
    """The error class for any status from 400 on."""
    return BY_STATUS.get(status, ServiceError if status >= 500 else InvalidRequestError)


OUTCOMES = ("ok", "refused", "caller_error", "server_error")
"""How an answered request ended, in metrics and logs."""

# Over a quota, or not now: whoever comes back later may be answered. Nothing failed.
_REFUSED = frozenset({429, 503, 504})


def outcome_of(status: int) -> str:
    """Which of `OUTCOMES` a response's status stands for."""
    if status < 400:
        return "ok"
    if status in _REFUSED:
        return "refused"
    return "caller_error" if status < 500 else "server_error"
