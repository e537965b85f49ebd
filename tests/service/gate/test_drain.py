from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from service.errors import NotReadyError
from service.gate import Gate
from service.lifecycle import ATTRIBUTE, Lifecycle, Phase, lifecycle_of
from service.settings import Settings
from tests.service.api.driver import Connection
from tests.service.api.fakes import FakeAnalyzer, events_of, make_app

TEXT = "Quiet days again."
END = NotReadyError("The service is stopping. Send it again.")


def body_of(connection: Connection) -> tuple[int, dict[str, str], str]:
    """Status, headers and text of what was sent, which must be complete."""
    messages = [connection.sent.get_nowait() for _ in range(connection.sent.qsize())]
    start, *rest = messages
    assert not rest[-1].get("more_body", False)
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, b"".join(one["body"] for one in rest).decode()


async def begun(streaming: bool, texts: int = 1):
    """An analysis that hangs: its app, its analyzer and its connection."""
    analyzer = FakeAnalyzer(hangs=frozenset({TEXT}))
    app = make_app(analyzer)
    connection = Connection(app, {"texts": [TEXT] * texts, "stream": streaming})
    for _ in range(texts):
        await analyzer.began.acquire()
    await asyncio.sleep(0.02)
    return lifecycle_of(app), analyzer, connection


@pytest.mark.parametrize("texts", [1, 3])
async def test_a_request_that_runs_is_ended_with_an_error(texts: int):
    lifecycle, analyzer, connection = await begun(streaming=False, texts=texts)
    assert lifecycle.running == 1
    lifecycle.move(Phase.DRAINING)
    assert lifecycle.end_all(END) == 1
    assert await lifecycle.idle(0.5)
    await connection.running
    status, headers, text = body_of(connection)
    assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
    error = json.loads(text)["error"]
    assert (error["code"], error["request_id"]) == ("not_ready", headers["x-request-id"])
    assert analyzer.closed == texts, "the engine is free"


async def test_a_stream_that_runs_is_ended_with_an_event():
    lifecycle, analyzer, connection = await begun(streaming=True)
    lifecycle.end_all(END)
    await asyncio.wait_for(connection.running, 0.5)
    status, headers, text = body_of(connection)
    assert status == 200
    *_, (name, data) = events_of(text)
    assert name == "error"
    error = json.loads(data)["error"]
    assert (error["code"], error["request_id"]) == ("not_ready", headers["x-request-id"])
    assert analyzer.closed == 1
    assert lifecycle.running == 0


async def test_a_client_that_does_not_read_does_not_hold_the_end_up():
    analyzer = FakeAnalyzer()
    app = make_app(analyzer)
    connection = Connection(app, {"text": TEXT, "stream": True}, stuck=True)
    await analyzer.began.acquire()
    await asyncio.sleep(0.02)
    lifecycle_of(app).end_all(END)
    await asyncio.wait_for(connection.running, 2.5)
    assert analyzer.closed == 1


async def test_what_was_accepted_is_answered_while_the_service_drains():
    analyzer = FakeAnalyzer()
    app = make_app(analyzer)
    connection = Connection(app, {"text": TEXT})
    await analyzer.began.acquire()
    lifecycle_of(app).move(Phase.DRAINING)
    await connection.running
    status, headers, _ = body_of(connection)
    assert status == 200
    assert headers["connection"] == "close", "the next request should go elsewhere"


def openai_app(answer) -> tuple[Starlette, Lifecycle]:
    app = Starlette(routes=[Route("/v1/completions", answer, methods=["POST"])])
    app.add_middleware(Gate, settings=Settings())
    setattr(app.state, ATTRIBUTE, Lifecycle())
    found = lifecycle_of(app)
    assert found is not None
    return app, found


async def ask_and_end(answer) -> httpx.Response:
    """Ask vLLM's route, and end all requests soon after."""
    app, lifecycle = openai_app(answer)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        asking = asyncio.create_task(client.post("/v1/completions", json={"prompt": TEXT}))
        await asyncio.sleep(0.05)
        assert lifecycle.end_all(END) == 1
        response = await asyncio.wait_for(asking, 3)
    assert lifecycle.running == 0
    return response


async def test_an_openai_stream_ends_as_openai_streams_do():
    async def answer(_: Request) -> Response:
        async def chunks():
            yield 'data: {"n": 1}\n\n'
            await asyncio.sleep(3600)

        return StreamingResponse(chunks(), media_type="text/event-stream")

    response = await ask_and_end(answer)
    first, error, done = response.text.strip().split("\n\n")
    assert first == 'data: {"n": 1}'
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "not_ready"
    assert done == "data: [DONE]"


async def test_an_app_that_does_not_listen_is_cancelled():
    cancelled = []

    async def answer(_: Request) -> Response:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return Response()

    response = await ask_and_end(answer)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "not_ready"
    assert cancelled == [True]


async def test_what_a_stopped_app_answers_is_not_sent():
    async def answer(request: Request) -> Response:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        return JSONResponse({"nobody": "reads this"})

    response = await ask_and_end(answer)
    assert response.status_code == 503
