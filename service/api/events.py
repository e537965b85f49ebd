"""Server-sent events: their forms, how they are written, and the response that sends them.

`label` comes as soon as a question is read, `explanation` as text is generated, `result` once at
the end with the same object that a request without `stream` gets, `error` in its place where the
analysis fails after the stream has begun.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.schemas import Answer, Error
from service.gate.disconnect import ClientGoneError, unless_gone

KEEP_ALIVE = b": keep-alive\n\n"


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelEvent(_Event):
    """The data of a `label` event: a question is decided; its explanation may follow."""

    index: int = Field(description="Which text, from 0 in the request's order.", examples=[0])
    answer: Answer = Field(description="The answer so far: `explanation` is null.")


class ExplanationEvent(_Event):
    """The data of an `explanation` event: more of a question's explanation."""

    index: int = Field(description="Which text, from 0 in the request's order.", examples=[0])
    task: str = Field(description="The task that owns the question.", examples=["stress"])
    question: str = Field(description="The question's id.", examples=["stress"])
    delta: str = Field(description="The new characters.", examples=[" The poster"])


class ErrorEvent(_Event):
    """The data of an `error` event; the stream ends with it."""

    error: Error


def encode(name: str, data: BaseModel) -> bytes:
    """One event on the wire. JSON has no bare line ends, so the data is one line."""
    return f"event: {name}\ndata: {data.model_dump_json()}\n\n".encode()


class EventStream(Response):
    """A streaming response that ends its source at once when the client leaves.

    Args:
        first: what is sent with the head of the response.
        rest: everything after it; always closed at the end.
    """

    media_type = "text/event-stream"

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        self.first = first
        self.rest = rest
        self.status_code = 200
        self.background = None
        # Proxies must neither keep the answer nor hold it back.
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything, or as much as the client stays for."""
        try:
            await unless_gone(self._send_all(send), receive)
        except ClientGoneError:
            pass  # `service.gate.observe` has counted it
        finally:
            await self.rest.aclose()

    async def _send_all(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        await send({"type": "http.response.body", "body": self.first, "more_body": True})
        async for chunk in self.rest:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
