"""Streams of `POST /analyze`, and clients that leave before the answer is complete."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from imhi.tasks import TASKS
from service.api.events import ErrorEvent, ExplanationEvent, LabelEvent
from service.api.schemas import AnalyzeResponse
from tests.e2e.deployment import KEY, authorized
from tests.e2e.errors import assert_error
from tests.e2e.posts import LONG, POST
from tests.e2e.scrape import eventually, idle, total

pytestmark = pytest.mark.engine

FORMS = {
    "label": LabelEvent,
    "explanation": ExplanationEvent,
    "result": AnalyzeResponse,
    "error": ErrorEvent,
}
MUCH = {"texts": [f"Night {number}. {POST}" for number in range(64)], "explanation_tokens": 64}
"""The work of seconds, even on a fast machine."""
SECONDS = 20.0


def events_of(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    """Name and data of each event as it arrives."""
    name = None
    for line in response.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            assert name is not None
            yield name, FORMS[name].model_validate_json(value)
        elif not line:
            name = None
        else:
            assert not field, f"neither an event nor a comment: {line!r}"


@pytest.fixture(scope="module")
def request_body() -> dict[str, Any]:
    return {
        "texts": [POST, "We won the match and sang on the bus all the way home."],
        "tasks": ["stress", "wellness"],
        "explanation_tokens": 24,
    }


@pytest.fixture(scope="module")
def events(client, request_body) -> list[tuple[str, Any]]:
    with client.stream("POST", "/analyze", json={**request_body, "stream": True}) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        return list(events_of(response))


@pytest.fixture(scope="module")
def by_question(events) -> dict[tuple[int, str], list[tuple[str, Any]]]:
    """The events of each question on each text, in their order."""
    found = defaultdict(list)
    for name, data in events[:-1]:
        question = data.answer.question if name == "label" else data.question
        found[data.index, question].append((name, data))
    return found


def test_each_question_has_its_label_before_its_explanation(by_question):
    questions = [
        question.id for task in ("stress", "wellness") for question in TASKS[task].questions
    ]
    assert set(by_question) == {(text, question) for text in (0, 1) for question in questions}
    for found in by_question.values():
        names = [name for name, _ in found]
        assert names[0] == "label"
        assert set(names[1:]) == {"explanation"}
        assert found[0][1].answer.explanation is None


def test_labels_come_at_once_explanations_in_pieces_and_the_result_last(events):
    names = [name for name, _ in events]
    assert names[0] == "label"
    assert names.index("label") < len(names) - 1 - names[::-1].index("explanation")
    assert names.count("explanation") > 3 * names.count("label")
    assert names.index("result") == len(names) - 1
    assert "error" not in names


def test_deltas_make_the_explanation(events, by_question):
    for result in events[-1][1].results:
        for answer in result.answers:
            label, *deltas = by_question[result.index, answer.question]
            assert "".join(delta.delta for _, delta in deltas).rstrip() == answer.explanation
            # The label's event is the answer without what came after it.
            later = {"explanation", "evidence", "consistency", "finish_reason"}
            assert label[1].answer.model_dump(exclude=later) == answer.model_dump(exclude=later)


def test_the_result_is_the_plain_answer(client, events, request_body):
    plain = client.post("/analyze", json=request_body).json()
    streamed = json.loads(events[-1][1].model_dump_json())
    for one, other in zip(streamed["results"], plain["results"], strict=True):
        for mine, theirs in zip(one["answers"], other["answers"], strict=True):
            for field in ("probabilities", "probability", "label_mass", "consistency"):
                assert mine.pop(field) == pytest.approx(theirs.pop(field), rel=1e-2, abs=1e-3)
            assert mine == theirs
    assert streamed.keys() == plain.keys()
    assert streamed["usage"].keys() == plain["usage"].keys()


def test_what_fails_before_the_first_event_has_a_status(client):
    body = {"text": LONG, "stream": True}
    assert_error(client.post("/analyze", json=body), 422, "text_too_long")


def test_a_bad_text_among_others_is_in_the_result(client):
    body = {"texts": [" ", POST], "tasks": ["stress"], "explain": "never", "stream": True}
    with client.stream("POST", "/analyze", json=body) as response:
        *labels, (name, result) = events_of(response)
    assert [(name, data.index) for name, data in labels] == [("label", 1)]
    assert name == "result"
    assert result.results[0].error.code == "empty_text"
    assert result.results[1].error is None


class Before:
    """What had been counted before clients left, and what must hold after."""

    def __init__(self, client: httpx.Client) -> None:
        assert eventually(lambda: idle(client), SECONDS)
        self._client = client
        self._counts = self._count()

    def _count(self) -> list[float]:
        names = ("mentalllama_cancellations_total", "mentalllama_posts_total")
        return [total(self._client, name) for name in names]

    def assert_freed(self, *, cancelled: int) -> None:
        """The engine has stopped, and no post was done."""
        assert eventually(lambda: idle(self._client), SECONDS)
        # The one that is left is the request that asks.
        in_flight = "mentalllama_requests_in_flight"
        assert eventually(lambda: total(self._client, in_flight) == 1, SECONDS)
        risen = [now - before for before, now in zip(self._counts, self._count(), strict=True)]
        assert risen == [cancelled, 0]
        assert idle(self._client)  # nothing has started since


def test_leaving_a_stream_frees_the_engine(client, server):
    before = Before(client)
    with (
        httpx.Client(base_url=server.url, headers=authorized(KEY), timeout=60) as leaver,
        leaver.stream("POST", "/analyze", json={**MUCH, "stream": True}) as response,
    ):
        assert next(events_of(response))[0] == "label"
        assert eventually(lambda: not idle(client), SECONDS)
    before.assert_freed(cancelled=1)


async def leave_once_it_runs(client: httpx.Client, url: str, *bodies: dict[str, Any]) -> None:
    """Send requests, wait until the engine works on them, and close their connections."""

    def arrived() -> bool:
        return total(client, "mentalllama_requests_in_flight") == len(bodies) + 1

    async with httpx.AsyncClient(base_url=url, headers=authorized(KEY), timeout=60) as leaver:
        tasks = [asyncio.create_task(leaver.post("/analyze", json=body)) for body in bodies]
        assert await asyncio.to_thread(eventually, lambda: arrived() and not idle(client), SECONDS)
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(one, asyncio.CancelledError)
            for one in await asyncio.gather(*tasks, return_exceptions=True)
        )


def test_clients_that_leave_free_the_engine_for_others(client, server, analyze):
    expected = analyze(tasks=["stress"], explain="never")["results"][0]["answers"][0]
    before = Before(client)
    bodies = [MUCH, {**MUCH, "stream": True}, {**MUCH, "consistency": False}]
    asyncio.run(leave_once_it_runs(client, server.url, *bodies))
    before.assert_freed(cancelled=3)
    found = analyze(tasks=["stress"], explain="never")["results"][0]["answers"][0]
    assert found["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-3)
