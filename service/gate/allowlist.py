"""Lets through what `service.gate.routes` lists and answers 404 or 405 to everything else.

HEAD is answered as the GET it stands for, without the body: FastAPI's routes know only GET.

OPTIONS carries no key (`service.gate.authenticate`), and an app that is mounted on a path may
answer it as it answers GET: vLLM's /metrics does. So nothing but a browser's preflight reaches the
app, which knows the origins that it allows, and nothing but headers comes back.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import MethodNotAllowedError, NotFoundError
from service.gate.routes import ROUTES, allowed_methods, route_path
from service.gate.shape import error_response

_POLICY_VIOLATION = 1008  # RFC 6455, section 7.4.1
_LENGTH = b"content-length"
_PREFLIGHT = frozenset({b"origin", b"access-control-request-method"})


class Allowlist:
    """ASGI middleware in front of the app's routes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "websocket":  # no route of the list is one
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path, method = route_path(scope), scope["method"]
        if path not in ROUTES:
            error = NotFoundError(
                "This path is not one of the service's routes; GET /docs shows them."
            )
            await error_response(error, scope)(scope, receive, send)
        elif method not in allowed_methods(path):
            allow = ", ".join(allowed_methods(path))
            refused = MethodNotAllowedError(f"This path answers only {allow}.")
            await error_response(refused, scope, headers={"allow": allow})(scope, receive, send)
        elif method == "HEAD":
            await self.app({**scope, "method": "GET"}, receive, _without_body(send))
        elif method == "OPTIONS" and not _is_preflight(scope):
            allow = ", ".join(allowed_methods(path))
            await Response(status_code=204, headers={"allow": allow})(scope, receive, send)
        elif method == "OPTIONS":
            await self.app(scope, receive, _without_body(send, length=0))
        else:
            await self.app(scope, receive, send)


def _is_preflight(scope: Scope) -> bool:
    return {name.lower() for name, _ in scope["headers"]} >= _PREFLIGHT


def _without_body(send: Send, length: int | None = None) -> Send:
    """Sends headers alone; `length` says how long the body is, None leaves what it would be."""

    async def headers_only(message: Message) -> None:
        if message["type"] == "http.response.start" and length is not None:
            others = [pair for pair in message.get("headers", ()) if pair[0].lower() != _LENGTH]
            headers = [*others, (_LENGTH, str(length).encode())]
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return headers_only
