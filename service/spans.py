"""What the service does on a request, as OpenTelemetry spans below which vLLM's own stand.

    POST /analyze           `root`: the request, below the caller's `traceparent`
      analysis              `span`: one text
        tokenize            `span`
        label_read          `phase`: all of its questions, as are the next two
          llm_request …     vLLM's, one a request to its engine
        explanation
        consistency

There are spans only after `switch_on`, which the plugin calls where vLLM's `--otlp-traces-endpoint`
is set. Everywhere else each function here looks at one variable, and OpenTelemetry, which comes
with vLLM, is not imported.

What is open stands in a variable of ours, not in OpenTelemetry's context: vLLM starts tasks that
outlive the request they were started in, and takes what is current there for the parent of its
spans. An attribute is a number, a word of a closed set, the request's id or its key's name. No
exception is recorded: what it says could hold a text.
"""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

from service.errors import ServiceError
from service.trace import TRACE_HEADERS

if TYPE_CHECKING:
    from opentelemetry.trace import Span as Recorder
    from opentelemetry.trace import Tracer

Fact = str | int | float | None

# By OpenTelemetry's conventions; every other fact is called as in the log, with our prefix.
_NAMES = {
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "error": "error.type",
}

_NO_FACTS: Mapping[str, Fact] = MappingProxyType({})

_tracer: Tracer | None = None


class Span:
    """Something that takes time, while the block runs. This one is not traced and does nothing."""

    __slots__ = ()

    @property
    def trace_id(self) -> str | None:
        """The trace's, where it is sent somewhere."""
        return None

    def note(self, facts: Mapping[str, Fact]) -> None:
        """Say something of it, never what a text says; None is left out."""

    def fail(self, kind: str, status: int = 500) -> None:
        """Say what went wrong, by a code or a class; below 500 it is the caller's fault."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None


class _Traced(Span):
    """A span that ends with its block."""

    __slots__ = ("_above", "_headers", "_phases", "_recorder", "_tracer")

    def __init__(self, tracer: Tracer, recorder: Recorder, above: _Traced | None) -> None:
        self._tracer = tracer
        self._recorder = recorder
        self._above = above
        self._phases: dict[str, _Phase] = {}
        self._headers: Mapping[str, str] | None = None

    @property
    def trace_id(self) -> str | None:
        found = self._recorder.get_span_context()
        return f"{found.trace_id:032x}" if found.trace_flags.sampled else None

    @property
    def recording(self) -> bool:
        """Whether the sampler wants it, and so whatever is below it."""
        return self._recorder.is_recording()

    def note(self, facts: Mapping[str, Fact]) -> None:
        for name, value in facts.items():
            if value is not None:
                self._recorder.set_attribute(_NAMES.get(name, f"mentalllama.{name}"), value)

    def fail(self, kind: str, status: int = 500) -> None:
        from opentelemetry.trace import StatusCode

        self.note({"error": kind})
        if status >= 500:
            self._recorder.set_status(StatusCode.ERROR)

    def headers(self) -> Mapping[str, str]:
        """W3C trace context of what is to stand below it."""
        if self._headers is None:
            from opentelemetry.context import Context
            from opentelemetry.trace import set_span_in_context
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            headers: dict[str, str] = {}
            context = set_span_in_context(self._recorder, Context())
            TraceContextTextMapPropagator().inject(headers, context)
            self._headers = headers
        return self._headers

    def span(self, name: str) -> _Traced:
        """Open a span below it."""
        return _Traced(self._tracer, self._open(name), self)

    def phase(self, name: str) -> _Phase:
        """The one phase of this name below it."""
        if name not in self._phases:
            self._phases[name] = _Phase(self._tracer, self._open(name), self)
        return self._phases[name]

    def _open(self, name: str) -> Recorder:
        from opentelemetry.context import Context
        from opentelemetry.trace import set_span_in_context

        return self._tracer.start_span(name, set_span_in_context(self._recorder, Context()))

    def __enter__(self) -> Self:
        _CURRENT.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _CURRENT.set(self._above)
        self._note_failure(error)
        self._end()

    def _end(self, at: int | None = None) -> None:
        for phase in self._phases.values():
            phase.end()
        self._recorder.end(at)

    def _note_failure(self, error: BaseException | None) -> None:
        match error:
            case None:
                pass
            case CancelledError() | GeneratorExit():
                self.note({"cancelled": True})
            case ServiceError():
                self.fail(error.code, error.status)
            case _:
                self.fail(type(error).__name__)


class _Phase(_Traced):
    """A span for something that is done several times, also at once: from first to last."""

    __slots__ = ("_last", "_times")

    def __init__(self, tracer: Tracer, recorder: Recorder, above: _Traced) -> None:
        super().__init__(tracer, recorder, above)
        self._times = 0
        self._last: int | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _CURRENT.set(self._above)
        self._note_failure(error)
        self._times += 1
        self._last = time.time_ns()

    def end(self) -> None:
        """End it where it was last left."""
        self.note({"questions": self._times})
        self._end(self._last)


UNTRACED = Span()
_CURRENT: ContextVar[_Traced | None] = ContextVar("span", default=None)


def switch_on() -> None:
    """Trace from now on, by the tracer provider that vLLM's engine has set in this process.

    The exporter, its protocol and the sampler are thereby vLLM's, chosen by the variables that
    OpenTelemetry knows (`OTEL_…`).
    """
    global _tracer
    from opentelemetry.trace import get_tracer

    _tracer = get_tracer("mentalllama")


def root(name: str, facts: Mapping[str, Fact] = _NO_FACTS, *, serves: bool = False) -> Span:
    """Open a span below the caller's trace, or the first of a trace.

    Args:
        name: one of few.
        facts: what is known when it begins.
        serves: whether it answers a request from outside.
    """
    if _tracer is None:
        return UNTRACED
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract(TRACE_HEADERS.get() or {}, Context())
    kind = SpanKind.SERVER if serves else SpanKind.INTERNAL
    opened = _Traced(_tracer, _tracer.start_span(name, parent, kind), None)
    opened.note(facts)
    return opened


def span(name: str, facts: Mapping[str, Fact] = _NO_FACTS) -> Span:
    """Open a span below the one that is open in this task; none where none is."""
    above = _CURRENT.get()
    if above is None or not above.recording:
        return UNTRACED
    opened = above.span(name)
    opened.note(facts)
    return opened


def phase(name: str) -> Span:
    """The same for what every question of a text goes through: one span for all of them.

    A span a question would say no more: vLLM's say which question they are for, by their ids.
    """
    above = _CURRENT.get()
    if above is None or not above.recording:
        return UNTRACED
    return above.phase(name)


def engine_headers() -> Mapping[str, str] | None:
    """What an engine's request is below: the span that is open in this task, or the caller's."""
    above = _CURRENT.get()
    return TRACE_HEADERS.get() if above is None else above.headers()
