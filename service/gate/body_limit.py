"""Refuses a request body beyond the limit, at its announced length or as soon as it grows over it.

The limit is the deployment's, or the caller's where that is lower. A body within it is held here
until it is complete and handed on whole: every route of the list reads its body whole anyway, and
so the app never starts on a request that is going to be refused.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLargeError
from service.gate.caller import caller_of
from service.gate.shape import error_response


class BodyLimit:
    """ASGI middleware: bodies of at most `limit` bytes come through, or the caller's own limit."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self.app(scope, receive, send)
            return
        allowed = caller_of(scope).limits.body_bytes
        limit = self.limit if allowed is None else min(self.limit, allowed)
        if _announced(scope) > limit:
            await _refuse(scope, receive, send, limit)
            return
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > limit:
                await _refuse(scope, receive, send, limit)
                return
        whole = bytes(body)
        del body
        await self.app(scope, replay(whole, receive), send)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the whole body first, and then what the connection's own gives."""
    whole: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def replayed() -> Message:
        nonlocal whole
        if whole is None:
            return await receive()
        message, whole = whole, None
        return message

    return replayed


async def _refuse(scope: Scope, receive: Receive, send: Send, limit: int) -> None:
    error = BodyTooLargeError(
        f"The body may hold at most {limit} bytes. Send fewer or shorter texts a request."
    )
    # The rest of the body is not read, so the connection is of no more use.
    response = error_response(error, scope, headers={"connection": "close"})
    await response(scope, receive, send)


def _announced(scope: Scope) -> int:
    """The body's length as its header says; 0 where there is none."""
    for name, value in scope["headers"]:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value[:20])  # enough digits to be too large, few enough to parse
    return 0
