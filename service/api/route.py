"""How our routes answer with an error.

Not with exception handlers: the app is vLLM's, which sets its own after ours. Not by letting the
exception through either: what measures requests in between would count every refusal as a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.errors import (
    EmptyTextError,
    InvalidRequestError,
    ServiceError,
    TextTooLongError,
    UnknownNameError,
)
from service.gate.shape import error_response

OPENAI_STATUS: Mapping[type[ServiceError], int] = MappingProxyType(
    {InvalidRequestError: 400, EmptyTextError: 400, TextTooLongError: 400, UnknownNameError: 404}
)
"""Errors that have another status on routes of the OpenAI API, so that its clients know them."""


class ServiceRoute(APIRoute):
    """A route whose `ServiceError`s become responses where they are raised."""

    statuses: ClassVar[Mapping[type[ServiceError], int]] = MappingProxyType({})
    """Errors whose status is not their own."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler that FastAPI calls."""
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handler(request)
            except ServiceError as error:
                status = self.statuses.get(type(error))
                return error_response(error, request.scope, status=status)

        return answered


class OpenAIRoute(ServiceRoute):
    """A route of the OpenAI API that is ours."""

    statuses = OPENAI_STATUS
