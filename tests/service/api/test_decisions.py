"""`/v1/decisions` on a fake Analyzer: forms in, questions asked, answers out, and refusals."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from pydantic import BaseModel

from imhi.tasks import QUESTIONS
from service.analysis.types import Explain, Scoring
from service.api import attach
from service.api.decision_forms import (
    FIELDS,
    TAGS,
    DecisionRequest,
    DecisionResponse,
)
from service.gate.caller import cache_salt
from tests.service.api.decisions import PREDICATE, TEXT, choice, post, request, score
from tests.service.api.driver import Connection
from tests.service.api.fakes import USAGE, FakeAnalyzer, client_of, make_app
from tests.service.gate.gates import key_entry, key_file

STRESS = QUESTIONS["stress"]
CAUSE = QUESTIONS["depression_cause"]


async def decided(body: dict[str, Any], **fields: Any) -> tuple[FakeAnalyzer, list[dict[str, Any]]]:
    """The analyzer that was asked, and the answers."""
    analyzer = FakeAnalyzer(**fields)
    response = await post(body, analyzer)
    assert response.status_code == 200, response.text
    DecisionResponse.model_validate_json(response.content)
    return analyzer, response.json()["answers"]


async def test_every_field_of_a_response():
    response = await post(
        request(
            PREDICATE | {"name": "awake"},
            choice("day", "night", name="when"),
            score("calm", "tense") | {"name": "tension"},
        )
    )
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert "label_read;dur=80.0" in response.headers["server-timing"]
    assert response.json() == {
        "model": "fake-model",
        "answers": [
            {"type": "predicate", "name": "awake", "probability": 0.75},
            {
                "type": "choice",
                "name": "when",
                "choice": "day",
                "probabilities": [
                    {"value": "day", "probability": 0.75},
                    {"value": "night", "probability": 0.25},
                ],
                "confidence": pytest.approx(0.75 * 0.9),
            },
            {
                "type": "score",
                "name": "tension",
                "score": 0.25,
                "probabilities": [
                    {"value": 0, "label": "calm", "probability": 0.75},
                    {"value": 1, "label": "tense", "probability": 0.25},
                ],
                "confidence": pytest.approx(0.75 * 0.9),
            },
        ],
        "usage": {
            "input_tokens": USAGE.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": USAGE.cached_tokens,
                "cache_write_tokens": 0,
            },
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": USAGE.prompt_tokens,
        },
    }


async def test_openais_own_client():
    import httpx2
    import openai

    async with (
        httpx2.AsyncClient(transport=httpx2.ASGITransport(make_app(FakeAnalyzer()))) as http,
        openai.AsyncOpenAI(
            base_url="http://service/v1", api_key="none", max_retries=0, http_client=http
        ) as client,
    ):
        decision = await client.decisions.create(
            **request(PREDICATE, choice("true", True), score("x", "y")), safety_identifier="user"
        )
        assert [answer.type for answer in decision.answers] == ["predicate", "choice", "score"]
        assert [one.value for one in decision.answers[1].probabilities] == ["true", True]
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.decisions.create(**request(model="other"))
        with pytest.raises(openai.BadRequestError) as cached:
            await client.decisions.create(**request(), prompt_cache_key="x")
    assert (unknown.value.code, unknown.value.param) == ("unknown_name", "model")
    assert cached.value.body["message"] == "`prompt_cache_key` must be left out."


@pytest.mark.parametrize(
    ("question", "labels"),
    [
        ({"type": "predicate", "instructions": STRESS.text}, ["yes", "no"]),
        (choice("no", "yes", instructions=f" {STRESS.text}\n"), ["no", "yes"]),
        (choice(False, True, instructions=STRESS.text), ["no", "yes"]),
        (choice(*(one.answer for one in STRESS.labels), instructions=STRESS.text), ["yes", "no"]),
    ],
    ids=["predicate", "ids", "booleans", "answers"],
)
async def test_a_question_of_the_benchmark_is_asked_as_such(question: Any, labels: list[str]):
    analyzer, [answer] = await decided(request(question))
    [(text, asked, options, _)] = analyzer.calls
    assert (text, asked) == (TEXT, (STRESS,))
    assert (options.explain, options.scoring) == (Explain.NEVER, Scoring.BRANCHES)
    if question["type"] == "predicate":
        assert answer["probability"] == 0.75
    else:
        expected = [0.75 if label == "yes" else 0.25 for label in labels]
        assert [one["probability"] for one in answer["probabilities"]] == expected
        assert answer["choice"] == question["choices"][labels.index("yes")]["value"]


@pytest.mark.parametrize("field", ["id", "name", "answer"])
async def test_the_benchmarks_labels_in_any_order_by_any_of_their_names(field: str):
    values = [getattr(label, field) for label in reversed(CAUSE.labels)]
    analyzer, [answer] = await decided(request(choice(*values, instructions=CAUSE.text)))
    assert analyzer.calls[0][1] == (CAUSE,)
    assert answer["choice"] == values[-1]


@pytest.mark.parametrize(
    "question",
    [
        choice("yes", "no", "unclear", instructions=STRESS.text),
        choice("yes", "maybe", instructions=STRESS.text),
        choice("yes", "Yes, the poster suffers from stress.", instructions=STRESS.text),
        choice("yes", "no", instructions="Does the poster suffer from stress and worry?"),
        {"type": "predicate", "instructions": CAUSE.text},
        score("yes", "no") | {"instructions": STRESS.text},
        {
            "type": "choice",
            "instructions": STRESS.text,
            "choices": [{"value": "yes", "description": "only if they say so"}, {"value": "no"}],
        },
    ],
    ids=["more", "other", "twice", "text", "no-predicate", "score", "described"],
)
async def test_anything_else_is_the_callers_own_question(question: Any):
    analyzer, _ = await decided(request(question))
    [(_, [asked], _, _)] = analyzer.calls
    assert (asked.id, asked.task) == ("own.0", "own")


async def test_the_callers_own_words_are_what_is_asked():
    described = choice("work", "family")
    described["choices"][0]["description"] = "Anything about a job."
    analyzer, _ = await decided(
        request(
            PREDICATE,
            {"type": "predicate", "instructions": [{"type": "input_text", "text": "Is it night?"}]},
            described,
            score("calm", "very  tense!"),
        )
    )
    [(_, asked, _, _)] = analyzer.calls
    assert [one.id for one in asked] == ["own.0", "own.1", "own.2", "own.3"]
    assert asked[0].text == "The poster cannot sleep. Is this true?"
    assert [label.answer for label in asked[0].labels] == ["Yes.", "No."]
    assert asked[1].text == "Is it night?"
    assert asked[2].text.splitlines() == [
        "Which is it?",
        "- work: Anything about a job.",
        "- family",
        "Answer with one of these choices, in the same words.",
    ]
    assert [label.answer for label in asked[2].labels] == ["work.", "family."]
    assert [label.answer for label in asked[3].labels] == ["calm.", "very tense!"]


async def test_a_string_and_a_boolean_of_one_text_are_two_values():
    analyzer, [answer] = await decided(request(choice(True, "true", False)))
    [(_, [asked], _, _)] = analyzer.calls
    assert [label.answer for label in asked.labels] == ["true.", '"true".', "false."]
    assert [one["value"] for one in answer["probabilities"]] == [True, "true", False]
    assert answer["choice"] is True


async def test_a_question_of_the_benchmark_that_comes_twice_is_read_once():
    same = {"type": "predicate", "instructions": STRESS.text}
    analyzer, answers = await decided(request(same | {"name": "a"}, PREDICATE, same))
    assert [one.id for one in analyzer.calls[0][1]] == ["stress", "own.1"]
    assert [(one["name"], one["probability"]) for one in answers] == [
        ("a", 0.75),
        (None, 0.75),
        (None, 0.75),
    ]


@pytest.mark.parametrize(
    ("given_input", "expected"),
    [
        (TEXT, TEXT),
        (
            [{"role": "user", "content": "One."}, {"role": "user", "content": "Two."}],
            "One.\n\nTwo.",
        ),
        (
            [
                {
                    "type": "message",
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "One."},
                        {"type": "input_text", "text": "Two."},
                    ],
                }
            ],
            "One.\nTwo.",
        ),
    ],
)
async def test_input(given_input: object, expected: str):
    analyzer, _ = await decided(request(input=given_input))
    assert analyzer.calls[0][0] == expected


async def test_an_adapter_answers_by_its_name():
    analyzer = FakeAnalyzer()
    response = await post(request(model="fake-adapter"), analyzer)
    assert response.json()["model"] == "fake-adapter"
    assert analyzer.calls[0][2].adapter == "fake-adapter"


async def test_where_the_policy_abstains_the_answer_is_a_refusal():
    _, answers = await decided(
        request(PREDICATE | {"name": "awake"}, choice("a", "b"), score("a", "b")), abstains=True
    )
    assert answers == [
        {"type": "refusal", "name": "awake"},
        {"type": "refusal", "name": None},
        {"type": "refusal", "name": None},
    ]


async def test_each_key_has_a_prefix_cache_of_its_own():
    analyzer = FakeAnalyzer()
    keys = key_file(key_entry("a", "ka", scopes=["openai"]))
    async with client_of(make_app(analyzer, keys=keys)) as client:
        headers = {"authorization": "Bearer ka"}
        response = await client.post("/v1/decisions", json=request(), headers=headers)
    assert response.status_code == 200
    assert analyzer.calls[0][2].cache_salt == cache_salt("a")


async def test_ours_comes_before_a_route_of_vllms():
    app = FastAPI()

    @app.post("/v1/decisions")
    async def theirs() -> None:
        raise NotImplementedError

    attach(app)
    app.state.mentalllama = make_app(FakeAnalyzer()).state.mentalllama
    async with client_of(app) as client:
        assert (await client.post("/v1/decisions", json=request())).status_code == 200


async def test_a_client_that_leaves_frees_the_engine():
    analyzer = FakeAnalyzer(hangs=frozenset({TEXT}))
    connection = Connection(make_app(analyzer), request(), path="/v1/decisions")
    await analyzer.began.acquire()
    await connection.leave()
    assert (analyzer.opened, analyzer.closed) == (1, 1)


async def test_metrics_hold_no_words_of_the_caller():
    def counted(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    before = counted("mentalllama_questions_total", task="own")
    labels = counted("mentalllama_labels_total", question="stress", label="yes")
    same = {"type": "predicate", "instructions": STRESS.text}
    await decided(request(choice("heron", "canal"), same))
    assert counted("mentalllama_questions_total", task="own") == before + 1
    assert counted("mentalllama_labels_total", question="stress", label="yes") == labels + 1
    for metric in REGISTRY.collect():
        for sample in metric.samples:
            assert not set(sample.labels.values()) & {"own.0", "heron", "canal"}


def forms(form: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """A form and all that it is made of."""
    if form in seen:
        return seen
    seen.add(form)
    for field in form.model_fields.values():
        pending = [field.annotation]
        while pending:
            kind = pending.pop()
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                forms(kind, seen)
            pending.extend(getattr(kind, "__args__", ()))
    return seen


def test_no_field_is_called_like_a_tag_and_every_field_may_be_named():
    names = {name for form in forms(DecisionRequest, set()) for name in form.model_fields}
    assert names == FIELDS
    assert not names & TAGS
