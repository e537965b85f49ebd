"""What counts as a right answer, as a clear refusal, and as neither."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from imhi.tasks import QUESTIONS
from loadtests.clients import Ask, session
from loadtests.held import (
    BrokenAnswerError,
    Held,
    RefusedError,
    WrongAnswerError,
    agree,
    expect,
)

STRESS = QUESTIONS["stress"]
ASK = Ask("a post", (STRESS,), explained=True)
EXPECTED = {ASK.post: {"stress": {"yes": 0.7, "no": 0.3}}}


def answer(**probabilities: float) -> dict[str, Any]:
    answers = [{"question": "stress", "probabilities": probabilities}]
    return {"results": [{"answers": answers}], "usage": {"completion_tokens": 7}}


def refusal(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "Later."}}


def asked(status: int, body: object, headers: dict[str, str] | None = None) -> Any:
    """What `Held` makes of a server that says this, and what the server was sent."""
    sent: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        sent.append((dict(request.headers), await request.json()))
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=headers)

    async def run() -> Any:
        app = web.Application()
        app.router.add_post("/analyze", handler)
        async with TestServer(app) as server, session() as client:
            url = str(server.make_url("")).rstrip("/")
            if headers is not None and "expect" in headers:
                return await expect(client, url, [ASK])
            held = Held(client, url, EXPECTED, deadline=2.5)
            return await held(ASK), held

    return asyncio.run(run()), sent


def test_a_right_answer_counts_with_its_tokens() -> None:
    (answered, held), [(headers, body)] = asked(200, answer(yes=0.6, no=0.4))
    assert (answered.labels, answered.tokens) == (1, 7)
    assert not held.refusals
    assert headers["x-mentalllama-deadline"] == "2.5"
    assert body["questions"] == ["stress"]


@pytest.mark.parametrize(
    "body",
    [
        answer(yes=0.2, no=0.8),
        {"results": [{"answers": []}]},
        {"results": [{"error": {"code": "empty_text"}}]},
        "no JSON",
    ],
)
def test_another_label_or_half_an_answer_is_wrong(body: object) -> None:
    with pytest.raises(WrongAnswerError):
        asked(200, body)


@pytest.mark.parametrize("status", [429, 503, 504])
def test_a_clear_refusal_is_one(status: int) -> None:
    with pytest.raises(RefusedError):
        asked(status, refusal("overloaded"), {"Retry-After": "3"})


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (503, refusal("overloaded"), {}),
        (503, refusal("overloaded"), {"Retry-After": "soon"}),
        (503, "Service Unavailable", {"Retry-After": "3"}),
        (500, refusal("internal_error"), {"Retry-After": "3"}),
        (422, refusal("invalid_request"), {"Retry-After": "3"}),
    ],
)
def test_anything_else_is_broken(status: int, body: object, headers: dict[str, str]) -> None:
    with pytest.raises(BrokenAnswerError):
        asked(status, body, headers)


def test_a_tie_may_be_decided_either_way() -> None:
    expected = {"yes": 0.52, "no": 0.48}
    assert agree({"yes": 0.49, "no": 0.51}, expected)
    assert not agree({"yes": 0.49, "no": 0.51}, {"yes": 0.6, "no": 0.4})


def test_what_is_expected_is_read_without_explanation() -> None:
    found, [(_, body)] = asked(200, answer(yes=0.6, no=0.4), {"expect": ""})
    assert found == {"a post": {"stress": {"yes": 0.6, "no": 0.4}}}
    assert body["explain"] == "never"
    with pytest.raises(BrokenAnswerError):
        asked(503, refusal("starting"), {"expect": ""})
