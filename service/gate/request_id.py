"""Gives every request an id: the caller's `X-Request-Id` where it is plain, else a new one.

The id goes into the scope's state, into the request's header (vLLM names its own requests by it),
and into the header of every response.
"""

from __future__ import annotations

import re
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.gate.shape import set_request_id

_HEADER = b"x-request-id"
_PLAIN = re.compile(rb"[A-Za-z0-9_.-]{1,128}")


class RequestId:
    """ASGI middleware: an id in, the same id out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        given = [value for name, value in headers if name.lower() == _HEADER]
        if len(given) == 1 and _PLAIN.fullmatch(given[0]):
            encoded = given[0]
        else:
            encoded = uuid.uuid4().hex.encode()
        # Whatever else was sent under this name must not reach a log.
        headers = [(name, value) for name, value in headers if name.lower() != _HEADER]
        scope["headers"] = [*headers, (_HEADER, encoded)]
        set_request_id(scope, encoded.decode())

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                others = [pair for pair in message.get("headers", ()) if pair[0].lower() != _HEADER]
                message = {**message, "headers": [*others, (_HEADER, encoded)]}
            await send(message)

        await self.app(scope, receive, with_id)
