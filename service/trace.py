"""The caller's trace, on its way from a request's headers to the spans that are made of it.

Set by `service.gate.record` for the task that answers a request, which every task it starts
inherits; read by `service.spans`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar

TRACE_HEADERS: ContextVar[Mapping[str, str] | None] = ContextVar("trace_headers", default=None)
"""W3C trace context: `traceparent` alone, checked; None where the caller sent none."""
