"""One line a request in the log, and one in the audit log: who asked how much, never what.

The route adds its amounts to the request's `Amounts` as it learns of them (texts, questions,
tokens); sizes, times and the outcome are seen here. Probes and scrapes that succeed are left out of
the log, they would be most of it; the audit log holds work only (`POST`). The trace id is that of a
W3C `traceparent`, or of the span that a request for an analysis gets where spans are sent
(`service.spans`) and the caller sent none; a header of that name that is no such thing is dropped,
as it could hold anything.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.gate.caller import caller_of
from service.gate.refusals import outcome_of
from service.gate.routes import route_name
from service.gate.shape import error_code_of, request_id_of, state_of
from service.settings import PREFIX, InvalidSettingsError
from service.spans import UNTRACED, Span, root
from service.trace import TRACE_HEADERS

_AMOUNTS = "mentalllama_amounts"
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{0,200})?")
_QUIET = frozenset({"/livez", "/readyz", "/health", "/metrics"})
_ANALYSING = frozenset({"/analyze", "/v1/decisions"})

access = logging.getLogger("mentalllama.access")


@dataclass(slots=True)
class Amounts:
    """How much a request asked for and got; None where its route does not say."""

    texts: int | None = None
    characters: int | None = None
    questions: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None

    def used(self, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> None:
        """Set what the engine did."""
        self.prompt_tokens = prompt_tokens
        self.cached_tokens = cached_tokens
        self.completion_tokens = completion_tokens

    def facts(self) -> dict[str, int | None]:
        """By name, for a line."""
        return {name: getattr(self, name) for name in self.__slots__}


def amounts_of(scope: Scope) -> Amounts:
    """The request's amounts, to be filled in."""
    amounts: Amounts = state_of(scope).setdefault(_AMOUNTS, Amounts())
    return amounts


class Record:
    """ASGI middleware: requests in, lines out.

    Args:
        app: what stands behind it.
        audit_log: the audit log's file; None keeps none.

    Raises:
        InvalidSettingsError: the audit log cannot be written.
    """

    def __init__(self, app: ASGIApp, audit_log: Path | None = None) -> None:
        self.app = app
        self.audit = audit_handler(audit_log) if audit_log else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        trace_id = _trace_id(scope)
        parent = _header(scope, b"traceparent").decode()
        traced = TRACE_HEADERS.set({"traceparent": parent} if trace_id else None)
        status: int | None = None
        first: float | None = None
        received = sent = 0
        complete = gone = False

        async def watched_receive() -> Message:
            nonlocal received, gone
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
            elif message["type"] == "http.disconnect" and not complete:
                gone = True
            return message

        async def watched_send(message: Message) -> None:
            nonlocal status, first, sent, complete
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            if message["type"] == "http.response.body":
                first = first or time.perf_counter()
                sent += len(message.get("body", b""))
                complete = complete or not message.get("more_body", False)

        with _opened(scope) as span:
            try:
                await self.app(scope, watched_receive, watched_send)
            finally:
                TRACE_HEADERS.reset(traced)
                facts = {
                    "request_id": request_id_of(scope),
                    "trace_id": trace_id or span.trace_id,
                    "caller": caller_of(scope).name,
                    "method": _method(scope),
                    "route": route_name(scope),
                    "status": status,
                    "outcome": _outcome(status, complete=complete, gone=gone),
                    "bytes_in": received,
                    "bytes_out": sent,
                    "first_byte_ms": _milliseconds(begun, first),
                    "total_ms": _milliseconds(begun, time.perf_counter()),
                    **amounts_of(scope).facts(),
                }
                _note(span, facts, error_code_of(scope))
                if facts["route"] not in _QUIET or facts["outcome"] != "ok":
                    access.info("request", extra={"facts": facts})
                if self.audit is not None and scope["method"] == "POST":
                    self.audit.handle(logging.makeLogRecord({"facts": facts}))


def audit_handler(path: Path) -> logging.Handler:
    """Appends JSON lines to `path`, and to a new file there when it was moved away.

    Raises:
        InvalidSettingsError: the file cannot be written.
    """
    try:
        handler = logging.handlers.WatchedFileHandler(path, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidSettingsError(
            f"{PREFIX}AUDIT_LOG: {path} cannot be written: {reason}."
        ) from None
    handler.setFormatter(_Line())
    return handler


class _Line(logging.Formatter):
    """The facts and the time, and nothing else."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        facts: dict[str, Any] = record.facts  # type: ignore[attr-defined]
        return json.dumps({"time": at, **facts}, ensure_ascii=False)


def _header(scope: Scope, wanted: bytes) -> bytes:
    """A header's value; empty where it is not there exactly once."""
    given = [value for name, value in scope["headers"] if name.lower() == wanted]
    return given[0] if len(given) == 1 else b""


def _trace_id(scope: Scope) -> str | None:
    found = _TRACEPARENT.fullmatch(_header(scope, b"traceparent"))
    if found is None:
        scope["headers"] = [pair for pair in scope["headers"] if pair[0].lower() != b"traceparent"]
    return found[1].decode() if found else None


def _method(scope: Scope) -> str:
    known = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
    return scope["method"] if scope["method"] in known else "other"


def _outcome(status: int | None, *, complete: bool, gone: bool) -> str:
    """As in the metrics, and `aborted` for a response that began and did not end."""
    if gone:
        return "cancelled"
    outcome = "server_error" if status is None else outcome_of(status)
    return "aborted" if outcome == "ok" and not complete else outcome


def _opened(scope: Scope) -> Span:
    """The span of a request for an analysis."""
    route = route_name(scope)
    if scope["method"] != "POST" or route not in _ANALYSING:
        return UNTRACED
    facts = {"method": "POST", "route": route, "request_id": request_id_of(scope)}
    return root(f"POST {route}", facts, serves=True)


def _note(span: Span, facts: dict[str, Any], code: str | None) -> None:
    """What the log's line says, on the span; it has an id and times of its own."""
    own = {"trace_id", "first_byte_ms", "total_ms"}
    span.note({name: value for name, value in facts.items() if name not in own})
    if facts["outcome"] not in ("ok", "cancelled"):
        status = facts["status"]
        whole = status is not None and status >= 400  # else it began well and broke off
        span.fail(code or facts["outcome"], status if whole else 500)


def _milliseconds(begun: float, now: float | None) -> float | None:
    return None if now is None else round((now - begun) * 1000, 1)
