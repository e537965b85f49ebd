"""A client that may do what a decent one never does, on bare connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

WORD = "zqchaoscanary"
"""In every text that is sent; nothing that the server writes may hold it."""


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        begun: when the request was sent, in seconds of `time.monotonic`.
        ended: when its answer ended.
        status: None where no answer came.
        body: as far as it came.
        whole: whether it came whole.
    """

    begun: float
    ended: float
    status: int | None = None
    headers: dict[str, str] | None = None
    body: str = ""
    whole: bool = False

    def code(self) -> str | None:
        """The error's code, of a response or of a stream's last event."""
        data = self.body
        if "event: " in data:
            *_, last = data.strip().split("\n\n")
            if not last.startswith("event: error\n"):
                return None
            data = last.partition("data: ")[2]
        with contextlib.suppress(ValueError):
            error = json.loads(data).get("error")
            return error["code"] if error else None
        return None

    def answered(self) -> bool:
        """Whether the analysis is there, whole."""
        if self.status != 200 or not self.whole:
            return False
        return "event: result\n" in self.body or '"results":[' in self.body


def analysis(*, stream: bool = False, texts: int = 1, **fields: object) -> bytes:
    """A request to POST /analyze."""
    body = {"texts": [f"{WORD} {n}" for n in range(texts)], "tasks": ["stress", "loneliness"]}
    return json.dumps({**body, "stream": stream, **fields}).encode()


def message(
    body: bytes, length: int | None = None, path: str = "/analyze", key: str | None = None
) -> bytes:
    """A whole HTTP request."""
    announced = len(body) if length is None else length
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{authorization}"
        f"Content-Length: {announced}\r\nConnection: close\r\n\r\n"
    ).encode() + body


@contextlib.asynccontextmanager
async def connected(
    url: str, receive_buffer: int | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection; closed at once at the end, whatever waits in it."""
    parts = urlsplit(url)
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (parts.hostname, parts.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    except BaseException:
        sock.close()
        raise
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ask(url: str, sent: bytes, seconds: float = 30) -> Answer:
    """Send bytes and read until the server closes."""
    begun = time.monotonic()
    received = b""
    try:
        async with asyncio.timeout(seconds), connected(url) as (reader, writer):
            begun = time.monotonic()
            writer.write(sent)
            while piece := await reader.read(65536):
                received += piece
    except (OSError, TimeoutError):
        pass
    ended = time.monotonic()
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        return Answer(begun, ended)
    status, *lines = head.decode().split("\r\n")
    headers = {n.lower(): v for n, v in (line.split(": ", 1) for line in lines)}
    whole = len(body) == int(headers.get("content-length", -1))
    if headers.get("transfer-encoding") == "chunked":
        whole = body.endswith(b"0\r\n\r\n")
        body = _dechunked(body)
    return Answer(begun, ended, int(status.split()[1]), headers, body.decode(), whole)


def _dechunked(body: bytes) -> bytes:
    found = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        found, body = found + rest[:length], rest[length + 2 :]
        if not length:
            break
    return found


async def keep_asking(url: str, sent: bytes, answers: list[Answer]) -> None:
    """Ask again and again until nobody answers."""
    while True:
        answer = await ask(url, sent)
        answers.append(answer)
        if answer.status is None:
            return
        if answer.status == 503:
            await asyncio.sleep(0.05)


def probe(url: str, path: str) -> tuple[int, str]:
    """A probe's status and what it says."""
    response = httpx.get(url + path, timeout=5)
    return response.status_code, response.json()["status"]
