"""Ways of asking a server, against one that answers as the real ones do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from imhi.tasks import QUESTIONS
from loadtests.clients import Analyze, Ask, Chat, FailedAnswerError, Reads, common_start, session
from loadtests.drive import Answered

STRESS, CAUSE = QUESTIONS["stress"], QUESTIONS["stress_cause"]
Seen = list[dict[str, Any]]


def asked(
    respond: Callable[[dict[str, Any]], web.StreamResponse],
    ask: Callable[[Any, str], Awaitable[Answered]],
) -> tuple[Answered, Seen]:
    """Ask a server that responds so; what came back, and the bodies it was sent."""
    seen: Seen = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append({"path": request.path, **await request.json()})
        return respond(seen[-1])

    async def run() -> Answered:
        app = web.Application()
        app.router.add_post("/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            async with session() as client:
                return await ask(client, f"http://127.0.0.1:{port}")
        finally:
            await runner.cleanup()

    return asyncio.run(run()), seen


RESULT = {
    "results": [{"answers": [{"label": "yes"}, {"label": None}], "error": None}],
    "usage": {"completion_tokens": 7},
}


def test_analyze() -> None:
    ask = Ask("A post.", (STRESS, CAUSE), explained=True)
    found, [body] = asked(
        lambda _: web.json_response(RESULT), lambda client, url: Analyze(client, url)(ask)
    )
    assert found == Answered(tokens=7, labels=1)
    assert body["path"] == "/analyze"
    assert (body["questions"], body["explain"]) == (["stress", "stress_cause"], "always")


def test_analyze_as_a_stream_knows_when_the_first_label_came() -> None:
    events = [("label", {}), ("explanation", {}), ("explanation", {}), ("result", RESULT)]
    text = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    ask = Ask("A post.", (STRESS,), explained=True)
    found, _ = asked(
        lambda _: web.Response(text=": keep-alive\n\n" + text, content_type="text/event-stream"),
        lambda client, url: Analyze(client, url, stream=True)(ask),
    )
    assert (found.tokens, found.labels) == (7, 1)
    assert found.first_label is not None
    assert found.first_token is not None
    assert found.first_label <= found.first_token


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_an_error(stream: bool) -> None:
    ask = Ask("A post.", (STRESS,), explained=False)
    with pytest.raises(FailedAnswerError, match="status 503"):
        asked(
            lambda _: web.json_response({}, status=503),
            lambda client, url: Analyze(client, url, stream=stream)(ask),
        )


@pytest.mark.parametrize("stopped", [True, False])
@pytest.mark.parametrize("explained", [True, False])
def test_chat_reads_the_label_from_the_text(explained: bool, stopped: bool) -> None:
    def respond(body: dict[str, Any]) -> web.Response:
        good = "stress?" in body["messages"][0]["content"]
        text = "Yes, the poster suffers from stress. Reasoning: So." if good else "Who knows"
        return web.json_response(
            {"choices": [{"message": {"content": text}}], "usage": {"completion_tokens": 9}}
        )

    ask = Ask("A post.", (STRESS, CAUSE), explained=explained)
    found, seen = asked(respond, lambda client, url: Chat(client, url, "m", stopped=stopped)(ask))
    assert found == Answered(tokens=18, labels=1)
    stop = ["Reasoning"] if stopped and not explained else None
    assert [body.get("stop") for body in seen] == [stop] * 2


def test_reads_end_where_the_answers_part() -> None:
    choice = {"logprobs": {"top_logprobs": [{" work": -0.1}]}}
    ask = Ask("A post.", (STRESS, CAUSE), explained=False)
    found, seen = asked(
        lambda _: web.json_response({"choices": [choice]}),
        lambda client, url: Reads(client, url, "m")(ask),
    )
    assert found == Answered(labels=2)
    prompts = sorted(body["prompt"] for body in seen)
    assert prompts[0].endswith("Does the poster suffer from stress?")
    assert prompts[1].endswith("This post shows the stress cause related to")
    assert {body["max_tokens"] for body in seen} == {1}


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
