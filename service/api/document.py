"""The OpenAPI document: every exposed route, complete, whatever version of vLLM serves it.

It is built from our schemas, the table of errors and the closed list of routes; vLLM's own routes
stand in it by hand, in short, with a link to OpenAI's reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from service.api import examples
from service.api.catalogue import Catalogue
from service.api.decision_forms import DecisionRequest, DecisionResponse
from service.api.documented_errors import (
    ANALYZE_ERRORS,
    KEY_ERRORS,
    OPENAI_ERRORS,
)
from service.api.documented_headers import WORK_HEADERS
from service.api.events import ErrorEvent, ExplanationEvent, LabelEvent
from service.api.health import Health
from service.api.route import OPENAI_STATUS
from service.api.schemas import AnalyzeRequest, AnalyzeResponse, ErrorResponse
from service.errors import ServiceError
from service.gate.refusals import ERRORS
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
    (DecisionRequest, "validation"),
    (DecisionResponse, "serialization"),
    (Health, "serialization"),
)

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


_DECISIONS = """\
Answers typed questions with probabilities and writes no text: `predicate` (is it true?), `choice` \
(which of these?), `score` (where on this scale?). The form is OpenAI's, for text; the route is \
this service's, on the label reads of `/analyze`.

A `predicate` whose instructions are the text of one of the benchmark's yes/no questions \
(GET /tasks), and a `choice` whose instructions are a question's text and whose values are its \
labels' ids, names or answer sentences, is that question: it gets the same probabilities as from \
`/analyze`, calibrated. Any other question is the caller's own and is not calibrated. Where \
the deployment's decision policy abstains, the answer is a `refusal`.

No answer is a diagnosis."""


def _description() -> str:
    rows = "\n".join(
        f"| `{error.code}` | {_statuses(error)} | {error.description} |" for error in ERRORS
    )
    return f"""\
Eight tasks of the IMHI benchmark on a text, answered by a language model that vLLM serves: labels \
with probabilities, an explanation, and its evidence. Non-clinical research software: no answer is \
a diagnosis.

The same server speaks a part of the OpenAI API, on vLLM's own routes but for `/v1/decisions`. \
Every response carries an `X-Request-Id`; send your own (up to 128 letters, digits, `.`, `_`, \
`-`) to find it in the logs. \
Every `GET` is answered on `HEAD` too.

Where the deployment has keys, every route but the two health checks asks for one: \
`Authorization: Bearer KEY`. Answers with 429, 503 and 504 say in `Retry-After` after how many \
seconds to try again.

## Errors

Every response from 400 on, on every route but the health checks, has one shape \
(`ErrorResponse`) and one of these codes. A message never repeats what was sent.

| code | status | when |
|---|---|---|
{rows}
"""


def _statuses(error: type[ServiceError]) -> str:
    other = OPENAI_STATUS.get(error)
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
            {"name": "openai", "description": "The OpenAI API: vLLM's own routes, and decisions."},
        ],
        "paths": _paths(),
        "components": {
            "schemas": definitions["$defs"],
            "headers": {"X-Request-Id": _request_id_header()},
            "parameters": WORK_HEADERS,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
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
                {
                    "200": _json_response("The tasks.", "Catalogue", examples.CATALOGUE),
                    **_errors(KEY_ERRORS),
                },
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
                    },
                    **_errors(KEY_ERRORS),
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
                    **_errors(KEY_ERRORS),
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
        "/v1/decisions": {"post": _decisions()},
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
        {"200": ok, **_errors(ANALYZE_ERRORS)},
    )
    return _taking(operation, _ref("AnalyzeRequest"), examples=examples.ANALYZE_REQUESTS)


def _decisions() -> dict[str, Any]:
    ok = _json_response("The answers.", "DecisionResponse", examples.DECISION_RESPONSE)
    operation = _operation(
        "openai",
        "createDecision",
        "Questions of one's own, or the benchmark's, on a text",
        _DECISIONS,
        {"200": ok, **_errors(ANALYZE_ERRORS, OPENAI_STATUS)},
    )
    return _taking(operation, _ref("DecisionRequest"), example=examples.DECISION_REQUEST)


def _health(operation_id: str, summary: str, bad: str) -> dict[str, Any]:
    operation = _operation(
        "operation",
        operation_id,
        summary,
        "For probes. 503 has the same form as 200.",
        {
            "200": _json_response("Yes.", "Health", {"status": "ready"}),
            "503": _json_response("No.", "Health", {"status": bad}),
        },
    )
    operation["security"] = []
    return operation


def _completion(
    operation_id: str, summary: str, description: str, request: Any, response: Any
) -> dict[str, Any]:
    ok = _free_json("The completion; with `stream`, server-sent events.", response)
    operation = _operation(
        "openai",
        operation_id,
        summary,
        description,
        {"200": ok, **_errors(OPENAI_ERRORS, OPENAI_STATUS)},
    )
    return _taking(operation, {"type": "object", "additionalProperties": True}, example=request)


def _taking(operation: dict[str, Any], schema: dict[str, Any], **shown: Any) -> dict[str, Any]:
    """The operation with the headers of work, a body of JSON, and its `example` or `examples`."""
    body = {"required": True, "content": {"application/json": {"schema": schema, **shown}}}
    headers = [{"$ref": f"#/components/parameters/{name}"} for name in WORK_HEADERS]
    return {**operation, "parameters": headers, "requestBody": body}


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
        # The empty one: a deployment may have no keys.
        "security": [{"key": []}, {}],
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
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$"},
        "example": examples.REQUEST_ID,
    }


_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which trying again can help.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "example": 2,
    }
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
    errors: Sequence[type[ServiceError]], statuses: Mapping[type[ServiceError], int] | None = None
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
            "headers": _headers() | (_RETRY_AFTER if status in (429, 503, 504) else {}),
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
