"""Lines to answers: order, retries, failures of single lines, a service that goes."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter

import httpx
import pytest

from service.batch import exchange as module
from service.batch.exchange import exchange
from service.batch.lines import Line
from service.client import UnreachableError


def line(number: int, **fields: object) -> Line:
    body = json.dumps({"number": number}).encode()
    return Line(number, f"id-{number}", "/analyze", body, **fields)


async def answers(handler, lines: list[Line], concurrency: int = 4):
    output = io.StringIO()
    client = httpx.AsyncClient(transport=httpx.MockTransport(handler), base_url="http://service")
    count = await exchange(client, lines, output, concurrency=concurrency)
    return count, [json.loads(one) for one in output.getvalue().splitlines()]


def ok(request: httpx.Request) -> httpx.Response:
    body = json.loads(request.content)
    return httpx.Response(200, json=body, headers={"x-request-id": f"request-{body['number']}"})


async def test_results_stand_in_the_order_of_the_input_though_answers_do_not() -> None:
    running, most = 0, 0

    async def slow(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02 if json.loads(request.content)["number"] % 5 == 0 else 0.001)
        running -= 1
        return ok(request)

    count, results = await answers(slow, [line(number) for number in range(50)])
    assert [one["custom_id"] for one in results] == [f"id-{number}" for number in range(50)]
    assert (count.answered, count.failed, most) == (50, 0, 4)
    assert results[7]["response"] == {
        "status_code": 200,
        "request_id": "request-7",
        "body": {"number": 7},
    }
    assert results[7]["error"] is None
    assert len({one["id"] for one in results}) == 50


async def test_a_line_that_is_refused_or_cannot_be_sent_has_its_error_alone() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        number = json.loads(request.content)["number"]
        if number == 1:
            error = {"code": "empty_text", "message": "The text is empty."}
            return httpx.Response(422, json={"error": error})
        if number == 2:
            return httpx.Response(502, text="<html>")
        if number == 3:
            raise httpx.ReadTimeout("")
        return ok(request)

    lines = [line(number) for number in range(4)] + [line(4, error="url: wrong.")]
    count, results = await answers(handler, lines)
    assert (count.answered, count.failed) == (1, 4)
    assert results[1]["error"] == {"code": "empty_text", "message": "The text is empty."}
    assert results[1]["response"]["status_code"] == 422
    assert (results[2]["error"]["code"], results[2]["response"]["body"]) == ("502", None)
    assert (results[3]["error"]["code"], results[3]["response"]) == ("timeout", None)
    assert results[4]["error"] == {"code": "invalid_line", "message": "Line 4: url: wrong."}


@pytest.mark.parametrize("status", [429, 503])
async def test_what_the_service_cannot_take_yet_is_sent_again(monkeypatch, status: int) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    tries: Counter[int] = Counter()

    def handler(request: httpx.Request) -> httpx.Response:
        number = json.loads(request.content)["number"]
        tries[number] += 1
        assert request.headers["x-mentalllama-priority"] == "bulk"
        if number == 0 and tries[number] < 3:
            return httpx.Response(status, headers={"retry-after": "7"}, json={"error": {}})
        if number == 1:
            return httpx.Response(status, headers={"retry-after": "100000"}, json={"error": {}})
        return ok(request)

    count, results = await answers(handler, [line(0), line(1)])
    assert (count.answered, count.failed) == (1, 1)
    assert results[1]["response"]["status_code"] == status
    assert tries == {0: 3, 1: module._TRIES}
    assert waits.count(7.0) == 2
    assert max(waits) == module._LONGEST_WAIT


async def test_a_service_that_goes_ends_the_run_and_what_it_said_is_kept() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content)["number"] == 9:
            raise httpx.ConnectError("gone")
        return ok(request)

    output = io.StringIO()
    client = httpx.AsyncClient(transport=httpx.MockTransport(handler), base_url="http://service")
    with pytest.raises(UnreachableError, match="line 9"):
        await exchange(client, [line(n) for n in range(20)], output, concurrency=1)
    kept = [json.loads(one)["custom_id"] for one in output.getvalue().splitlines()]
    assert kept == [f"id-{number}" for number in range(9)]
