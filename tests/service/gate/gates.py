"""Keys, an app behind the gate that says what reached it, and a client of the two."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
from starlette.types import Message, Receive, Scope, Send

from service.gate import Gate
from service.gate.caller import Caller, caller_of
from service.gate.keys import hash_key
from service.settings import Settings

KEY = "mentalllama_key-of-a-test"
CHAT = "/v1/chat/completions"


def key_entry(name: str = "web", key: str = KEY, **fields: Any) -> dict[str, Any]:
    """An entry of a file of keys."""
    return {"name": name, "sha256": [hash_key(key)], "scopes": ["admin"], **fields}


def key_file(*entries: dict[str, Any]) -> str:
    return json.dumps({"keys": entries})


def with_limits(**limits: int) -> Settings:
    """A deployment with one key, which has limits."""
    return Settings(keys=key_file(key_entry(limits=limits)))


class Seen:
    """An app that answers 200 and keeps what it was asked.

    Args:
        answer: called with the body that came in; what it returns is awaited before the answer.
    """

    def __init__(self, answer: Callable[[bytes], Any] | None = None) -> None:
        self.answer = answer
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.callers: list[Caller] = []
        self.response = b'{"ok": true}'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        if scope["method"] == "POST":
            body = (await receive())["body"]
        self.bodies.append(body)
        self.headers.append({k.decode().lower(): v.decode() for k, v in scope["headers"]})
        self.callers.append(caller_of(scope))
        if self.answer is not None:
            await self.answer(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.response})


async def call(
    app: Any,
    body: bytes | None = b"",
    *,
    path: str = "/analyze",
    method: str = "POST",
    headers: Sequence[tuple[bytes, bytes]] = (),
    **scope: Any,
) -> list[Message]:
    """What an app sends for a request that a client would not make as it stands here.

    Args:
        app: takes ASGI calls.
        body: None where reading it is a fault.
        path: where it goes.
        method: how it goes there.
        headers: as they come.
        scope: further fields of the scope.
    """
    sent: list[Message] = []

    async def receive() -> Message:
        assert body is not None, "the body was read"
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    fixed = {"type": "http", "method": method, "path": path, "headers": [*headers]}
    await app(fixed | {"query_string": b"", "asgi": {"spec_version": "2.4"}} | scope, receive, send)
    return sent


def client_of(app: Any, settings: Settings | None = None, key: str | None = KEY):
    """A client of `app` behind a gate; it sends `key`."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(Gate(app, settings or Settings())),
        base_url="http://service",
        headers=headers,
    )


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Status and code of an error."""
    return response.status_code, response.json()["error"]["code"]
