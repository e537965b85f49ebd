"""Drives an ASGI app by hand, where the moment at which a client leaves has to be chosen."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import FastAPI
from starlette.types import Message


class Connection:
    """One request whose client can leave.

    Args:
        app: what is asked.
        body: the JSON body of a POST.
        spec_version: the ASGI version that the server claims.
        path: where it is posted.
        stuck: whether the client reads nothing, so that nothing can be sent.
    """

    def __init__(
        self,
        app: FastAPI,
        body: Any,
        spec_version: str = "2.4",
        *,
        path: str = "/analyze",
        stuck: bool = False,
    ) -> None:
        self._stuck = stuck
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self._left = asyncio.Event()
        self._body: bytes | None = json.dumps(body).encode()
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": spec_version},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"content-type", b"application/json")],
            "client": ("client", 1),
            "server": ("service", 80),
        }
        self.running = asyncio.create_task(app(self._scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.put_nowait(message)
        if self._stuck:
            await asyncio.Event().wait()

    async def leave(self, within: float = 1.0) -> None:
        """Close the connection and wait until the app has noticed and ended."""
        self._left.set()
        await asyncio.wait_for(self.running, within)
