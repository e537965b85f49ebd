from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from service.gate import Gate
from service.gate.routes import ROUTES
from service.settings import Settings


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.method} {request.url.path}")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()


def app_with_everything() -> Starlette:
    """An app that answers every path, as a server with many routes nearly does."""
    every = [
        WebSocketRoute("/v1/realtime", socket),
        Mount("/", routes=[Route("/{path:path}", echo, methods=["GET", "POST", "OPTIONS"])]),
    ]
    app = Starlette(routes=every)
    app.add_middleware(Gate, settings=Settings())
    return app


def client() -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app_with_everything())
    return httpx.AsyncClient(transport=transport, base_url="http://service")


async def test_listed_routes_pass():
    async with client() as http:
        for path, method in ROUTES.items():
            response = await http.request(method, path, json={} if method == "POST" else None)
            assert (response.status_code, response.text) == (200, f"{method} {path}")


UNLISTED = (
    *("/version", "/tokenize", "/invocations", "/v1/responses", "/v1/load_lora_adapter"),
    *("/v1/models/x", "/docs/oauth2-redirect", "/static", "/static/%2e%2e/analyze", "/analyze/"),
    *("//analyze", "/ANALYZE", "/metrics/", "/metricsx", "/v1/chat/completions/render"),
)


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
async def test_everything_else_is_not_found(method: str):
    async with client() as http:
        for path in UNLISTED:
            url = httpx.URL("http://service", raw_path=path.encode())
            response = await http.request(method, url)
            assert response.status_code == 404, path
            assert response.headers["content-type"] == "application/json"
            if method != "HEAD":
                error = response.json()["error"]
                assert (error["code"], error["type"]) == ("not_found", "invalid_request_error")
                assert path not in error["message"]


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/analyze", "GET", "POST, OPTIONS"),
        ("/analyze", "HEAD", "POST, OPTIONS"),
        ("/tasks", "POST", "GET, HEAD, OPTIONS"),
        ("/v1/chat/completions", "DELETE", "POST, OPTIONS"),
        ("/metrics", "PUT", "GET, HEAD, OPTIONS"),
        ("/analyze", "TRACE", "POST, OPTIONS"),
    ],
)
async def test_another_method_is_not_allowed(path: str, method: str, allow: str):
    async with client() as http:
        response = await http.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == allow
    if method != "HEAD":
        assert response.json()["error"]["code"] == "method_not_allowed"


async def test_preflights_pass_and_bring_headers_alone():
    asked = {"Origin": "http://page", "Access-Control-Request-Method": "POST"}
    async with client() as http:
        response = await http.options("/analyze", headers=asked)
    assert (response.status_code, response.text) == (200, "")
    assert response.headers["content-length"] == "0"
    assert response.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("headers", [{}, {"Origin": "a"}, {"Access-Control-Request-Method": "GET"}])
async def test_other_options_do_not_reach_the_app(headers: dict[str, str]):
    async with client() as http:
        for path, allow in (("/analyze", "POST, OPTIONS"), ("/metrics", "GET, HEAD, OPTIONS")):
            response = await http.options(path, headers=headers)
            assert (response.status_code, response.text) == (204, "")
            assert response.headers["allow"] == allow


async def test_head_is_get_without_a_body():
    async with client() as http:
        head, get = await http.head("/tasks"), await http.get("/tasks")
    assert head.status_code == 200
    assert head.text == ""
    assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.text))


async def test_behind_a_prefix():
    app = app_with_everything()
    transport = httpx.ASGITransport(app, root_path="/proxy")
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        assert (await http.get("/proxy/tasks")).status_code == 200
        assert (await http.get("/proxy/version")).status_code == 404
        assert (await http.get("/proxytasks")).status_code == 404


@pytest.mark.parametrize("path", ["/v1/realtime", "/analyze"])
async def test_web_sockets_are_closed_before_they_open(path: str):
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "path": path, "headers": [], "subprotocols": []}
    await app_with_everything()(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
