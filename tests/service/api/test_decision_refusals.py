"""What `/v1/decisions` refuses: it names the place, and repeats nothing."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from service.api.decision_forms import MAX_CHOICES, MAX_QUESTIONS
from service.errors import EngineError, InvalidRequestError, TextTooLongError
from tests.service.api.decisions import PREDICATE, TEXT, choice, post, request, score
from tests.service.api.fakes import FakeAnalyzer, client_of, make_app


async def refused(body: object, analyzer: FakeAnalyzer | None = None, **settings: object):
    response = await post(body, analyzer, **settings)
    error = response.json()["error"]
    assert error["request_id"] == response.headers["x-request-id"]
    return response.status_code, error["code"], error["param"]


OWN = "questions.0"
BAD: dict[str, tuple[object, str | None]] = {
    "empty": ({}, "model"),
    "no object": ([TEXT], None),
    "no questions": (request() | {"questions": []}, "questions"),
    "questions": (request(*[PREDICATE] * (MAX_QUESTIONS + 1)), "questions"),
    "unknown type": (request({"type": "rank"}), OWN),
    "no type": (request({"instructions": "x"}), OWN),
    "blank": (request(PREDICATE | {"instructions": " \n"}), f"{OWN}.instructions"),
    "long": (request(PREDICATE | {"instructions": "x" * 8193}), f"{OWN}.instructions"),
    "one choice": (request(choice("a")), f"{OWN}.choices"),
    "choices": (request(choice(*map(str, range(MAX_CHOICES + 1)))), f"{OWN}.choices"),
    "alike": (request(PREDICATE, choice("work", "home", " work ")), "questions.1.choices.2"),
    "blank choice": (request(choice("work", "  ")), f"{OWN}.choices.1"),
    "number": (request(choice("a", 5)), f"{OWN}.choices.1.value"),
    "long choice": (request(choice("a", "b" * 513)), f"{OWN}.choices.1.value"),
    "one level": (request(score("a")), f"{OWN}.levels"),
    "levels": (request(score(*map(str, range(11)))), f"{OWN}.levels"),
    "levels alike": (request(score("a", "b", "a")), f"{OWN}.levels.2"),
    "no messages": (request(input=[]), "input"),
    "role": (request(input=[{"role": "assistant", "content": "x"}]), "input.0.role"),
    "image": (
        request(input=[{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]),
        "input.0.content.0.type",
    ),
    "call": (request(input=[{"type": "function_call", "arguments": ""}]), "input.0.role"),
    "json": (
        request(PREDICATE | {"instructions": [{"type": "input_json", "data": {}}]}),
        f"{OWN}.instructions.0.type",
    ),
    "cache": (request(prompt_cache_key="x"), "prompt_cache_key"),
    "unknown field": (request(temperature=1), None),
    "another's field": (request(text="x"), None),
    "field": (request(PREDICATE | {"value": 1}), OWN),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_wrong_is_named(name: str):
    body, param = BAD[name]
    assert await refused(body) == (400, "invalid_request", param)


async def test_unknown_models_and_blank_inputs_have_codes_of_their_own():
    assert await refused(request(model="other")) == (404, "unknown_name", "model")
    assert await refused(request(input=" ")) == (400, "empty_text", "input")


async def test_bounds_of_the_deployment():
    two = request(choice("a", "b"), PREDICATE)
    assert (await post(two, max_choices=4)).status_code == 200
    assert await refused(two, max_choices=3) == (400, "invalid_request", "questions")
    assert await refused(request(), max_characters=31) == (400, "text_too_long", "input")
    longer = request(PREDICATE, PREDICATE)
    assert await refused(longer, max_characters=60) == (400, "invalid_request", "questions")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (TextTooLongError("m", param="text"), (400, "text_too_long", "input")),
        (InvalidRequestError("m", param="own.3"), (400, "invalid_request", "questions.3")),
        (InvalidRequestError("m", param="text"), (400, "invalid_request", "input")),
        (EngineError("m"), (502, "engine_error", None)),
    ],
)
async def test_what_the_analyzer_refuses_names_the_requests_fields(
    raised: Exception, expected: Any
):
    assert await refused(request(), FakeAnalyzer(fails={TEXT: raised})) == expected


CANARY = "the heron stood in the canal"
LEAKS: dict[str, object] = {
    "model": request(model=CANARY),
    "field": request() | {CANARY: CANARY},
    "type": request({"type": CANARY, "instructions": CANARY}),
    "question's field": request(PREDICATE | {CANARY: CANARY}),
    "choice": request(choice(CANARY, CANARY)),
    "choice's field": request({**choice("a", "b"), "choices": [{CANARY: CANARY}, {"value": "a"}]}),
    "input": request(input={CANARY: CANARY}),
    "message": request(input=[{"role": CANARY, "content": CANARY}]),
    "part": request(input=[{"role": "user", "content": [{"type": CANARY, "text": CANARY}]}]),
    "name": request(PREDICATE | {"name": [CANARY]}),
    "cache": request(prompt_cache_options={CANARY: CANARY}),
    "broken": f'{{"model": "{CANARY}'.encode(),
}


async def test_errors_and_logs_repeat_nothing(caplog):
    caplog.set_level(logging.DEBUG)
    headers = {"content-type": "application/json"}
    async with client_of(make_app(FakeAnalyzer())) as client:
        for name, body in LEAKS.items():
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            response = await client.post("/v1/decisions", content=content, headers=headers)
            assert response.status_code in {400, 404}
            assert "heron" not in response.text + str(response.headers) + caplog.text, name
