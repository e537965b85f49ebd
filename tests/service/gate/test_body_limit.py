from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from service.gate import Gate
from service.settings import Settings
from tests.service.gate.gates import call

LIMIT = 2048


class Reader:
    """An app that reads the whole body and says how long it was."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        length, more = 0, True
        while more:
            message = await receive()
            length += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(length).encode()})


def gate(app: Reader) -> Gate:
    return Gate(app, Settings(max_body_bytes=LIMIT))


async def post(app: Reader, content: bytes | AsyncIterator[bytes], **headers: str):
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(gate(app)), base_url="http://service"
    ) as client:
        return await client.post("/analyze", content=content, headers=headers)


@pytest.mark.parametrize("length", [0, 1, LIMIT])
async def test_a_body_within_the_limit_arrives_whole(length: int):
    response = await post(Reader(), b"x" * length)
    assert response.text == str(length)


async def test_an_announced_body_beyond_the_limit_is_not_read():
    app = Reader()
    response = await post(app, b"x" * (LIMIT + 1))
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"
    assert str(LIMIT) in response.json()["error"]["message"]
    assert response.headers["connection"] == "close"
    assert app.calls == 0


async def test_a_body_in_pieces_is_read_up_to_the_limit():
    app, pulled = Reader(), 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal pulled
        while True:
            pulled += 1
            yield b"x" * 1000

    response = await asyncio.wait_for(post(app, endless()), 5)
    assert response.status_code == 413
    assert pulled == 3
    assert app.calls == 0


async def test_pieces_within_the_limit_are_joined():
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * 500

    assert (await post(Reader(), pieces())).text == "2000"


@pytest.mark.parametrize("announced", [b"9" * 5000, b"1e9", b"-5", b""])
async def test_odd_lengths_break_nothing(announced: bytes):
    sent = await call(gate(Reader()), b"x", headers=[(b"content-length", announced)])
    assert sent[0]["status"] == (413 if len(announced) > 10 else 200)


async def test_a_client_that_leaves_while_it_sends_is_forgotten():
    app = Reader()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError("nobody is there")

    await gate(app)(
        {"type": "http", "method": "POST", "path": "/analyze", "headers": []}, receive, send
    )
    assert app.calls == 0


async def test_a_body_that_takes_too_long_is_given_up():
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    app = Reader()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(Gate(app, Settings(body_seconds=0.05))),
        base_url="http://service",
    ) as client:
        response = await client.post("/analyze", content=slow())
    assert response.status_code == 408
    assert response.json()["error"]["code"] == "request_timeout"
    assert response.headers["connection"] == "close"
    assert app.calls == 0
