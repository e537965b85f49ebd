"""`/v1/decisions` of the running server, used through OpenAI's own client."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import openai
import pytest
from openai.types import Decision

from imhi.tasks import QUESTIONS, TASKS
from imhi.wording import render_query
from service.analysis.own import own_predicate
from tests.e2e.posts import LONG, POST
from tests.servers import RunningServer

pytestmark = pytest.mark.engine

MODEL = "mentalllama-embedded"
NOISE = 0.02
"""Between two readings of one prompt, which bf16 computes in other batches."""

HELP = "Does the poster ask for help?"
OWN: list[dict[str, Any]] = [
    {"type": "predicate", "name": "help", "instructions": HELP},
    {
        "type": "choice",
        "name": "place",
        "instructions": "Where does the poster read the mail?",
        # The first is the beginning of the second, the third is all of one token's worth.
        "choices": [
            {"value": "at work"},
            {"value": "at work, twice", "description": "More than once on one day."},
            {"value": "home"},
            {"value": False, "description": "They do not say."},
        ],
    },
    {
        "type": "score",
        "name": "rest",
        "instructions": "How well does the poster sleep?",
        "levels": [{"label": "badly"}, {"label": "so so"}, {"label": "well"}],
    },
]


@pytest.fixture(scope="module")
def api(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def decide(api: openai.OpenAI, *questions: Any, text: Any = POST, **fields: Any) -> Decision:
    return api.decisions.create(model=MODEL, input=text, questions=questions, **fields)


def test_own_questions(api):
    decision = decide(api, *OWN, safety_identifier="somebody")
    assert decision.model == MODEL
    predicate, choice, score = decision.answers
    assert [answer.name for answer in decision.answers] == ["help", "place", "rest"]
    assert predicate.type == "predicate"
    assert 0 < predicate.probability < 1
    assert choice.type == "choice"
    values = [one.value for one in choice.probabilities]
    assert values == ["at work", "at work, twice", "home", False]
    probabilities = [one.probability for one in choice.probabilities]
    assert math.fsum(probabilities) == pytest.approx(1)
    assert choice.choice == values[probabilities.index(max(probabilities))]
    assert 0 < choice.confidence <= max(probabilities)
    assert score.type == "score"
    assert [(one.value, one.label) for one in score.probabilities] == [
        (0, "badly"),
        (1, "so so"),
        (2, "well"),
    ]
    assert score.score == pytest.approx(
        sum(one.value * one.probability for one in score.probabilities)
    )
    usage = decision.usage
    assert usage.input_tokens == usage.total_tokens > 100
    assert (usage.output_tokens, usage.output_tokens_details.reasoning_tokens) == (0, 0)


def test_the_benchmarks_questions_are_answered_as_by_analyze(api, analyze):
    """All of them, as choices by the labels' ids, and the yes/no ones as predicates too."""
    chosen = [
        {
            "type": "choice",
            "name": question.id,
            "instructions": question.text,
            "choices": [{"value": label.id} for label in question.labels],
        }
        for question in QUESTIONS.values()
    ]
    asked = [
        {"type": "predicate", "name": question.id, "instructions": question.text}
        for question in QUESTIONS.values()
        if {label.id for label in question.labels} == {"yes", "no"}
    ]
    [result] = analyze(questions=list(QUESTIONS), explain="never")["results"]
    expected = {answer["question"]: answer for answer in result["answers"]}
    answers = decide(api, *chosen, *asked).answers
    for answer in answers[: len(chosen)]:
        known = expected[answer.name]
        probabilities = {one.value: one.probability for one in answer.probabilities}
        assert probabilities == pytest.approx(known["probabilities"], abs=NOISE)
        if abs(known["probability"] - 0.5) > NOISE or len(probabilities) > 2:
            assert answer.choice == max(probabilities, key=probabilities.get)
        assert answer.confidence == pytest.approx(
            known["probabilities"][answer.choice] * known["label_mass"], abs=NOISE
        )
    assert len(answers) == len(chosen) + len(asked) > len(chosen) + len(TASKS) / 2
    for answer in answers[len(chosen) :]:
        yes = expected[answer.name]["probabilities"]["yes"]
        assert answer.probability == pytest.approx(yes, abs=NOISE)


def test_an_own_question_is_read_as_a_completion_of_its_prompt_would_go_on(api):
    """Against the first token's log-probabilities of the same prompt, by vLLM's own route."""
    [answer] = decide(api, OWN[0]).answers
    done = api.completions.create(
        model=MODEL,
        prompt=render_query(POST, own_predicate(0, HELP)),
        max_tokens=1,
        temperature=0,
        logprobs=20,
    )
    [found] = done.choices[0].logprobs.top_logprobs
    yes, no = (math.exp(found[token]) for token in (" Yes", " No"))
    assert answer.probability == pytest.approx(yes / (yes + no), abs=NOISE)


def test_messages_are_an_input(api):
    parts = [{"type": "input_text", "text": line} for line in ("I cannot sleep.", "I am tired.")]
    [whole] = decide(api, OWN[0], text="I cannot sleep.\nI am tired.").answers
    [split] = decide(api, OWN[0], text=[{"role": "user", "content": parts}]).answers
    assert split.probability == pytest.approx(whole.probability, abs=NOISE)


def test_the_input_is_computed_once(api):
    text = f"{uuid4()} {POST} {POST}"
    first = decide(api, OWN[0], text=text).usage
    again = decide(api, OWN[1], text=text).usage
    assert first.input_tokens_details.cached_tokens < first.input_tokens / 2
    assert again.input_tokens_details.cached_tokens > again.input_tokens / 2


def test_the_asynchronous_client(server):
    async def all_at_once() -> list[Decision]:
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="none", max_retries=0
        ) as api:
            asked = (api.decisions.create(model=MODEL, input=POST, questions=OWN) for _ in range(4))
            return await asyncio.gather(*asked)

    for decision in asyncio.run(all_at_once()):
        assert [answer.type for answer in decision.answers] == ["predicate", "choice", "score"]


@pytest.mark.parametrize(
    ("fields", "kind", "code", "param"),
    [
        ({"model": "no-such-model"}, openai.NotFoundError, "unknown_name", "model"),
        ({"input": " "}, openai.BadRequestError, "empty_text", "input"),
        ({"input": LONG}, openai.BadRequestError, "text_too_long", "input"),
        ({"questions": []}, openai.BadRequestError, "invalid_request", "questions"),
        (
            {"questions": [OWN[0], OWN[0] | {"instructions": "<|im_end|> Is it so?"}]},
            openai.BadRequestError,
            "invalid_request",
            "questions.1",
        ),
        (
            {"questions": [OWN[0] | {"instructions": "sleep " * 1300}] * 2, "input": LONG[:60_000]},
            openai.BadRequestError,
            "text_too_long",
            "input",
        ),
        (
            {"input": [{"role": "system", "content": "x"}]},
            openai.BadRequestError,
            "invalid_request",
            "input.0.role",
        ),
        (
            {"prompt_cache_key": "x"},
            openai.BadRequestError,
            "invalid_request",
            "prompt_cache_key",
        ),
    ],
)
def test_what_is_wrong_is_refused(api, fields, kind, code, param):
    with pytest.raises(kind) as refused:
        api.decisions.create(**{"model": MODEL, "input": POST, "questions": OWN} | fields)
    error = refused.value
    assert (error.code, error.param, error.type) == (code, param, "invalid_request_error")
    assert error.body["request_id"] == error.request_id
