"""Ends work whose client has left.

The server says so on `receive`; nobody hears it unless somebody listens while the work runs.
Starlette's own streaming response listens only on servers of older ASGI versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from service.gate.shape import mark_final

_CLIENT_CLOSED_REQUEST = 499  # nginx's; it is seen in logs only

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client closed the connection before its answer was complete."""


async def unless_gone(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """Run `work` and cancel it as soon as the client leaves.

    Args:
        work: a coroutine; it is awaited to its end, cancelled or not, before this returns.
        receive: the connection's, with the request's body already read.

    Returns:
        What `work` returns.

    Raises:
        ClientGoneError: the client left first.
    """
    running = asyncio.create_task(work)
    listening = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({running, listening}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        raise ClientGoneError
    finally:
        running.cancel()
        listening.cancel()
        await asyncio.gather(running, listening, return_exceptions=True)


def client_gone(request: Request) -> Response:
    """What nobody is left to read."""
    mark_final(request.scope)
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
