"""The OpenAPI document: every exposed route, complete, whatever version of vLLM serves it.

It is built from our schemas, the table of errors and the closed list of routes; vLLM's own routes
stand in it by hand, in short, with a link to OpenAI's reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from service.api import examples
from service.api.catalogue import Catalogue
from service.api.events import ErrorEvent, ExplanationEvent, LabelEvent
from service.api.health import Health
from service.api.schemas import AnalyzeRequest, AnalyzeResponse, ErrorResponse
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
    ERRORS,
    NotImplementedByModelError,
    RequestTimeoutError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)
from service.gate.shape import error_body

API_VERSION = "0.1.0"

_MODELS: tuple[tuple[type[BaseModel], JsonSchemaMode], ...] = (
    (AnalyzeRequest, "validation"),
    (AnalyzeResponse, "serialization"),
    (LabelEvent, "serialization"),
    (ExplanationEvent, "serialization"),
    (ErrorEvent, "serialization"),
    (ErrorResponse, "serialization"),
    (Catalogue, "serialization"),
    (Health, "serialization"),
)

_ANALYZE_ERRORS: tuple[type[ServiceError], ...] = (
    InvalidRequestError,
    UnknownNameError,
    EmptyTextError,
    TextTooLongError,
    RequestTimeoutError,
    BodyTooLargeError,
    UnsupportedMediaTypeError,
    ServiceError,
    EngineError,
    NotReadyError,
    OverloadedError,
)
_OPENAI_ERRORS: tuple[type[ServiceError], ...] = (
    InvalidRequestError,
    TextTooLongError,
    UnauthorizedError,
    UnknownNameError,
    RequestTimeoutError,
    BodyTooLargeError,
    ServiceError,
    NotImplementedByModelError,
    EngineError,
    NotReadyError,
    OverloadedError,
)
# vLLM answers 400 and 404 where our own routes answer 422.
_OPENAI_STATUS: dict[type[ServiceError], int] = {
    InvalidRequestError: 400,
    TextTooLongError: 400,
    UnknownNameError: 404,
}

_STREAM = """\
With `stream`: server-sent events.

- `label`: a question is decided on a text (`LabelEvent`); its explanation follows.
- `explanation`: more of an explanation (`ExplanationEvent`).
- `result`: the same object as without `stream`; the last event.
- `error`: in place of `result`, where the analysis failed or the service had to stop once the
  stream had begun (`ErrorEvent`).

A comment (`: keep-alive`) is sent when nothing else was for a while. What fails before the first \
event is answered with a status, not with a stream. Closing the connection ends the work."""

_ANALYZE = """\
Reads the questions of the chosen tasks in each text and answers every one with calibrated \
probabilities of its labels, a decision, and, where asked for, an explanation with the quotes it \
rests on.

A label is what a language model reads in a text. It is no diagnosis and says nothing certain \
about the person who wrote it."""


def _description() -> str:
    rows = "\n".join(
        f"| `{error.code}` | {_statuses(error)} | {error.description} |" for error in ERRORS
    )
    return f"""\
Eight tasks of the IMHI benchmark on a text, answered by a language model that vLLM serves: labels \
with probabilities, an explanation, and its evidence. Non-clinical research software: no answer is \
a diagnosis.

The same server speaks a part of the OpenAI API, on vLLM's own routes. Every response carries an \
`X-Request-Id`; send your own (up to 128 letters, digits, `.`, `_`, `-`) to find it in the logs. \
Every `GET` is answered on `HEAD` too.

## Errors

Every response from 400 on, on every route but the health checks, has one shape \
(`ErrorResponse`) and one of these codes. A message never repeats what was sent.

