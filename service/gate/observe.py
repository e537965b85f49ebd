"""Counts every request by route and outcome, and those whose client left.

A client has left when the server says `http.disconnect` before the last byte was sent. What the
response is matters no more then.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.gate.refusals import ERRORS, OUTCOMES, outcome_of
from service.gate.routes import OTHER, ROUTES, route_name
from service.metrics import CANCELLATIONS, IN_FLIGHT, REJECTIONS, REQUESTS


class Observe:
    """ASGI middleware: requests in, metrics out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        for route in (*ROUTES, OTHER):  # there from the start: see service.metrics
            CANCELLATIONS.labels(route)
            for outcome in (*OUTCOMES, "cancelled"):
                REQUESTS.labels(route, outcome)
        for error in ERRORS:
            REJECTIONS.labels(error.code)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        route = route_name(scope)
        status = 500  # what a server makes of an app that fails before it answers
        complete = gone = False

        async def watched_receive() -> Message:
            nonlocal gone
            message = await receive()
            if message["type"] == "http.disconnect" and not complete:
                gone = True
            return message

        async def watched_send(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                complete = True

        try:
            with IN_FLIGHT.track_inprogress():
                await self.app(scope, watched_receive, watched_send)
        finally:
            if gone:
                CANCELLATIONS.labels(route).inc()
            REQUESTS.labels(route, "cancelled" if gone else outcome_of(status)).inc()
