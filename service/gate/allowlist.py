"""Lets through what `service.gate.routes` lists and answers 404 or 405 to everything else.

HEAD is answered as the GET it stands for, without the body: FastAPI's routes know only GET.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import MethodNotAllowedError, NotFoundError
from service.gate.routes import ROUTES, allowed_methods, route_path
from service.gate.shape import error_response

_POLICY_VIOLATION = 1008  # RFC 6455, section 7.4.1


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
        else:
            await self.app(scope, receive, send)


def _without_body(send: Send) -> Send:
    async def headers_only(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return headers_only
