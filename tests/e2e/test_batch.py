"""`mentalllama batch` with real answers: through a running service, and with one of its own."""

from __future__ import annotations

import json

import pytest
from openai.types.chat import ChatCompletion

from service.api.schemas import AnalyzeResponse
from service.cli.exit_codes import ExitCode
from tests.e2e.deployment import MODEL
from tests.e2e.posts import POST
from tests.e2e.test_command import run

pytestmark = pytest.mark.engine

ANALYZE = {"text": POST, "tasks": ["stress"], "explanation_tokens": 8}
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": POST}], "max_tokens": 4}
DECIDE = {
    "model": MODEL,
    "input": POST,
    "questions": [{"type": "predicate", "instructions": "Is it about sleep?"}],
}
BODIES = [
    ("/analyze", ANALYZE),
    ("/v1/chat/completions", CHAT),
    ("/v1/decisions", DECIDE),
    ("/v1/completions", {"model": MODEL, "prompt": POST, "max_tokens": 4}),
    ("/v1/chat/completions", {**CHAT, "model": "no-such-model"}),
    ("/analyze", {"text": " "}),
]


@pytest.fixture
def batch(tmp_path):
    """Runs the command on bodies and returns it with its results."""

    def start(bodies, *arguments: str):
        lines = [
            {"custom_id": f"line {number}", "method": "POST", "url": url, "body": body}
            for number, (url, body) in enumerate(bodies)
        ]
        (tmp_path / "in").write_text("\n".join(map(json.dumps, lines)))
        done = run("batch", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *arguments)
        assert POST[:20] not in done.stderr
        assert (tmp_path / "out").is_file(), done.stderr
        results = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
        assert [one["custom_id"] for one in results] == [line["custom_id"] for line in lines]
        return done, results

    return start


def test_every_route_of_a_running_service(server, batch) -> None:
    done, results = batch(BODIES, "--url", server.url)
    assert "4 answered, 2 with an error" in done.stderr
    assert done.returncode == ExitCode.ROWS_FAILED
    analysis, chat, decision, completion, unknown, empty = results
    body = AnalyzeResponse.model_validate(analysis["response"]["body"], strict=False)
    assert [answer.question for answer in body.results[0].answers] == ["stress"]
    assert ChatCompletion.model_validate(chat["response"]["body"]).choices[0].message.content
    assert decision["response"]["body"]["answers"][0]["type"] == "predicate"
    assert completion["response"]["body"]["choices"][0]["text"]
    assert (unknown["response"]["status_code"], empty["response"]["status_code"]) == (404, 422)
    assert empty["error"]["code"] == "empty_text"
    assert all(one["error"] and one["error"]["message"] for one in (unknown, empty))


@pytest.mark.slow
def test_a_service_of_its_own_says_the_same(tiny_model, analyze, batch) -> None:
    bodies = [BODIES[0], BODIES[1], BODIES[5]]
    options = ("--dtype", "float32", "--max-model-len", "1024", "--enforce-eager")
    done, results = batch(bodies, "--model", str(tiny_model), "--", *options)
    assert "2 answered, 1 with an error" in done.stderr
    assert done.returncode == ExitCode.ROWS_FAILED
    [mine] = results[0]["response"]["body"]["results"][0]["answers"]
    [theirs] = analyze(tasks=["stress"])["results"][0]["answers"]
    assert mine["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-3)
    assert mine["explanation"] == theirs["explanation"]
