"""vLLM's load generator on `/analyze`: what is sent, what is counted, what a failure is."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from imhi.tasks import QUESTIONS
from loadtests.generator import body_of, drive
from loadtests.measurements import common_start

pytestmark = pytest.mark.slow  # vLLM is imported

STRESS = QUESTIONS["stress"]
RESULT = {
    "results": [{"answers": [{"label": "yes"}], "error": None}],
    "usage": {"prompt_tokens": 50, "completion_tokens": 7},
}


async def analyze(request: web.Request) -> web.StreamResponse:
    """Answers as the service does; what a post says decides how."""
    body = await request.json()
    assert body["questions"] == ["stress"]
    if "refused" in body["text"]:
        return web.json_response({}, status=503)
    if "failed" in body["text"]:
        return web.json_response({"results": [{"error": {"code": "empty_text"}}]})
    if not body.get("stream"):
        return web.json_response(RESULT)
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b": keep-alive\n\nevent: label\ndata: {}\n\n")
    await asyncio.sleep(0.2)
    if "cut" not in body["text"]:
        await response.write(f"event: result\ndata: {json.dumps(RESULT)}\n\n".encode())
    return response


def driven(bodies: list[dict[str, Any]], *options: str) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        app = web.Application()
        app.router.add_post("/analyze", analyze)
        async with TestServer(app) as server:
            return await drive(str(server.make_url("")).rstrip("/"), bodies, *options)

    return asyncio.run(run())


def test_every_body_is_sent_and_failures_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    texts = ("a post", "refused", "a failed post", "a post")
    found = driven([body_of(text, (STRESS,)) for text in texts], "--max-concurrency", "2")
    assert (found["completed"], found["failed"]) == (2, 2)
    assert found["errors"] == ["", "status 503", "empty_text", ""]
    assert (found["total_input_tokens"], found["total_output_tokens"]) == (100, 14)
    assert "generated_texts" not in found
    said = capsys.readouterr()
    assert "a post" not in said.out + said.err


def test_a_stream_has_its_first_label_before_its_end() -> None:
    bodies = [body_of(text, (STRESS,), stream=True) for text in ("a post", "a cut one")]
    found = driven(bodies, "--request-rate", "50", "--goodput", "ttft:150")
    assert found["errors"] == ["", "a stream without a result"]
    assert found["ttfts"][0] < 0.15 < 0.2 <= found["latencies"][0]
    assert found["request_goodput"] == pytest.approx(found["request_throughput"])


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))
def test_what_most_answers_begin_with(question: Any) -> None:
    start = common_start(question)
    after = [
        label.answer.removeprefix(start).split()[0]
        for label in question.labels
        if label.answer.startswith(start)
    ]
    assert len(after) * 2 > len(question.labels)
    assert len(set(after)) > 1
