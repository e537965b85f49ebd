"""The one shape of every error, which is OpenAI's with a request id added.

    {"error": {"code": "text_too_long", "message": "…", "type": "invalid_request_error",
               "param": "text", "request_id": "…"}}

`error_response` makes the response, counts it and marks the request, so that `service.gate.errors`
leaves the body as it is. Per-request facts travel in the ASGI scope's `state`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from starlette.responses import JSONResponse
from starlette.types import Scope

from service.errors import ServiceError
from service.failures import logger
from service.metrics import REJECTIONS

_REQUEST_ID = "request_id"
_FINAL = "mentalllama_final"
_ERROR = "mentalllama_error"
_RETRY_AFTER = {429: 1, 503: 1, 504: 1}


def state_of(scope: Scope) -> dict[str, Any]:
    """The request's state, shared by every layer that handles the request."""
    return cast("dict[str, Any]", scope.setdefault("state", {}))


def request_id_of(scope: Scope) -> str | None:
    """The id that `service.gate.request_id` gave the request."""
    return state_of(scope).get(_REQUEST_ID)


def set_request_id(scope: Scope, request_id: str) -> None:
    """Give the request its id."""
    state_of(scope)[_REQUEST_ID] = request_id


def mark_final(scope: Scope) -> None:
    """Say that the response is ours and no error is to be rewritten in it."""
    state_of(scope)[_FINAL] = True


def is_final(scope: Scope) -> bool:
    """Whether `mark_final` was called on the request."""
    return bool(state_of(scope).get(_FINAL))


def error_code_of(scope: Scope) -> str | None:
    """The code of the error that the request was answered with, if it was."""
    return state_of(scope).get(_ERROR)


def error_type(status: int) -> str:
    """OpenAI's coarse type of an error: whose fault it is."""
    return "server_error" if status >= 500 else "invalid_request_error"


def error_body(
    error: ServiceError, request_id: str | None, status: int | None = None
) -> dict[str, Any]:
    """The error's body. `status` is the response's where it is not the class's own."""
    return {
        "error": {
            "code": error.code,
            "message": error.message,
            "type": error_type(status or error.status),
            "param": error.param,
            "request_id": request_id,
        }
    }


def error_response(
    error: ServiceError,
    scope: Scope,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The response that tells a caller of `error`; counted, and final."""
    status = status or error.status
    request_id = request_id_of(scope)
    mark_final(scope)
    state_of(scope)[_ERROR] = error.code
    REJECTIONS.labels(error.code).inc()
    if status >= 500:
        logger.warning("%s [request %s]: %s", error.code, request_id, error.message)
    merged = dict(headers or {})
    retry_after = error.retry_after or _RETRY_AFTER.get(status)
    if retry_after is not None:
        merged.setdefault("retry-after", str(retry_after))
    return JSONResponse(error_body(error, request_id, status), status, headers=merged)
