"""Refuses a body beyond the limit, as announced or as it grows, and one that takes too long.

The limit is the deployment's, or the caller's where that is lower. A body within it is held here
until it is complete and handed on whole: every route of the list reads its body whole anyway, and
so the app never starts on a request that is going to be refused.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLargeError, ServiceError
from service.gate.caller import caller_of
from service.gate.refusals import RequestTimeoutError
from service.gate.shape import error_response


class BodyLimit:
    """ASGI middleware: bodies within the limits come through, whole within `seconds`.

    Args:
        app: what stands behind it.
        limit: most bytes of a body, where the caller's own limit is not lower.
        seconds: how long a body may take to arrive.
    """

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self.app = app
        self.limit = limit
        self.seconds = seconds

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
        try:
            async with asyncio.timeout(self.seconds):
                body = await _read(receive, limit)
        except TimeoutError:
            await _give_up(_late(self.seconds), scope, receive, send)
            return
        if body is None:  # the client has left
            return
        if len(body) > limit:
            await _refuse(scope, receive, send, limit)
            return
        replayed = replay(body, receive)
        del body  # kept by `replayed` alone, until the app has it
        await self.app(scope, replayed, send)


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


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The body; as much of it as is over the limit, or None where the client left."""
    body = bytearray()
    more = True
    while more and len(body) <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


async def _refuse(scope: Scope, receive: Receive, send: Send, limit: int) -> None:
    error = BodyTooLargeError(
        f"The body may hold at most {limit} bytes. Send fewer or shorter texts a request."
    )
    await _give_up(error, scope, receive, send)


def _late(seconds: float) -> RequestTimeoutError:
    return RequestTimeoutError(
        f"The body did not arrive within {seconds:g} seconds. Send it again."
    )


async def _give_up(error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
    # The rest of the body is not read, so the connection is of no more use.
    response = error_response(error, scope, headers={"connection": "close"})
    await response(scope, receive, send)


def _announced(scope: Scope) -> int:
    """The body's length as its header says; 0 where there is none."""
    for name, value in scope["headers"]:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value[:20])  # enough digits to be too large, few enough to parse
    return 0
