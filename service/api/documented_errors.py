"""Which errors the OpenAPI document lists for which routes."""

from __future__ import annotations

from service.errors import (
    BodyTooLargeError,
    EmptyTextError,
    EngineError,
    InvalidRequestError,
    NotReadyError,
    OverloadedError,
    ServiceError,
    TextTooLongError,
    UnknownNameError,
)
from service.gate.refusals import (
    ConcurrencyLimitedError,
    DeadlineExceededError,
    DeadlineUnreachableError,
    ForbiddenError,
    KeyExpiredError,
    NotImplementedByModelError,
    PostsLimitedError,
    RateLimitedError,
    RequestTimeoutError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)

Errors = tuple[type[ServiceError], ...]

KEY_ERRORS: Errors = (
    UnauthorizedError,
    KeyExpiredError,
    ForbiddenError,
    RateLimitedError,
    ConcurrencyLimitedError,
)
"""Of every route that asks for a key."""

_WORK_ERRORS: Errors = (
    *KEY_ERRORS,
    RequestTimeoutError,
    BodyTooLargeError,
    PostsLimitedError,
    ServiceError,
    EngineError,
    NotReadyError,
    OverloadedError,
    DeadlineUnreachableError,
    DeadlineExceededError,
)

ANALYZE_ERRORS: Errors = (
    InvalidRequestError,
    UnknownNameError,
    EmptyTextError,
    TextTooLongError,
    UnsupportedMediaTypeError,
    *_WORK_ERRORS,
)
OPENAI_ERRORS: Errors = (
    InvalidRequestError,
    TextTooLongError,
    UnknownNameError,
    NotImplementedByModelError,
    *_WORK_ERRORS,
)