| code | status | when |
|---|---|---|
{rows}
"""


def _statuses(error: type[ServiceError]) -> str:
    other = _OPENAI_STATUS.get(error)
    return f"{error.status}, {other} on OpenAI routes" if other else str(error.status)


@cache
def build_document() -> dict[str, Any]:
    """The whole document, as OpenAPI 3.1 has it. Callers share it and must not change it."""
    _, definitions = models_json_schema(_MODELS, ref_template="#/components/schemas/{model}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MentalLLaMA",
            "version": API_VERSION,
            "description": _description(),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [
            {"name": "analysis", "description": "The eight tasks."},
            {"name": "operation", "description": "For whoever runs the service."},
            {"name": "openai", "description": "vLLM's own routes, OpenAI-compatible."},
        ],
        "paths": _paths(),
        "components": {
            "schemas": definitions["$defs"],
            "headers": {"X-Request-Id": _request_id_header()},
        },
    }


def _paths() -> dict[str, Any]:
    return {
        "/analyze": {"post": _analyze()},
        "/tasks": {
            "get": _operation(
                "analysis",
                "listTasks",
                "What can be asked",
                "The tasks, their questions and their labels, with the sentences that are read.",
                {"200": _json_response("The tasks.", "Catalogue", examples.CATALOGUE)},
            )
        },
        "/livez": {"get": _health("livez", "Does the engine go on?", "stalled")},
        "/readyz": {"get": _health("readyz", "May the service be sent work?", "draining")},
        "/health": {"get": _health("health", "`/readyz`, by vLLM's name for it", "draining")},
        "/metrics": {
            "get": _operation(
                "operation",
                "metrics",
                "Prometheus metrics",
                "The service's metrics (`mentalllama_…`) beside vLLM's own (`vllm:…`).",
                {
                    "200": {
                        "description": "Metrics in Prometheus' text format.",
                        "headers": _headers(),
                        "content": {
                            "text/plain": {
                                "schema": {"type": "string"},
                                "example": examples.METRICS,
                            }
                        },
                    }
                },
            )
        },
        "/v1/models": {
            "get": _operation(
                "openai",
                "listModels",
                "Served models",
                _openai("models/list", "The served model and its LoRA adapters."),
                {
                    "200": _free_json("The models.", examples.MODELS),
                    **_errors((UnauthorizedError,)),
                },
            )
        },
        "/v1/chat/completions": {
            "post": _completion(
                "createChatCompletion",
                "Chat",
                _openai("chat/create", "A chat with the served model, streaming or not."),
                examples.CHAT_REQUEST,
                examples.CHAT_RESPONSE,
            )
        },
        "/v1/completions": {
            "post": _completion(
                "createCompletion",
                "Completion of a prompt",
                _openai("completions/create", "A bare completion, streaming or not."),
                examples.COMPLETION_REQUEST,
                examples.COMPLETION_RESPONSE,
            )
        },
    }


def _analyze() -> dict[str, Any]:
    ok = _json_response("The answers.", "AnalyzeResponse", examples.ANALYZE_RESPONSE)
    ok["description"] = f"The answers, in one object.\n\n{_STREAM}"
    ok["content"]["text/event-stream"] = {
        "schema": {"type": "string"},
        "example": examples.stream(),
    }
    ok["headers"]["Server-Timing"] = {
        "description": (
            "Milliseconds by phase (`tokenize`, `queue`, `label_read`, `explanation`, `total`), of "
            "several texts the largest. Not on a stream."
        ),
        "schema": {"type": "string"},
        "example": examples.SERVER_TIMING,
    }
    operation = _operation(
        "analysis",
        "analyze",
        "Analyse a text or several",
        _ANALYZE,
        {"200": ok, **_errors(_ANALYZE_ERRORS)},
    )
    operation["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {
                "schema": _ref("AnalyzeRequest"),
                "examples": examples.ANALYZE_REQUESTS,
            }
        },
    }
    return operation


def _health(operation_id: str, summary: str, bad: str) -> dict[str, Any]:
    return _operation(
        "operation",
        operation_id,
        summary,
        "For probes. 503 has the same form as 200.",
        {
            "200": _json_response("Yes.", "Health", {"status": "ready"}),
            "503": _json_response("No.", "Health", {"status": bad}),
        },
    )


def _completion(
    operation_id: str, summary: str, description: str, request: Any, response: Any
) -> dict[str, Any]:
    ok = _free_json("The completion; with `stream`, server-sent events.", response)
    operation = _operation(
        "openai",
        operation_id,
        summary,
        description,
        {"200": ok, **_errors(_OPENAI_ERRORS, _OPENAI_STATUS)},
    )
    operation["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "additionalProperties": True},
                "example": request,
            }
        },
    }
    return operation


def _openai(page: str, what: str) -> str:
    return (
        f"{what} The route is vLLM's own: see "
        f"[OpenAI's reference](https://platform.openai.com/docs/api-reference/{page}) for its "
        "fields and vLLM's documentation for what it adds."
    )


def _operation(
    tag: str, operation_id: str, summary: str, description: str, responses: dict[str, Any]
) -> dict[str, Any]:
    return {
        "tags": [tag],
        "operationId": operation_id,
        "summary": summary,
        "description": description,
        "responses": responses,
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _headers() -> dict[str, Any]:
    return {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}


def _request_id_header() -> dict[str, Any]:
    return {
        "description": "The id of the request: the caller's own where it is plain, else a new one.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$"},
        "example": examples.REQUEST_ID,
    }


def _json_response(description: str, schema: str, example: Any) -> dict[str, Any]:
    return {
        "description": description,
        "headers": _headers(),
        "content": {"application/json": {"schema": _ref(schema), "example": example}},
    }


def _free_json(description: str, example: Any) -> dict[str, Any]:
    return {
        "description": description,
        "headers": _headers(),
        "content": {"application/json": {"schema": {"type": "object"}, "example": example}},
    }


def _errors(
    errors: Sequence[type[ServiceError]], statuses: dict[type[ServiceError], int] | None = None
) -> dict[str, Any]:
    """Responses by status, each with an example of every error that has it."""
    by_status: dict[int, list[type[ServiceError]]] = {}
    for error in errors:
        by_status.setdefault((statuses or {}).get(error, error.status), []).append(error)
    return {
        str(status): {
            "description": (
                f"{HTTPStatus(status).phrase}: {', '.join(f'`{error.code}`' for error in group)}."
            ),
            "headers": _headers(),
            "content": {
                "application/json": {
                    "schema": _ref("ErrorResponse"),
                    "examples": {error.code: _error_example(error, status) for error in group},
                }
            },
        }
        for status, group in sorted(by_status.items())
    }


def _error_example(error: type[ServiceError], status: int) -> dict[str, Any]:
    message, param = examples.ERROR_MESSAGES.get(error.code, (error.description, None))
    body = error_body(error(message, param=param), examples.REQUEST_ID, status)
    return {"summary": error.description, "value": body}
