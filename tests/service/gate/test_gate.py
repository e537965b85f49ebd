"""The layers together, and as a guest on an app whose host adds middlewares of its own."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import REGISTRY
from starlette.middleware.cors import CORSMiddleware

from service.gate import Gate
from service.settings import InvalidSettingsError
from tests.service.api.fakes import FakeAnalyzer, client_of, make_app


class AsksForKey:
    """Stands for vLLM's middleware that asks for an API key."""

    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["path"].startswith("/v1"):
            response = JSONResponse({"error": "Unauthorized"}, 401)
            await response(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def app_of_a_host() -> FastAPI:
    """Our routes on an app that does what vLLM does after plugins were attached."""
    app = make_app(FakeAnalyzer())

    @app.post("/v1/completions")
    def complete() -> None:
        raise AssertionError("never reached without a key")

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(ValueError)
    @app.exception_handler(Exception)
    async def theirs(_, error) -> JSONResponse:
        return JSONResponse({"error": {"message": str(error), "code": 400}}, 400)

    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"])
    app.add_middleware(AsksForKey)
    app.add_middleware(Gate)  # what `--middleware service.gate.Gate` does
    return app


async def test_refusals_of_the_hosts_middlewares_take_our_shape():
    async with client_of(app_of_a_host()) as client:
        response = await client.post("/v1/completions", json={})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "unauthorized"


async def test_the_hosts_handlers_do_not_change_our_errors():
    async with client_of(app_of_a_host()) as client:
        response = await client.post("/analyze", json={"text": ""})
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "empty_text"


async def test_of_two_gates_one_works():
    name, labels = "mentalllama_requests_total", {"route": "/tasks", "outcome": "ok"}
    before = REGISTRY.get_sample_value(name, labels) or 0
    async with client_of(app_of_a_host()) as client:
        response = await client.get("/tasks", headers={"x-request-id": "mine"})
    assert response.headers.get_list("x-request-id") == ["mine"]
    assert REGISTRY.get_sample_value(name, labels) == before + 1


async def test_browsers_get_their_preflight_and_their_headers():
    origin = {"origin": "http://page"}
    async with client_of(app_of_a_host()) as client:
        asked = {**origin, "access-control-request-method": "POST"}
        preflight = await client.options("/analyze", headers=asked)
        refused = await client.post("/analyze", json={"text": ""}, headers=origin)
        unlisted = await client.options("/tokenize", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert refused.headers["access-control-allow-origin"] == "*"
    assert unlisted.status_code == 404


async def test_a_wrong_setting_stops_the_start(monkeypatch):
    monkeypatch.setenv("MENTALLLAMA_MAX_BODY_BYTES", "few")
    with pytest.raises(InvalidSettingsError):
        Gate(FastAPI())
