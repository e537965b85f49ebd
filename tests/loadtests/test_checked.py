"""What counts as a right answer, as a clear refusal, and as neither; what a long run must keep."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from imhi.tasks import QUESTIONS
from loadtests.checked import CheckedClient, agree, check_errors, check_memory, read_alone
from loadtests.generator import FailedAnswerError, body_of
from loadtests.vitals import Reading, growth, watched

BODY = body_of("a post", (QUESTIONS["stress"],), explain="always")
EXPECTED = {"a post": {"stress": {"yes": 0.7, "no": 0.3}}}


def answer(**probabilities: float) -> dict[str, Any]:
    answers = [{"question": "stress", "probabilities": probabilities}]
    return {"results": [{"answers": answers}], "usage": {"completion_tokens": 7}}


def refusal(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "Later."}}


def asked(
    status: int, body: object, headers: dict[str, str] | None = None, *, alone: bool = False
) -> Any:
    """What is made of a server that says this, and what the server was sent."""
    sent: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        sent.append((dict(request.headers), await request.json()))
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=headers)

    async def run() -> Any:
        app = web.Application()
        app.router.add_post("/analyze", handler)
        async with TestServer(app) as server, ClientSession() as session:
            url = str(server.make_url("")).rstrip("/")
            if alone:
                return await read_alone(url, [BODY])
            client = CheckedClient(EXPECTED, deadline=2.5)
            return await client(session, f"{url}/analyze", BODY), client

    return asyncio.run(run()), sent


def test_a_right_answer_counts_with_its_tokens() -> None:
    (answered, client), [(headers, body)] = asked(200, answer(yes=0.6, no=0.4))
    assert answered.tokens == 7
    assert not client.refusals
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
    with pytest.raises(FailedAnswerError, match="wrong"):
        asked(200, body)


@pytest.mark.parametrize("status", [429, 503, 504])
def test_a_clear_refusal_is_one(status: int) -> None:
    with pytest.raises(FailedAnswerError, match="refused"):
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
    with pytest.raises(FailedAnswerError, match="broken"):
        asked(status, body, headers)


def test_a_tie_may_be_decided_either_way() -> None:
    expected = {"yes": 0.52, "no": 0.48}
    assert agree({"yes": 0.49, "no": 0.51}, expected)
    assert not agree({"yes": 0.49, "no": 0.51}, {"yes": 0.6, "no": 0.4})


def test_the_right_answers_are_read_without_explanation() -> None:
    found, [(_, body)] = asked(200, answer(yes=0.6, no=0.4), alone=True)
    assert found == {"a post": {"stress": {"yes": 0.6, "no": 0.4}}}
    assert body["explain"] == "never"
    with pytest.raises(FailedAnswerError, match="status 503"):
        asked(503, refusal("starting"), alone=True)


@pytest.mark.parametrize(
    ("values", "grown"),
    [
        ([1, 9, 10, 10, 10, 10, 11, 11], 0.1),
        ([5, 5, 5, 5], 0.0),
        ([4, 2, 1, 1], -0.5),
        ([1, 2, 3], 0.0),
        ([], 0.0),
    ],
)
def test_growth_is_of_the_last_quarter_over_the_second(values: list[float], grown: float) -> None:
    assert growth(values) == pytest.approx(grown)


def test_memory_that_grows_does_not_pass() -> None:
    def passed(*resident: int) -> bool:
        return check_memory([Reading(n, one, 20, 8) for n, one in enumerate(resident)]).passed

    assert passed(*[1000] * 8)
    assert not passed(*range(1000, 1800, 100))
    assert not passed()


def test_wrong_and_broken_answers_do_not_pass() -> None:
    assert all(check.passed for check in check_errors(["", "refused", "refused"]))
    right, refused = check_errors(["", "refused", "wrong", "ServerDisconnectedError", "broken"])
    assert (right.passed, right.seen) == (False, "1 are wrong")
    assert not refused.passed
    assert refused.seen == "2 are neither; ServerDisconnectedError: 1; broken: 1"


def test_a_process_is_watched() -> None:
    async def watch() -> list[Reading]:
        async with watched(os.getpid(), every=0.01) as readings:
            await asyncio.sleep(0.1)
        return readings

    readings = asyncio.run(watch())
    assert len(readings) > 1
    assert all(one.resident > 2**20 and one.files and one.threads for one in readings)
    assert readings[-1].after > readings[0].after
