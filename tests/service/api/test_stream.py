from __future__ import annotations

import asyncio
import json

import pytest
from prometheus_client import REGISTRY

from service.errors import EngineError
from tests.service.api.driver import Connection
from tests.service.api.fakes import FakeAnalyzer, client_of, events_of, make_app

TEXT = "Quiet days again."


async def stream(analyzer: FakeAnalyzer, body: dict[str, object], **settings: object):
    async with client_of(make_app(analyzer, **settings)) as client:
        return await client.post("/analyze", json={**body, "stream": True})


async def test_labels_then_explanations_then_the_whole():
    body = {"text": TEXT, "tasks": ["stress", "loneliness"]}
    analyzer = FakeAnalyzer()
    response = await stream(analyzer, body)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    events = [(name, json.loads(data)) for name, data in events_of(response.text)]
    names = [name for name, _ in events]
    assert names == sorted(names, key=["label", "explanation", "result"].index)
    labels = [data for name, data in events if name == "label"]
    assert [data["answer"]["question"] for data in labels] == ["stress", "loneliness"]
    assert all(data["answer"]["explanation"] is None for data in labels)
    result = events[-1][1]
    for answer in result["results"][0]["answers"]:
        deltas = [
            data["delta"]
            for name, data in events
            if name == "explanation" and data["question"] == answer["question"]
        ]
        assert "".join(deltas).strip() == answer["explanation"]
        assert len(deltas) > 1
    async with client_of(make_app(FakeAnalyzer())) as client:
        whole = (await client.post("/analyze", json=body)).json()
    assert {**result, "id": ""} == {**whole, "id": ""}


async def test_events_of_several_texts_carry_their_index():
    analyzer = FakeAnalyzer(breaks={"bad": EngineError("The engine failed.")})
    response = await stream(analyzer, {"texts": ["good", "bad", " "], "tasks": ["stress"]})
    events = [(name, json.loads(data)) for name, data in events_of(response.text)]
    assert {data["index"] for name, data in events if name == "explanation"} == {0}
    assert {data["index"] for name, data in events if name == "label"} == {0, 1}
    name, result = events[-1]
    assert name == "result"
    codes = [entry["error"] and entry["error"]["code"] for entry in result["results"]]
    assert codes == [None, "engine_error", "empty_text"]


async def test_a_failure_after_the_first_event_is_an_event():
    analyzer = FakeAnalyzer(breaks={TEXT: EngineError("The engine failed.")})
    response = await stream(analyzer, {"text": TEXT})
    assert response.status_code == 200
    *_, (name, data) = events_of(response.text)
    assert name == "error"
    error = json.loads(data)["error"]
    assert error["code"] == "engine_error"
    assert error["request_id"] == response.headers["x-request-id"]


async def test_silence_is_filled_with_comments():
    connection = Connection(
        make_app(FakeAnalyzer(hangs=frozenset({TEXT})), keep_alive_seconds=0.02),
        {"text": TEXT, "stream": True},
    )
    await connection.sent.get()
    first = await connection.sent.get()
    assert first["body"].startswith(b"event: label\n")
    for _ in range(2):
        message = await asyncio.wait_for(connection.sent.get(), 1)
        assert message["body"] == b": keep-alive\n\n"
    await connection.leave()


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_client_that_leaves_ends_the_work(spec_version, streaming):
    texts = 3
    analyzer = FakeAnalyzer(hangs=frozenset({TEXT}))
    cancelled = sample("mentalllama_cancellations_total", route="/analyze")
    by_outcome = sample("mentalllama_requests_total", route="/analyze", outcome="cancelled")
    connection = Connection(
        make_app(analyzer), {"texts": [TEXT] * texts, "stream": streaming}, spec_version
    )
    for _ in range(texts):
        await analyzer.began.acquire()
    if streaming:
        await connection.sent.get()
        assert (await connection.sent.get())["body"].startswith(b"event: label\n")
    await asyncio.sleep(0.01)
    assert analyzer.closed == 0
    await connection.leave(within=0.5)
    assert analyzer.closed == texts
    assert sample("mentalllama_cancellations_total", route="/analyze") == cancelled + 1
    assert (
        sample("mentalllama_requests_total", route="/analyze", outcome="cancelled")
        == by_outcome + 1
    )
    assert sample("mentalllama_requests_in_flight") == 0


async def test_a_client_that_leaves_without_reading_ends_the_work():
    analyzer = FakeAnalyzer()
    connection = Connection(make_app(analyzer), {"text": TEXT, "stream": True}, stuck=True)
    await analyzer.began.acquire()
    await asyncio.sleep(0.05)
    assert connection.sent.qsize() == 1, "the head is on its way and nothing more is sent"
    assert analyzer.closed == 0, "the producer waits for the client"
    await connection.leave(within=0.5)
    assert analyzer.closed == 1
