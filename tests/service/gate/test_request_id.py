from __future__ import annotations

import re

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.gate import Gate
from service.settings import Settings


async def say(request: Request) -> PlainTextResponse:
    """The id as a route sees it, in the state and in the header."""
    assert request.headers.getlist("x-request-id") == [request.state.request_id]
    return PlainTextResponse(request.state.request_id, headers={"X-Request-Id": "inner"})


async def ask(path: str = "/tasks", headers: list[tuple[str, str]] | None = None) -> httpx.Response:
    app = Starlette(routes=[Route("/tasks", say)])
    transport = httpx.ASGITransport(Gate(app, Settings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize("given", ["a", "4f1c-2b.7e_9A", "x" * 128])
async def test_a_plain_id_is_kept(given: str):
    response = await ask(headers=[("X-Request-Id", given)])
    assert response.text == given
    assert response.headers.get_list("x-request-id") == [given]


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a;b", "a/b", "<script>"])
async def test_any_other_is_replaced(given: str):
    response = await ask(headers=[("X-Request-Id", given)])
    assert re.fullmatch(r"[0-9a-f]{32}", response.text)
    assert response.headers.get_list("x-request-id") == [response.text]


async def test_two_ids_are_none():
    response = await ask(headers=[("X-Request-Id", "one"), ("X-Request-Id", "two")])
    assert re.fullmatch(r"[0-9a-f]{32}", response.text)


async def test_errors_carry_it_in_both_places():
    response = await ask("/nowhere", [("X-Request-Id", "mine")])
    assert response.status_code == 404
    assert response.headers["x-request-id"] == response.json()["error"]["request_id"] == "mine"
