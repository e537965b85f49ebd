"""The gate behind a real server: what bodies, connections and clients do there and not in ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI

from tests.service.api.fakes import FakeAnalyzer, make_app
from tests.service.gate.gates import KEY, key_entry, key_file, refusal

ASKS = {"text": "a", "tasks": ["stress"]}
HANGS = {"text": "hangs", "tasks": ["stress"]}


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The app on a port of this machine."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running


def client(url: str, key: str | None = KEY) -> httpx.AsyncClient:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=1)
    return httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=10)


async def test_a_refused_body_does_not_spoil_its_connection():
    app = make_app(FakeAnalyzer(), keys=key_file(key_entry()))
    async with served(app) as url, client(url, key=None) as http:
        for _ in range(3):
            assert refusal(await http.post("/analyze", content=b"x" * 2**20))[0] == 401
        good = {"authorization": f"Bearer {KEY}"}
        assert (await http.post("/analyze", json=ASKS, headers=good)).status_code == 200


async def test_after_a_missed_deadline_the_connection_serves_on():
    analyzer = FakeAnalyzer(hangs=frozenset({"hangs"}))
    async with served(make_app(analyzer)) as url, client(url) as http:
        late = await http.post("/analyze", json=HANGS, headers={"X-MentalLLaMA-Deadline": "0.2"})
        assert refusal(late) == (504, "deadline_exceeded")
        assert (await http.post("/analyze", json=ASKS)).status_code == 200
        assert analyzer.opened == analyzer.closed == 2


async def test_a_client_that_leaves_the_queue_is_forgotten():
    analyzer = FakeAnalyzer(hangs=frozenset({"hangs"}))
    async with served(make_app(analyzer, max_running_tokens=1)) as url:
        async with client(url) as first, client(url) as second:
            running = asyncio.create_task(first.post("/analyze", json=HANGS))
            await analyzer.began.acquire()
            waiting = asyncio.create_task(second.post("/analyze", json=ASKS))
            await asyncio.sleep(0.1)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await second.aclose()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        async with client(url) as http:
            assert (await http.post("/analyze", json=ASKS)).status_code == 200
        assert analyzer.opened == analyzer.closed == 2
