"""Turns whatever goes wrong behind it into the one error shape (`service.gate.shape`).

Three things come from further in. A `ServiceError` that was raised becomes its response. Any other
exception becomes 500, logged without what it says. A response from 400 on that is not ours (vLLM's
routes, FastAPI's defaults) is held back and written anew: vLLM's messages repeat what was sent,
which may be a person's text, so only facts that cannot hold any are taken over: the status, known
field names, the type of a validation error, the length of the context.
"""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import (
    NotFoundError,
    ServiceError,
    TextTooLongError,
    UnknownNameError,
)
from service.failures import log_failure
from service.gate.fields import OPENAI_FIELDS, WORDS, safe_path
from service.gate.refusals import error_for_status
from service.gate.shape import error_response, is_final, request_id_of

_HELD_BYTES = 65_536  # of a body that is only looked at for its first words
_REPLACED = ("content-length", "content-type", "content-encoding", "transfer-encoding")
_CONTEXT = re.compile(r"maximum context length is (\d{1,9}) tokens")
_VALIDATION = re.compile(r"\d+ validation errors?:\s+\{'type': '([a-z_]{1,40})'")

_MESSAGES = {
    400: "The request is not valid",
    401: "The API key is missing or wrong. Send it as `Authorization: Bearer KEY`.",
    403: "This is not allowed.",
    404: "This does not exist.",
    405: "This path does not answer this method; see the Allow header.",
    408: "The request did not arrive in time; send it again.",
    413: "The body is too large.",
    415: "Send the body as `application/json`.",
    422: "The request is not valid",
    429: "Too many requests; try again later.",
    500: "Something failed inside the service. Report it with the request id if it stays.",
    501: "The served model or engine cannot do this.",
    502: "The engine did not answer this request; try again.",
    503: "The engine has more work than it accepts, or is stopping; try again later.",
    504: "The answer did not come in time; try again.",
}


class ResponseAbortedError(RuntimeError):
    """The app failed after its response had begun; the server closes the connection."""


class Errors:
    """ASGI middleware: nothing but the one error shape comes out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        held: Message | None = None
        body = bytearray()
        started = False

        async def guarded_send(message: Message) -> None:
            nonlocal held, started
            starts = message["type"] == "http.response.start"
            if starts and message["status"] >= 400 and not is_final(scope):
                held = message
            elif held is None:
                started = started or starts
                await send(message)
            else:
                if len(body) < _HELD_BYTES:
                    body.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    response = _rewritten(held, bytes(body), scope)
                    started = True
                    await response(scope, receive, send)

        try:
            await self.app(scope, receive, guarded_send)
        except ClientDisconnect:
            return  # nobody is left to be told
        except ServiceError as error:
            if started:
                raise
            await error_response(error, scope)(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - logged, without what it says
            log_failure(error, request_id_of(scope))
            if started:
                # A new exception, without the old one: the server logs it with what it says.
                raise ResponseAbortedError(type(error).__name__) from None
            await error_response(ServiceError(_MESSAGES[500]), scope)(scope, receive, send)


def _rewritten(start: Message, body: bytes, scope: Scope) -> Response:
    """The response in our shape; headers such as Allow or CORS's are kept."""
    status: int = start["status"]
    response = error_response(_error(status, _detail(body), scope), scope, status=status)
    ours = MutableHeaders(raw=response.raw_headers)
    for name, value in start.get("headers", ()):
        key = name.decode("latin-1").lower()
        if key not in _REPLACED and (key not in ours or key in {"retry-after", "vary"}):
            ours[key] = value.decode("latin-1")
    return response


def _detail(body: bytes) -> dict[str, Any]:
    """What the body says in vLLM's form, or nothing."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    detail = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    return detail if isinstance(detail, dict) else {}


def _error(status: int, detail: dict[str, Any], scope: Scope) -> ServiceError:
    """The error that says as much as can be said safely."""
    kind = error_for_status(status)
    message, param = str(detail.get("message", "")), detail.get("param")
    path = safe_path(param.split("."), OPENAI_FIELDS) if isinstance(param, str) else None
    if context := _CONTEXT.search(message):
        return TextTooLongError(
            f"The prompt and the tokens asked for do not fit the model's context of "
            f"{context[1]} tokens. Shorten the prompt or ask for fewer tokens.",
            param=path,
        )
    if kind is NotFoundError and detail.get("type") == "NotFoundError":
        return UnknownNameError(f"This model is not served. {_models(scope)}", param="model")
    said = _MESSAGES.get(status) or (
        _MESSAGES[500] if status >= 500 else "The request was refused."
    )
    if status in {400, 422}:
        found = _VALIDATION.match(message)
        what = WORDS.get(found[1], "is not valid") if found else None
        if path:
            said += f": `{path}` {what or 'is not valid'}"
        elif what and found and found[1] == "json_invalid":
            said += f": the body {what}"
        said += ". See the reference of the OpenAI API for the form of each field."
    return kind(said, param=path)


def _models(scope: Scope) -> str:
    """Which models are served, as far as it is known here."""
    state = getattr(getattr(scope.get("app"), "state", None), "mentalllama", None)
    if state is None:
        return "GET /v1/models names those that are."
    return f"Served: {', '.join((state.analyzer.model_name, *state.analyzer.adapters))}."
