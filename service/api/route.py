"""How our routes answer with an error.

Not with exception handlers: the app is vLLM's, which sets its own after ours. Not by letting the
exception through either: what measures requests in between would count every refusal as a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.errors import ServiceError
from service.gate.shape import error_response


class ServiceRoute(APIRoute):
    """A route whose `ServiceError`s become responses where they are raised."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler that FastAPI calls."""
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handler(request)
            except ServiceError as error:
                return error_response(error, request.scope)

        return answered
