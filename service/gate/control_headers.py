"""Takes out of a request what steers the engine: that is the operator's business, not a caller's.

What vLLM 0.32 reads from headers, and where:

- `X-Vllm-Priority`: puts a request before others' (`entrypoints/generate/base/serving.py`).
- `X-data-parallel-rank`: chooses the engine's replica (the same file).
- `X-Session-ID`: binds requests to one replica or connector (the same file).
- `endpoint-load-metrics-format`: has the engine's load put into the response
  (`entrypoints/openai/*/api_router.py`).
- `Authorization`: vLLM's own API key (`entrypoints/serve/middleware/authenticate.py`). Kept.
- `X-Request-Id`: names its request. Kept; `service.gate.request_id` has made it plain.
- `traceparent`, `tracestate`: the caller's trace, read where tracing is on. Kept.
- `Content-Type`. Kept.

A contract test finds a version of vLLM that reads another. The whole family of `X-Vllm-…` and
`X-Data-Parallel-…` is taken out, so that the next of its kind does nothing either.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

KEPT: frozenset[str] = frozenset(
    {"authorization", "content-type", "traceparent", "tracestate", "x-request-id"}
)
"""Headers that vLLM reads and callers may send."""

_NAMES = frozenset({b"x-session-id", b"endpoint-load-metrics-format"})
_FAMILIES = (b"x-vllm-", b"x-data-parallel-")


def is_control(name: bytes) -> bool:
    """Whether a header of this name, in any case, steers the engine."""
    lower = name.lower()
    return lower in _NAMES or lower.startswith(_FAMILIES)


class ControlHeaders:
    """ASGI middleware: requests without headers that steer the engine."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        # In place: layers share the scope's headers, and nobody outside wants these.
        scope["headers"] = [pair for pair in scope["headers"] if not is_control(pair[0])]
        await self.app(scope, receive, send)
