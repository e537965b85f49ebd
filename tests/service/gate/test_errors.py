from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from service.api.state import ServiceState
from service.errors import EngineError, OverloadedError
from service.gate import Gate
from service.gate.errors import ResponseAbortedError
from service.gate.refusals import ERRORS, error_for_status
from service.settings import Settings
from tests.service.api.fakes import FakeAnalyzer, healthy

CANARY = "heron in the canal"
CODES = {error.code for error in ERRORS}


def app_that(answers: Callable[[Request], Any]) -> Starlette:
    async def endpoint(request: Request) -> Response:
        response: Response = answers(request)
        return response

    app = Starlette(routes=[Route("/v1/chat/completions", endpoint, methods=["POST"])])
    app.add_middleware(Gate, settings=Settings())
    app.state.mentalllama = ServiceState(FakeAnalyzer(), Settings(), healthy)
    return app


async def ask(answers: Callable[[Request], Any]) -> httpx.Response:
    transport = httpx.ASGITransport(app_that(answers))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return await client.post("/v1/chat/completions", json={"messages": CANARY})


def vllm_error(message: str, status: int, param: object) -> JSONResponse:
    """An error as vLLM's routes answer it."""
    kind = "NotFoundError" if status == 404 else "BadRequestError"
    error = {"message": message, "type": kind, "param": param, "code": status}
    return JSONResponse({"error": error}, status, headers={"x-kept": "yes"})


def validation(what: str) -> str:
    return f"1 validation error:\n  {{{what}, 'input': '{CANARY}'}}"


LIST = "'type': 'list_type', 'loc': 'body.messages', 'msg': 'Input should be a valid list'"
LONG = (
    "This model's maximum context length is 8192 tokens. However, your prompt contains 9000 input "
    f"tokens. {CANARY}"
)


@pytest.mark.parametrize(
    ("message", "status", "param", "code", "field", "said"),
    [
        (validation(LIST), 400, "body.messages", "invalid_request", "messages", "a list"),
        (validation("'type': 'missing'"), 400, "body.model", "invalid_request", "model", "missing"),
        (validation("'type': 'json_invalid'"), 400, "body.5", "invalid_request", None, "JSON"),
        (validation("'type': 'heron'"), 400, "body.heron", "invalid_request", None, "not valid"),
        (CANARY, 400, f"messages.0.{CANARY}", "invalid_request", "messages.0", "`messages.0` is"),
        (CANARY, 400, "temperature", "invalid_request", "temperature", "`temperature` is not"),
        (LONG, 400, "input_tokens", "text_too_long", "input_tokens", "8192 tokens"),
        (
            f"The model `{CANARY}` does not exist.",
            404,
            "model",
            "unknown_name",
            "model",
            "fake-model, fake-adapter",
        ),
        (CANARY, 422, None, "invalid_request", None, "not valid"),
        (CANARY, 500, None, "internal_error", None, "request id"),
        (CANARY, 501, None, "not_implemented", None, "cannot"),
        (CANARY, 503, None, "overloaded", None, "later"),
        (CANARY, 429, None, "rate_limited", None, "later"),
        (CANARY, 418, {"a": CANARY}, "invalid_request", None, "refused"),
        (CANARY, 599, [CANARY], "internal_error", None, "request id"),
    ],
)
async def test_what_vllm_says_is_said_anew(message, status, param, code, field, said):
    response = await ask(lambda _: vllm_error(message, status, param))
    assert response.status_code == status
    error = response.json()["error"]
    assert (error["code"], error["param"]) == (code, field)
    assert said in error["message"]
    assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    assert error["request_id"] == response.headers["x-request-id"]
    assert "heron" not in response.text
    assert response.headers["x-kept"] == "yes"
    assert response.headers["content-length"] == str(len(response.content))


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: JSONResponse({"error": "Unauthorized"}, 401),
        lambda _: JSONResponse({"detail": CANARY}, 405, headers={"allow": "PUT"}),
        lambda _: JSONResponse([CANARY], 400),
        lambda _: JSONResponse(None, 400),
        lambda _: PlainTextResponse(CANARY, 500),
        lambda _: Response(b"\xff" + CANARY.encode(), 400, media_type="application/json"),
        lambda _: Response(status_code=404),
        lambda _: Response(b"[" * 60_000, 400, media_type="application/json"),
        lambda _: StreamingResponse(iter([CANARY * 100] * 100), 503),
    ],
)
async def test_any_other_form_too(answer):
    response = await ask(answer)
    assert set(response.json()["error"]) == {"code", "message", "type", "param", "request_id"}
    assert response.json()["error"]["code"] in CODES
    assert "heron" not in response.text
    assert response.headers["content-type"] == "application/json"


async def test_headers_that_belong_to_a_status_are_kept():
    response = await ask(lambda _: JSONResponse({}, 503, headers={"retry-after": "7"}))
    assert response.headers["retry-after"] == "7"
    response = await ask(lambda _: JSONResponse({}, 401, headers={"www-authenticate": "Bearer"}))
    assert response.headers["www-authenticate"] == "Bearer"


async def test_what_succeeds_is_not_touched():
    body = {"error": {"message": "part of an answer"}}
    response = await ask(lambda _: JSONResponse(body))
    assert response.json() == body
    chunks = [f"data: {n}\n\n" for n in range(3)]
    response = await ask(lambda _: StreamingResponse(iter(chunks), media_type="text/event-stream"))
    assert response.text == "".join(chunks)


async def test_a_stream_is_not_held_back():
    """Each chunk must be out before the next one is made."""
    sent: list[bytes] = []

    async def chunks():
        for number in range(3):
            assert len(sent) == number
            yield f"{number}".encode()

    app = app_that(lambda _: StreamingResponse(chunks()))

    async def receive():
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message):
        if message.get("body"):
            sent.append(message["body"])

    scope = {
        "type": "http",
        "asgi": {"spec_version": "2.4"},
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": [],
        "query_string": b"",
    }
    await app(scope, receive, send)
    assert sent == [b"0", b"1", b"2"]


def fails(error: BaseException) -> Callable[[Request], Any]:
    def answer(_: Request) -> Any:
        raise error

    return answer


async def test_an_exception_is_500_and_logged_without_what_it_says(caplog):
    caplog.set_level(logging.DEBUG)
    response = await ask(fails(RuntimeError(CANARY)))
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "heron" not in response.text + caplog.text
    assert "RuntimeError" in caplog.text
    assert response.headers["x-request-id"] in caplog.text


async def test_our_own_errors_say_what_they_say():
    response = await ask(fails(OverloadedError("The queue is full.")))
    assert response.status_code == 503
    assert response.json()["error"]["message"] == "The queue is full."
    assert (await ask(fails(EngineError("Dead.")))).status_code == 502


def breaking(error: Exception) -> Callable[[Request], Response]:
    async def chunks():
        yield b"begun"
        raise error

    return lambda _: StreamingResponse(chunks())


async def test_an_exception_after_the_response_began_aborts_it_without_what_it_says(caplog):
    with pytest.raises(ResponseAbortedError) as caught:
        await ask(breaking(RuntimeError(CANARY)))
    assert "heron" not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "RuntimeError" in caplog.text


async def test_a_client_that_left_is_no_failure(caplog):
    app = app_that(fails(ClientDisconnect()))

    async def receive():
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message):
        raise AssertionError("nobody is there")

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": [],
        "query_string": b"",
    }
    await app(scope, receive, send)
    assert caplog.text == ""


def test_every_status_has_an_error():
    assert {error_for_status(status).code for status in range(400, 600)} <= CODES
