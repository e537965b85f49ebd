"""Refuses new work while the service ends, and ends what still runs when its time is up.

Work is every request but those that only look (GET, HEAD, OPTIONS). A request that has to end early
is told so in the one error shape, or, where a stream has begun, in an event of the stream's own
kind, which is its last. Towards the app it looks as if the client had left: every route frees the
engine on that, vLLM's too.
"""

from __future__ import annotations

import asyncio
import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ServiceError
from service.gate.routes import route_path
from service.gate.shape import error_body, error_response, request_id_of
from service.lifecycle import ENDING, Lifecycle, Running, lifecycle_of
from service.metrics import REJECTIONS

_LOOKS = frozenset({"GET", "HEAD", "OPTIONS"})
_REACTION_SECONDS = 1.0
"""How long an app that was told that its client left may take to end."""

_LAST_WORDS_SECONDS = 1.0
"""How long a client may take to accept the end of its response."""


class Drain:
    """ASGI middleware: work begins and ends as the lifecycle says."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        lifecycle = lifecycle_of(scope.get("app"))
        if lifecycle is None or scope["type"] != "http" or scope["method"] in _LOOKS:
            await self.app(scope, receive, send)
            return
        try:
            running = lifecycle.begin()
        except ServiceError as error:
            # The connection is given up: the next request on it should find another replica.
            response = error_response(error, scope, headers={"connection": "close"})
            await response(scope, receive, send)
            return
        try:
            await _Request(lifecycle, running, scope, receive, send).run(self.app)
        finally:
            lifecycle.finish(running)


class _Request:
    """One request on its way through the app."""

    def __init__(
        self, lifecycle: Lifecycle, running: Running, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self.lifecycle = lifecycle
        self.over = running.over
        self.scope = scope
        self.receive = receive
        self.send = send
        self.started = self.streams = self.complete = False
        self.returned = self.given_up = False
        self.limits: set[asyncio.Timeout] = set()

    async def run(self, app: ASGIApp) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.over.add_done_callback(self.give_up_soon)
        try:
            await app(self.scope, self.receive_or_end, self.send_unless_over)
        except asyncio.CancelledError:
            if not self.given_up:
                raise
            task.uncancel()
        except Exception:
            # What an app does when it is stopped in its tracks is not the story to tell.
            if not self.over.done():
                raise
        finally:
            self.returned = True
        if self.over.done() and not self.complete:
            await self.end(self.over.result())

    def give_up_soon(self, _: object) -> None:
        """Say that the client has left, and give the app a moment to end by itself."""
        loop = asyncio.get_running_loop()
        for limit in self.limits:
            limit.reschedule(loop.time())
        loop.call_later(_REACTION_SECONDS, self.give_up)

    def give_up(self) -> None:
        """Cancel an app that did not."""
        if not self.returned:
            self.given_up = True
            self.task.cancel()

    async def receive_or_end(self) -> Message:
        """The next message, or that the client has left when the request has to end."""
        if self.over.done():
            return {"type": "http.disconnect"}
        # A limit that is set only at the end costs less than a second task for each message.
        limit = asyncio.timeout(None)
        self.limits.add(limit)
        try:
            async with limit:
                return await self.receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        finally:
            self.limits.discard(limit)

    async def send_unless_over(self, message: Message) -> None:
        """Pass on what the app says until the request has to end.

        A response that is sent whole may still be finished: half of it would be of no use.
        """
        if self.over.done() and (self.streams or not self.started):
            return
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            self.streams = any(
                name.lower() == b"content-type" and value.startswith(b"text/event-stream")
                for name, value in headers
            )
            if self.lifecycle.phase in ENDING:
                message = {**message, "headers": [*headers, (b"connection", b"close")]}
            self.started = True
        await self.send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True

    async def end(self, error: ServiceError) -> None:
        """Tell the client why there is no more."""
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                if not self.started:
                    response = error_response(error, self.scope, headers={"connection": "close"})
                    await response(self.scope, self.receive, self.send)
                elif self.streams:
                    REJECTIONS.labels(error.code).inc()
                    event = last_event(error, self.scope)
                    await self.send({"type": "http.response.body", "body": event})
        except TimeoutError:
            pass  # a client that does not read; the server closes its connection


def last_event(error: ServiceError, scope: Scope) -> bytes:
    """The event that ends a stream early, as the stream's route writes errors."""
    body = json.dumps(error_body(error, request_id_of(scope)), ensure_ascii=False)
    if route_path(scope).startswith("/v1/"):  # OpenAI's: nameless, and with an end of its own
        return f"data: {body}\n\ndata: [DONE]\n\n".encode()
    return f"event: error\ndata: {body}\n\n".encode()
